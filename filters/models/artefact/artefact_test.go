package artefact_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/models/artefact"
)

const patience = 30 * time.Second

// TestMain is also the process that is killed in the middle of a fetch.
func TestMain(m *testing.M) {
	if source := os.Getenv("FRIDAY_TEST_FETCH"); source != "" {
		s, err := artefact.Parse(source, "")
		if err == nil {
			_, err = s.Fetch(context.Background(), os.Getenv("FRIDAY_TEST_REPOSITORY"), os.Getenv("FRIDAY_TEST_TO"), new(artefact.Progress))
		}
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// files serves one file and knows what was asked.
type files struct {
	mu      sync.Mutex
	content []byte
	tag     string
	cut     int // of the next answer, so many bytes come; 0: all
	status  int // of the next answer; 0: 200
	ranges  []string
	hold    chan struct{} // where not nil, an answer that is cut waits for it
}

func (f *files) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	content, tag, cut, status, hold := f.content, f.tag, f.cut, f.status, f.hold
	f.cut, f.status = 0, 0
	f.ranges = append(f.ranges, r.Header.Get("Range"))
	f.mu.Unlock()
	if status != 0 {
		http.Error(w, "no", status)
		return
	}
	w.Header().Set("ETag", tag)
	if cut == 0 {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:cut])
	_ = http.NewResponseController(w).Flush()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
	panic(http.ErrAbortHandler)
}

func (f *files) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.ranges...)
}

func serve(t *testing.T, f *files, name string) string {
	t.Helper()
	ts := httptest.NewServer(f)
	t.Cleanup(ts.Close)
	return ts.URL + "/" + name
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

func fetch(t *testing.T, source, sum, repository, to string) (int64, *artefact.Progress, error) {
	t.Helper()
	s, err := artefact.Parse(source, sum)
	require.NoError(t, err)
	p := new(artefact.Progress)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n, err := s.Fetch(ctx, repository, to, p)
	return n, p, err
}

func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 7 >> 3)
	}
	return b
}

func TestFetchGoesOnWhereItWas(t *testing.T) {
	whole := content(1 << 20)
	f := &files{content: whole, tag: `"1"`, cut: 300_000}
	repository := t.TempDir()
	to := filepath.Join(repository, "m", "1")
	source := serve(t, f, "model.bin")
	_, _, err := fetch(t, source, sum(whole), repository, to)
	require.ErrorContains(t, err, "unexpected EOF")
	require.NoDirExists(t, to, "what is not whole never lies where the server looks")
	n, p, err := fetch(t, source, sum(whole), repository, to)
	require.NoError(t, err)
	require.EqualValues(t, len(whole), n)
	require.EqualValues(t, len(whole), p.Done.Load())
	require.Equal(t, []string{"", "bytes=300000-"}, f.asked())
	got, err := os.ReadFile(filepath.Join(to, "model.bin"))
	require.NoError(t, err)
	require.Equal(t, whole, got)
	_, _, err = fetch(t, source, sum(whole), repository, to)
	require.NoError(t, err)
	require.Len(t, f.asked(), 2, "it is there")
}

func TestAFileThatHasChangedIsFetchedAnew(t *testing.T) {
	whole := content(100_000)
	f := &files{content: content(90_000), tag: `"1"`, cut: 50_000}
	repository := t.TempDir()
	source := serve(t, f, "model.bin")
	_, _, err := fetch(t, source, sum(whole), repository, filepath.Join(repository, "m"))
	require.Error(t, err)
	f.mu.Lock()
	f.content, f.tag = whole, `"2"`
	f.mu.Unlock()
	_, _, err = fetch(t, source, sum(whole), repository, filepath.Join(repository, "m"))
	require.NoError(t, err)
}

func TestWhatIsNotWhatItShouldBe(t *testing.T) {
	whole := content(1000)
	bad := bytes.Clone(whole)
	bad[500] ^= 1
	f := &files{content: bad, tag: `"1"`}
	repository := t.TempDir()
	to := filepath.Join(repository, "m")
	source := serve(t, f, "model.bin")
	_, _, err := fetch(t, source, sum(whole), repository, to)
	require.ErrorContains(t, err, "its sha256 is "+sum(bad)+", not "+sum(whole))
	require.NoDirExists(t, to)
	f.mu.Lock()
	f.content, f.tag, f.status = whole, `"2"`, http.StatusNotFound
	f.mu.Unlock()
	_, _, err = fetch(t, source, sum(whole), repository, to)
	require.ErrorContains(t, err, "status 404")
	_, _, err = fetch(t, source, sum(whole), repository, to)
	require.NoError(t, err)
}

// kill -9 in the middle: another process goes on where the first one was.
func TestAKilledFetchGoesOn(t *testing.T) {
	whole := content(4 << 20)
	f := &files{content: whole, tag: `"1"`, cut: 2 << 20, hold: make(chan struct{})}
	defer close(f.hold)
	repository := t.TempDir()
	to := filepath.Join(repository, "m")
	source := serve(t, f, "model.bin")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), "FRIDAY_TEST_FETCH="+source, "FRIDAY_TEST_REPOSITORY="+repository, "FRIDAY_TEST_TO="+to)
	require.NoError(t, child.Start())
	require.Eventually(t, func() bool {
		parts, _ := filepath.Glob(filepath.Join(repository, ".friday", "*.part"))
		if len(parts) != 1 {
			return false
		}
		info, err := os.Stat(parts[0])
		return err == nil && info.Size() == 2<<20
	}, patience, time.Millisecond)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	require.NoDirExists(t, to)
	_, _, err := fetch(t, source, "", repository, to)
	require.NoError(t, err)
	require.Equal(t, []string{"", "bytes=2097152-"}, f.asked())
	got, err := os.ReadFile(filepath.Join(to, "model.bin"))
	require.NoError(t, err)
	require.Equal(t, sum(whole), sum(got))
}

func tarOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(name)), Mode: 0o600, Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(name))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

func zipOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range names {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(name))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestArchivesAreUnpacked(t *testing.T) {
	for name, b := range map[string][]byte{
		"m.tar": tarOf(t, "config.json", "sub/weights"), "m.tar.gz": gzipped(t, tarOf(t, "config.json", "sub/weights")),
		"m.tgz": gzipped(t, tarOf(t, "./config.json", "sub/weights")), "m.zip": zipOf(t, "config.json", "sub/weights"),
	} {
		repository := t.TempDir()
		to := filepath.Join(repository, "m", "1")
		_, _, err := fetch(t, serve(t, &files{content: b, tag: `"1"`}, name), sum(b), repository, to)
		require.NoError(t, err, name)
		require.FileExists(t, filepath.Join(to, "config.json"), name)
		require.FileExists(t, filepath.Join(to, "sub", "weights"), name)
	}
}

// An archive cannot write elsewhere, and what is none, or is cut, is not installed.
func TestBadArchives(t *testing.T) {
	good := gzipped(t, tarOf(t, "a", strings.Repeat("b", 90)))
	for name, b := range map[string][]byte{
		"up.tar": tarOf(t, "../outside"), "root.tar": tarOf(t, "/outside"), "up.zip": zipOf(t, "../outside"),
		"none.tar.gz": []byte("hello"), "none.zip": []byte("hello"), "cut.tgz": good[:len(good)-20], "twice.tar": tarOf(t, "a", "a"),
	} {
		repository := t.TempDir()
		to := filepath.Join(repository, "m", "1")
		_, _, err := fetch(t, serve(t, &files{content: b, tag: `"1"`}, name), "", repository, to)
		require.Error(t, err, name)
		require.NoDirExists(t, to, name)
		require.NoFileExists(t, filepath.Join(repository, ".friday", "outside"), name)
	}
}

func TestFilesAndFolders(t *testing.T) {
	from := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(from, "sub"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(from, "a.bin"), []byte("a"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(from, "sub", "b"), []byte("bb"), 0o600))
	repository := t.TempDir()
	n, _, err := fetch(t, "file://"+from, "", repository, filepath.Join(repository, "m"))
	require.NoError(t, err)
	require.EqualValues(t, 3, n)
	require.FileExists(t, filepath.Join(repository, "m", "sub", "b"))
	_, _, err = fetch(t, "file://"+filepath.Join(from, "a.bin"), sum([]byte("a")), repository, filepath.Join(repository, "k"))
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(repository, "k", "a.bin"))
	require.FileExists(t, filepath.Join(from, "a.bin"), "it is copied")
	_, _, err = fetch(t, "file://"+from, sum([]byte("a")), repository, filepath.Join(repository, "l"))
	require.ErrorContains(t, err, "is a folder: sha256 is of a file")
	_, _, err = fetch(t, "file:///nowhere/at/all", "", repository, filepath.Join(repository, "l"))
	require.ErrorContains(t, err, "no such file")
}

// What another source put there before gives way, in one step.
func TestAnotherSourceTakesThePlace(t *testing.T) {
	repository := t.TempDir()
	to := filepath.Join(repository, "m")
	for _, text := range []string{"one", "two"} {
		_, _, err := fetch(t, serve(t, &files{content: []byte(text), tag: `"1"`}, "f"), "", repository, to)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(to, "f"))
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"file:///a", "http://h/f", "https://h:1/a/b.tar.gz?x=1", "s3://b/k", "http://u:p@h/f", "x"} {
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, source, sum string) {
		s, err := artefact.Parse(source, sum)
		if err != nil {
			require.NotEmpty(t, err.Error())
			return
		}
		require.NotContains(t, s.String(), "?")
	})
}

// An object in S3 is got by a signed address, and goes on like any file; without
// credentials it is asked for as anybody may.
func TestS3(t *testing.T) {
	whole := content(100_000)
	var mu sync.Mutex
	var paths, keys []string
	f := &files{content: whole, tag: `"1"`, cut: 40_000}
	ts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths, keys = append(paths, r.URL.Path), append(keys, strings.SplitN(r.URL.Query().Get("X-Amz-Credential"), "/", 2)[0])
		mu.Unlock()
		f.ServeHTTP(w, r)
	}))
	t.Cleanup(ts.Close)
	t.Setenv("AWS_ENDPOINT_URL", ts.URL)
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "me")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	repository := t.TempDir()
	_, _, err := fetch(t, "s3://bucket/models/m.bin", sum(whole), repository, filepath.Join(repository, "m"))
	require.ErrorContains(t, err, "source: s3://bucket/models/m.bin: unexpected EOF")
	require.NotContains(t, err.Error(), "X-Amz", "a signature is a secret")
	_, _, err = fetch(t, "s3://bucket/models/m.bin", sum(whole), repository, filepath.Join(repository, "m"))
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(repository, "m", "m.bin"))
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, _, err = fetch(t, "s3://bucket/models/m.bin", "", repository, filepath.Join(repository, "n"))
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"/bucket/models/m.bin", "/bucket/models/m.bin", "/bucket/models/m.bin"}, paths)
	require.Equal(t, []string{"me", "me", ""}, keys)
	require.Equal(t, []string{"", "bytes=40000-", ""}, f.asked())
}

// registry is one of OCI artefacts, of one repository.
type registry struct {
	mu       sync.Mutex
	manifest []byte
	blobs    map[string]*files // by digest
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case strings.HasPrefix(req.URL.Path, "/v2/models/m/manifests/"):
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", "sha256:"+sum(r.manifest))
		_, _ = w.Write(r.manifest)
	case strings.HasPrefix(req.URL.Path, "/v2/models/m/blobs/"):
		r.mu.Lock()
		f := r.blobs[strings.TrimPrefix(req.URL.Path, "/v2/models/m/blobs/")]
		r.mu.Unlock()
		if f == nil {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		f.ServeHTTP(w, req)
	default:
		http.NotFound(w, req)
	}
}

func TestOCI(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	weights, config := content(100_000), tarOf(t, "config.json", "sub/tokens")
	r := &registry{blobs: map[string]*files{
		"sha256:" + sum(weights): {content: weights, tag: `"1"`, cut: 40_000},
		"sha256:" + sum(config):  {content: config, tag: `"1"`},
	}}
	r.manifest = fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:%s","size":2},"layers":[
		{"mediaType":"application/octet-stream","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.title":"../weights.bin"}},
		{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:%s","size":%d}]}`, sum([]byte("{}")), sum(weights), len(weights), sum(config), len(config))
	ts := httptest.NewServer(r)
	t.Cleanup(ts.Close)
	source := "oci://" + strings.TrimPrefix(ts.URL, "http://") + "/models/m:v1"
	repository := t.TempDir()
	to := filepath.Join(repository, "m")
	_, _, err := fetch(t, source, "", repository, to)
	require.ErrorContains(t, err, "unexpected EOF")
	require.NoDirExists(t, to)
	n, p, err := fetch(t, source, "", repository, to)
	require.NoError(t, err)
	require.EqualValues(t, len(weights)+len("config.json")+len("sub/tokens"), n)
	require.EqualValues(t, len(weights)+len(config), p.Done.Load())
	got, err := os.ReadFile(filepath.Join(to, "weights.bin"))
	require.NoError(t, err)
	require.Equal(t, sum(weights), sum(got))
	require.FileExists(t, filepath.Join(to, "sub", "tokens"))
	require.Contains(t, r.blobs["sha256:"+sum(weights)].asked(), "bytes=40000-99999", "only the rest")

	bad := bytes.Clone(weights)
	bad[7] ^= 1
	r.mu.Lock()
	r.blobs["sha256:"+sum(weights)] = &files{content: bad, tag: `"2"`}
	r.mu.Unlock()
	_, _, err = fetch(t, source, "", repository, filepath.Join(repository, "n"))
	require.ErrorContains(t, err, "it is not what the manifest says")
	require.NoDirExists(t, filepath.Join(repository, "n"))
}

func TestOCIReferences(t *testing.T) {
	for _, source := range []string{"oci://r.test/m", "oci://r.test/", "oci://r.test/m:v1?x=1", "oci:///m:v1"} {
		_, err := artefact.Parse(source, "")
		require.ErrorContains(t, err, "must be oci://REGISTRY/REPOSITORY:TAG", source)
	}
	_, err := artefact.Parse("oci://r.test/m:v1", strings.Repeat("0", 64))
	require.ErrorContains(t, err, "the digest says what it is")
}
