package jwtauthn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/jwtauthn"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/router"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://issuer.test"

// mint signs tokens.
type mint struct {
	key *ecdsa.PrivateKey
	set string // the public key, as a JWK Set
}

func newMint(tb testing.TB) *mint {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k"}}})
	require.NoError(tb, err)
	return &mint{key, string(set)}
}

func (m *mint) sign(tb testing.TB, claims map[string]any) string {
	tb.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: m.key}, nil)
	require.NoError(tb, err)
	payload, err := json.Marshal(claims)
	require.NoError(tb, err)
	signed, err := signer.Sign(payload)
	require.NoError(tb, err)
	text, err := signed.CompactSerialize()
	require.NoError(tb, err)
	return text
}

// all has every request need what r asks for.
func all(tb testing.TB, r *jwtauthn.Requirement, providers ...*jwtauthn.Provider) *jwtauthn.Config {
	tb.Helper()
	table, err := router.NewTable([]router.VirtualHost[*jwtauthn.Requirement]{{
		Name: "rules", Domains: []string{"*"}, Routes: []router.Entry[*jwtauthn.Requirement]{{Match: router.Match{Prefix: "/"}, Value: r}},
	}})
	require.NoError(tb, err)
	return &jwtauthn.Config{Rules: table, Providers: providers}
}

// door is the filter before a server that notes what it gets.
type door struct {
	*testing.T

	house  *filtertest.House
	filter proxy.Filter
	got    *proxy.Request
}

func newDoor(t *testing.T, c *jwtauthn.Config) *door {
	t.Helper()
	d := &door{T: t, house: filtertest.NewHouse(t, 1)}
	d.push(c)
	return d
}

func (d *door) push(c *jwtauthn.Config) {
	d.Helper()
	d.house.Push(d, func(env proxy.Env) {
		f, err := jwtauthn.Builder{}.Build(c, env)
		require.NoError(d, err)
		d.filter = f
	})
}

// ask returns the status, and the reason where the filter answered.
func (d *door) ask(ctx context.Context, headers ...string) (int, string) {
	req := filtertest.Request("/v1/x?a=b", "{}", headers...)
	resp, err := d.filter.Handle(ctx, req, proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
		d.got = req
		return proxy.NewResponse(), nil
	}))
	if err != nil {
		pe := proxy.AsError(ctx, err)
		return pe.Status, pe.Message
	}
	return resp.Header.StatusCode(), ""
}

func local(tb testing.TB, m *mint) *jwtauthn.Provider {
	tb.Helper()
	keys, err := jwtauthn.ParseKeys([]byte(m.set))
	require.NoError(tb, err)
	return &jwtauthn.Provider{Name: "p", Issuer: issuer, Local: keys}
}

func TestWhatAGoodTokenHandsOn(t *testing.T) {
	m := newMint(t)
	p := local(t, m)
	p.PayloadHeader, p.PayloadKey, p.HeaderKey, p.Lists = "x-payload", "payload", "header", []string{"scope"}
	p.Claims = []jwtauthn.Claim{{Header: "x-deep", Name: "a.b"}, {Header: "x-path", Path: []string{"a", "b"}}, {Header: "x-none", Name: "none"}}
	d := newDoor(t, all(t, &jwtauthn.Requirement{Provider: p}, p))
	token := m.sign(t, map[string]any{"iss": issuer, "scope": "read write", "a": map[string]any{"b": 7}})
	status, why := d.ask(t.Context(), "Authorization", "Bearer "+token, "X-None", "forged", "X-Deep", "forged")
	require.Equal(t, 200, status, why)
	value := func(name string) string {
		v, _ := proxy.FieldValue(d.got.Header, name)
		return v
	}
	require.Empty(t, value("authorization"))
	require.Empty(t, value("x-none"))
	require.Equal(t, "7", value("x-deep"))
	require.Equal(t, "7", value("x-path"))
	require.Equal(t, strings.Split(token, ".")[1], value("x-payload"))
	require.Equal(t, map[string]any{
		"payload": map[string]any{"iss": issuer, "scope": []any{"read", "write"}, "a": map[string]any{"b": float64(7)}},
		"header":  map[string]any{"alg": "ES256"},
	}, d.got.Metadata[jwtauthn.Metadata])
	require.Equal(t, 1, d.house.Count(t, "friday_jwt_decisions_total", "result", "allowed"))

	status, why = d.ask(t.Context(), "Authorization", "Bearer "+newMint(t).sign(t, map[string]any{"iss": issuer}))
	require.Equal(t, 401, status)
	require.Equal(t, "Jwt verification fails", why)
	require.Equal(t, 1, d.house.Count(t, "friday_jwt_decisions_total", "result", "denied"))
}

// A public key is no secret: a token that was "signed" with it by HMAC is none.
func TestKeysAreNotConfused(t *testing.T) {
	m := newMint(t)
	d := newDoor(t, all(t, &jwtauthn.Requirement{Provider: local(t, m)}))
	for _, secret := range []string{m.set, "k"} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret + strings.Repeat("\x00", 32))}, nil)
		require.NoError(t, err)
		signed, err := signer.Sign([]byte(`{"iss":"` + issuer + `"}`))
		require.NoError(t, err)
		token, err := signed.CompactSerialize()
		require.NoError(t, err)
		status, _ := d.ask(t.Context(), "Authorization", "Bearer "+token)
		require.Equal(t, 401, status)
	}
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`"}`)) + "."
	for _, token := range []string{none, none + "x"} {
		status, _ := d.ask(t.Context(), "Authorization", "Bearer "+token)
		require.Equal(t, 401, status)
	}
}

// remote is a server of keys.
type remote struct {
	calls atomic.Int32
	// answer is called for each, the number of the call from 1 on.
	answer func(n int32) (int, string)
	slow   time.Duration
}

func (r *remote) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	n := r.calls.Add(1)
	if r.slow > 0 {
		timer := time.NewTimer(r.slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
	}
	if string(req.Header.RequestURI()) != "/keys" || string(req.Header.Host()) != "issuer.test" {
		return nil, errors.New("another address")
	}
	status, text := r.answer(n)
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(status)
	resp.Body = proxy.NewBytesBody([]byte(text))
	return resp, nil
}

// asking is a door whose provider's keys are at r.
func asking(t *testing.T, r *remote, change func(*jwtauthn.Remote)) *door {
	t.Helper()
	p := &jwtauthn.Provider{Name: "p", Issuer: issuer, Remote: &jwtauthn.Remote{
		Host: "issuer.test", Path: "/keys", Cluster: filtertest.Cluster, Timeout: 5 * time.Second, Fresh: time.Minute, Again: time.Second, Base: time.Second, Most: 10 * time.Second,
	}}
	if change != nil {
		change(p.Remote)
	}
	d := &door{T: t, house: filtertest.NewHouse(t, 1)}
	d.house.Endpoints[0].Handler = r
	d.push(all(t, &jwtauthn.Requirement{Provider: p}, p))
	return d
}

func TestKeysAreAskedForOnceAndRemembered(t *testing.T) {
	m := newMint(t)
	token := "Bearer " + m.sign(t, map[string]any{"iss": issuer})
	synctest.Test(t, func(t *testing.T) {
		r := &remote{answer: func(int32) (int, string) { return 200, m.set }, slow: time.Second}
		d := asking(t, r, nil)
		defer d.house.Close(t)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				req := filtertest.Request("/", "{}", "Authorization", token)
				_, err := d.filter.Handle(t.Context(), req, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) { return proxy.NewResponse(), nil }))
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, r.calls.Load())
		time.Sleep(50 * time.Second)
		status, _ := d.ask(t.Context(), "Authorization", token)
		require.Equal(t, 200, status)
		require.EqualValues(t, 1, r.calls.Load())
		time.Sleep(11 * time.Second)
		status, _ = d.ask(t.Context(), "Authorization", token)
		require.Equal(t, 200, status)
		require.EqualValues(t, 2, r.calls.Load(), "too old")
	})
}

func TestKeysThatCannotBeHad(t *testing.T) {
	m := newMint(t)
	token := "Bearer " + m.sign(t, map[string]any{"iss": issuer})
	for name, c := range map[string]struct {
		answer func(n int32) (int, string)
		change func(*jwtauthn.Remote)
		slow   time.Duration
		status int
		calls  int32
	}{
		"an error":                {answer: func(int32) (int, string) { return 503, "" }, status: 401, calls: 1},
		"no keys":                 {answer: func(int32) (int, string) { return 200, `{"keys":[]}` }, status: 401, calls: 1},
		"too long":                {answer: func(int32) (int, string) { return 200, m.set + strings.Repeat(" ", 1<<20) }, status: 401, calls: 1},
		"too late":                {answer: func(int32) (int, string) { return 200, m.set }, slow: 6 * time.Second, status: 401, calls: 1},
		"an error, tried again":   {answer: func(n int32) (int, string) { return map[bool]int{true: 503, false: 200}[n < 3], m.set }, change: func(r *jwtauthn.Remote) { r.Retries = 2 }, status: 200, calls: 3},
		"errors, tried too often": {answer: func(int32) (int, string) { return 503, "" }, change: func(r *jwtauthn.Remote) { r.Retries = 2 }, status: 401, calls: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &remote{answer: c.answer, slow: c.slow}
				d := asking(t, r, c.change)
				defer d.house.Close(t)
				status, why := d.ask(t.Context(), "Authorization", token)
				require.Equal(t, c.status, status, why)
				if status == 401 {
					require.Equal(t, "Jwks remote fetch is failed", why)
				}
				require.Equal(t, c.calls, r.calls.Load())
				status, _ = d.ask(t.Context())
				require.Equal(t, 401, status)
				require.Equal(t, c.calls, r.calls.Load(), "without a token nobody needs keys")
				if c.status == 401 {
					d.ask(t.Context(), "Authorization", token)
					require.Greater(t, r.calls.Load(), c.calls, "a failure is not remembered")
				}
			})
		})
	}
}

// A caller who leaves does not wait for the keys, and they come for the others.
func TestACallerWhoLeavesWhileKeysAreAskedFor(t *testing.T) {
	m := newMint(t)
	token := "Bearer " + m.sign(t, map[string]any{"iss": issuer})
	synctest.Test(t, func(t *testing.T) {
		r := &remote{answer: func(int32) (int, string) { return 200, m.set }, slow: time.Second}
		d := asking(t, r, nil)
		defer d.house.Close(t)
		ctx, leave := context.WithCancelCause(t.Context())
		time.AfterFunc(100*time.Millisecond, func() { leave(proxy.ErrCallerGone) })
		began := time.Now()
		status, _ := d.ask(ctx, "Authorization", token)
		require.Equal(t, 499, status)
		require.Equal(t, 100*time.Millisecond, time.Since(began))
		status, _ = d.ask(t.Context(), "Authorization", token)
		require.Equal(t, 200, status)
		require.EqualValues(t, 1, r.calls.Load())
	})
}

func TestKeysAheadOfRequests(t *testing.T) {
	m := newMint(t)
	token := "Bearer " + m.sign(t, map[string]any{"iss": issuer})
	synctest.Test(t, func(t *testing.T) {
		r := &remote{answer: func(n int32) (int, string) { return map[bool]int{true: 503, false: 200}[n == 1 || n == 4], m.set }}
		d := asking(t, r, func(r *jwtauthn.Remote) { r.Ahead = true })
		defer d.house.Close(t)
		synctest.Wait()
		require.EqualValues(t, 1, r.calls.Load(), "at once")
		time.Sleep(1100 * time.Millisecond)
		require.EqualValues(t, 2, r.calls.Load(), "again, since that failed")
		status, _ := d.ask(t.Context(), "Authorization", token)
		require.Equal(t, 200, status)
		require.EqualValues(t, 2, r.calls.Load())
		time.Sleep(56 * time.Second)
		require.EqualValues(t, 3, r.calls.Load(), "before they are too old")
		time.Sleep(56 * time.Second)
		require.GreaterOrEqual(t, r.calls.Load(), int32(4))
		status, _ = d.ask(t.Context(), "Authorization", token)
		require.Equal(t, 200, status, "old keys are better than none")
	})
}

func FuzzToken(f *testing.F) {
	m := newMint(f)
	keys, err := jwtauthn.ParseKeys([]byte(m.set))
	require.NoError(f, err)
	good := m.sign(f, map[string]any{"iss": issuer, "aud": []string{"a"}, "exp": 1 << 40})
	for _, s := range []string{good, "", "..", "a.b.c", good[:40], strings.ToUpper(good), good + "=="} {
		f.Add(s)
	}
	p := &jwtauthn.Provider{Name: "p", Issuer: issuer, Local: keys, PayloadKey: "p", Headers: []jwtauthn.Header{{Name: "x-token"}}}
	filter, err := jwtauthn.Builder{}.Build(all(f, &jwtauthn.Requirement{Provider: p}, p), filtertest.NewHouse(f, 1).Env())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, token string) {
		req := filtertest.Request("/", "{}", "x-token", token)
		passed := false
		_, err := filter.Handle(t.Context(), req, proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
			passed = true
			return proxy.NewResponse(), nil
		}))
		if passed != (err == nil) {
			t.Fatal("neither refused nor passed")
		}
		if passed && strings.TrimRight(strings.TrimSpace(token), "=") != good && !strings.Contains(token, "=") {
			t.Fatalf("passed: %q", token)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(newMint(f).set))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":""}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := jwtauthn.ParseKeys(text); (k == nil) == (err == nil) {
			t.Fatal("neither keys nor an error")
		}
	})
}
