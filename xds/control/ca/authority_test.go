package ca

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hands is a clock that is set.
type hands struct{ now time.Time }

func (h *hands) time() time.Time { return h.now }

func newHands() *hands { return &hands{now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)} }

const day = 24 * time.Hour

var year = Life{Root: 360 * day, Certificate: day}

func verify(t *testing.T, c *Certificate, roots []byte, now time.Time) error {
	t.Helper()
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(roots))
	above := x509.NewCertPool()
	above.AppendCertsFromPEM(c.Chain)
	_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: above, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// Through two changes of roots a certificate is good from its making to its end for
// everybody: also for those who have heard of the roots a month ago, and those who
// hear of them only now.
func TestRootsOverlap(t *testing.T) {
	t.Parallel()
	const step, month = 10 * day, 3
	clock, dir, life := newHands(), t.TempDir(), Life{Root: 360 * day, Certificate: step}
	a, err := open(dir, "mesh.test", life, clock.time, zap.NewNop())
	require.NoError(t, err)
	type heard struct {
		roots []byte
		of    *Certificate
	}
	var past []heard // at each step
	sets := map[string]bool{}
	for i := range 2 * 36 {
		_, err := a.Refresh()
		require.NoError(t, err)
		sets[string(a.Roots())] = true
		c, err := a.Issue("spiffe://mesh.test/node/a")
		require.NoError(t, err)
		require.NoError(t, verify(t, c, a.Roots(), clock.now))
		if i >= month {
			require.NoError(t, verify(t, c, past[i-month].roots, clock.now), "step %d, roots of a month ago", i)
		}
		if i >= 1 {
			before := past[i-1].of
			require.NoError(t, verify(t, before, a.Roots(), before.Leaf.NotAfter), "step %d", i)
		}
		past = append(past, heard{a.Roots(), c})
		if i%7 == 0 { // a restart
			a, err = open(dir, "mesh.test", life, clock.time, zap.NewNop())
			require.NoError(t, err)
			require.Equal(t, past[i].roots, a.Roots())
		}
		clock.now = clock.now.Add(step)
	}
	require.GreaterOrEqual(t, len(sets), 5, "each root alone, and together with the next")
	files, err := filepath.Glob(filepath.Join(dir, "root-*.pem"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(files), 2, "what has ended is removed")
}

// A fridayd that was away for longer than its root lived makes another.
func TestAwayForLong(t *testing.T) {
	t.Parallel()
	clock, dir := newHands(), t.TempDir()
	_, err := open(dir, "mesh.test", year, clock.time, zap.NewNop())
	require.NoError(t, err)
	clock.now = clock.now.Add(2 * year.Root)
	a, err := open(dir, "mesh.test", year, clock.time, zap.NewNop())
	require.NoError(t, err)
	c, err := a.Issue("spiffe://mesh.test/node/a")
	require.NoError(t, err)
	require.NoError(t, verify(t, c, a.Roots(), clock.now))
}

// What is written is for nobody else, and keys are in no log.
func TestFilesAndLog(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	dir := filepath.Join(t.TempDir(), "new", "ca")
	a, err := Open(dir, "mesh.test", year, zap.New(core))
	require.NoError(t, err)
	c, err := a.Issue("spiffe://mesh.test/node/a")
	require.NoError(t, err)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), e.Name())
	}
	roots, err := os.ReadFile(filepath.Join(dir, RootsFile))
	require.NoError(t, err)
	require.NotContains(t, string(roots), "PRIVATE")
	require.NotEmpty(t, logs.All())
	for _, entry := range logs.All() {
		for _, f := range entry.Context {
			require.NotContains(t, f.String, "PRIVATE")
			require.NotContains(t, f.String, strings.Split(string(c.Key), "\n")[1])
		}
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	a, err := Open(t.TempDir(), "mesh.test", year, zap.NewNop())
	require.NoError(t, err)
	other, err := Open(t.TempDir(), "mesh.test", year, zap.NewNop())
	require.NoError(t, err)
	chain := func(by *Authority, id ID) []*x509.Certificate {
		c, err := by.Issue(id)
		require.NoError(t, err)
		return []*x509.Certificate{c.Leaf}
	}
	id, err := a.Verify(chain(a, "spiffe://mesh.test/ns/models/sa/llama"))
	require.NoError(t, err)
	require.Equal(t, ID("spiffe://mesh.test/ns/models/sa/llama"), id)
	_, err = a.Verify(chain(other, "spiffe://mesh.test/node/a"))
	require.ErrorContains(t, err, "unknown authority")
	_, err = a.Verify(chain(a, "spiffe://elsewhere/node/a"))
	require.EqualError(t, err, "spiffe://elsewhere/node/a: is not of the trust domain mesh.test")
	pair, err := a.Server("fridayd", "127.0.0.1")()
	require.NoError(t, err)
	_, err = a.Verify([]*x509.Certificate{pair.Leaf})
	require.Error(t, err, "a server's certificate is nobody's identity")
}

// fridayd's own certificate is renewed in time.
func TestServer(t *testing.T) {
	t.Parallel()
	clock := newHands()
	a, err := open(t.TempDir(), "mesh.test", year, clock.time, zap.NewNop())
	require.NoError(t, err)
	get := a.Server("fridayd.friday", "10.0.0.1")
	first, err := get()
	require.NoError(t, err)
	require.NoError(t, first.Leaf.VerifyHostname("fridayd.friday"))
	require.NoError(t, first.Leaf.VerifyHostname("10.0.0.1"))
	clock.now = clock.now.Add(8 * time.Hour)
	same, err := get()
	require.NoError(t, err)
	require.Same(t, first, same)
	clock.now = clock.now.Add(9 * time.Hour)
	second, err := get()
	require.NoError(t, err)
	require.NotEqual(t, first.Leaf.SerialNumber, second.Leaf.SerialNumber)
}

// A given CA, an intermediate one, signs, and its files may change in place.
func TestGiven(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return path
	}
	root, err := makeRoot("given", time.Now(), time.Hour)
	require.NoError(t, err)
	above := *root.cert // one that may have CAs below it
	above.MaxPathLen, above.MaxPathLenZero = 1, false
	der, err := sign(&above, &above, root.key.Public(), root.key)
	require.NoError(t, err)
	root.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	intermediate := func() (cert, key []byte) {
		s, err := makeRoot("intermediate", time.Now(), time.Hour)
		require.NoError(t, err)
		der, err := sign(s.cert, root.cert, s.key.Public(), root.key)
		require.NoError(t, err)
		text, err := keyPEM(s.key)
		require.NoError(t, err)
		return append(certPEM(der), certPEM(root.cert.Raw)...), text
	}
	cert, key := intermediate()
	files := Files{Cert: write("ca.pem", cert), Key: write("ca.key", key)}
	a, err := Given(files, "mesh.test", Life{Certificate: time.Minute}, zap.NewNop())
	require.NoError(t, err)
	require.Equal(t, certPEM(root.cert.Raw), a.Roots())
	c, err := a.Issue("spiffe://mesh.test/node/a")
	require.NoError(t, err)
	require.NoError(t, verify(t, c, a.Roots(), time.Now()))
	_, err = tls.X509KeyPair(c.Chain, c.Key)
	require.NoError(t, err)

	cert2, key2 := intermediate()
	write("ca.pem", cert2)
	_, err = a.Refresh()
	require.ErrorContains(t, err, "the key is not of the certificate")
	_, err = a.Issue("spiffe://mesh.test/node/a")
	require.NoError(t, err, "the last one holds")
	write("ca.key", key2)
	changed, err := a.Refresh()
	require.NoError(t, err)
	require.True(t, changed)
	changed, err = a.Refresh()
	require.NoError(t, err)
	require.False(t, changed)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, err := Open(dir, "mesh.test", year, zap.NewNop())
	require.NoError(t, err)
	leaf, err := a.Issue("spiffe://mesh.test/node/a")
	require.NoError(t, err)
	cert, key := filepath.Join(dir, "leaf.pem"), filepath.Join(dir, "leaf.key")
	require.NoError(t, os.WriteFile(cert, leaf.Chain, 0o600))
	require.NoError(t, os.WriteFile(key, leaf.Key, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty.pem"), nil, 0o600))
	damaged := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(damaged, "root-1.pem"), leaf.Chain, 0o600))
	for name, c := range map[string]struct {
		make func() (*Authority, error)
		want string
	}{
		"a domain":     {func() (*Authority, error) { return Open(t.TempDir(), "A b", year, zap.NewNop()) }, `"A b": must be 1 to 255 of`},
		"a short life": {func() (*Authority, error) { return Open(t.TempDir(), "a", Life{Root: time.Hour}, zap.NewNop()) }, "must be 1s or more"},
		"a long life":  {func() (*Authority, error) { return Open(t.TempDir(), "a", Life{time.Hour, time.Hour}, zap.NewNop()) }, "must be six times"},
		"a leaf":       {func() (*Authority, error) { return Given(Files{Cert: cert, Key: key}, "a", year, zap.NewNop()) }, "is not of a CA"},
		"nothing": {func() (*Authority, error) {
			return Given(Files{Cert: filepath.Join(dir, "empty.pem"), Key: key}, "a", year, zap.NewNop())
		}, "no certificate in it"},
		"no file": {func() (*Authority, error) {
			return Given(Files{Cert: filepath.Join(dir, "none"), Key: key}, "a", year, zap.NewNop())
		}, "no such file"},
		"a folder": {func() (*Authority, error) { return Open(damaged, "a", year, zap.NewNop()) }, "root-1.pem: certificate \"\": is not of a CA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.make()
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"spiffe://mesh.test/ns/a/sa/b":               "",
		"spiffe://mesh.test/node/Pod-1.models":       "",
		"spiffe://mesh.test":                         "segments",
		"spiffe://mesh.test/":                        "segments",
		"spiffe://mesh.test/a//b":                    "segments",
		"spiffe://mesh.test/a/..":                    "segments",
		"spiffe://mesh.test/a b":                     "segments",
		"spiffe://Mesh/a":                            "trust domain",
		"spiffe:///a":                                "trust domain",
		"spiffe://mesh.test:80/a":                    "trust domain",
		"https://mesh.test/a":                        "must begin with spiffe://",
		"spiffe://a/" + strings.Repeat("b", 1+maxID): "must be at most",
	} {
		_, err := ParseID(text)
		if want == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, want, text)
		}
	}
	id, err := ForNode("mesh.test", "vision", "pod-1")
	require.NoError(t, err)
	cluster, node, ok := id.Node()
	require.True(t, ok)
	require.Equal(t, [2]string{"vision", "pod-1"}, [2]string{cluster, node})
	id, err = ForNode("mesh.test", "", "pod-1")
	require.NoError(t, err)
	cluster, node, ok = id.Node()
	require.True(t, ok)
	require.Equal(t, [2]string{"", "pod-1"}, [2]string{cluster, node})
	id, err = ForServiceAccount("mesh.test", "ns", "sa")
	require.NoError(t, err)
	_, _, ok = id.Node()
	require.False(t, ok)
}

func FuzzParseID(f *testing.F) {
	f.Add("spiffe://mesh.test/node-cluster/a/node/b")
	f.Add("spiffe://mesh.test/ns/a/sa/b")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err != nil {
			return
		}
		again, err := NewID(id.Domain(), strings.Split(strings.TrimPrefix(text, scheme+id.Domain()+"/"), "/")...)
		require.NoError(t, err)
		require.Equal(t, id, again)
		if cluster, node, ok := id.Node(); ok {
			same, err := ForNode(id.Domain(), cluster, node)
			require.NoError(t, err)
			require.Equal(t, id, same)
		}
	})
}

func FuzzParseSigner(f *testing.F) {
	s, err := makeRoot("a", time.Now(), time.Hour)
	require.NoError(f, err)
	key, err := keyPEM(s.key)
	require.NoError(f, err)
	f.Add(append(certPEM(s.cert.Raw), key...))
	f.Add(key)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSigner(text, text)
		if err == nil {
			require.True(t, s.cert.IsCA)
		}
	})
}
