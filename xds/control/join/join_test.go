package join

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/proxy/tlscontext/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func tokens(t *testing.T) *Tokens {
	t.Helper()
	k, err := OpenTokens(filepath.Join(t.TempDir(), "tokens"), "mesh.test")
	require.NoError(t, err)
	return k
}

func TestTokenCountsOnce(t *testing.T) {
	t.Parallel()
	k := tokens(t)
	token, expires, err := k.Make("vision", "pod-1", time.Hour)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)
	require.True(t, k.Takes(token))
	guest, err := k.Join(t.Context(), token)
	require.NoError(t, err)
	require.EqualValues(t, "spiffe://mesh.test/node-cluster/vision/node/pod-1", guest.ID)
	_, err = k.Join(t.Context(), token)
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "another stream is using it")
	guest.Settled(false) // its stream broke before the certificate had arrived
	guest, err = k.Join(t.Context(), token)
	require.NoError(t, err)
	guest.Settled(true)
	_, err = k.Join(t.Context(), token)
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "unknown, or has been used")
	entries, err := os.ReadDir(k.dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

// Tokens outlive fridayd, and their folder does not tell them.
func TestTokenFiles(t *testing.T) {
	t.Parallel()
	k := tokens(t)
	token, _, err := k.Make("", "pod-1", time.Hour)
	require.NoError(t, err)
	entries, err := os.ReadDir(k.dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := entries[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	text, err := os.ReadFile(filepath.Join(k.dir, entries[0].Name()))
	require.NoError(t, err)
	require.NotContains(t, entries[0].Name()+string(text), strings.TrimPrefix(token, prefix))
	again, err := OpenTokens(k.dir, "mesh.test")
	require.NoError(t, err)
	guest, err := again.Join(t.Context(), token)
	require.NoError(t, err)
	require.EqualValues(t, "spiffe://mesh.test/node/pod-1", guest.ID)
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	k := tokens(t)
	token, expires, err := k.Make("", "pod-1", time.Hour)
	require.NoError(t, err)
	k.clock = func() time.Time { return expires.Add(time.Second) }
	_, err = k.Join(t.Context(), token)
	require.ErrorIs(t, err, ErrRefused)
	require.ErrorContains(t, err, "it was good until")
	_, _, err = k.Make("", "pod-2", time.Hour)
	require.NoError(t, err)
	entries, err := os.ReadDir(k.dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "what has expired is swept out")
}

func TestTokenRequests(t *testing.T) {
	t.Parallel()
	k := tokens(t)
	for name, c := range map[string]struct {
		cluster, node string
		life          time.Duration
	}{
		"no node":     {"", "", time.Hour},
		"a path":      {"", "a/b", time.Hour},
		"a cluster":   {"a b", "a", time.Hour},
		"no life":     {"", "a", 0},
		"a long life": {"", "a", 31 * 24 * time.Hour},
	} {
		_, _, err := k.Make(c.cluster, c.node, c.life)
		require.ErrorIs(t, err, ErrRequest, name)
	}
	_, err := k.Join(t.Context(), prefix+"../../etc/passwd")
	require.ErrorIs(t, err, ErrRefused)
}

// apiServer answers TokenReviews over TLS.
func apiServer(t *testing.T, answer func(r *review) (int, any)) *Review {
	t.Helper()
	root := tlstest.NewCA(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "token"), []byte("own-token\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "ca.crt"), root.PEM, 0o600))
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != "Bearer own-token" || req.Method != http.MethodPost || req.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		var r review
		if json.NewDecoder(req.Body).Decode(&r) != nil || r.Kind != "TokenReview" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		status, body := answer(&r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}))
	s.TLS = root.Issue("127.0.0.1").ServerConfig(t)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return &Review{API: s.Listener.Addr().String(), Account: dir, Audience: "fridayd", Domain: "mesh.test"}
}

func TestReview(t *testing.T) {
	t.Parallel()
	good := func(r *review) (int, any) {
		r.Status.Authenticated, r.Status.Audiences = true, r.Spec.Audiences
		r.Status.User.Username = "system:serviceaccount:models:llama"
		r.Status.User.Extra = map[string][]string{podName: {"llama-0"}}
		return http.StatusCreated, r
	}
	for name, c := range map[string]struct {
		answer  func(r *review) (int, any)
		want    string // of the error; empty: it is let in
		refused bool
	}{
		"good": {answer: good},
		"not authentic": {func(r *review) (int, any) {
			r.Status.Error = "token has expired"
			return http.StatusCreated, r
		}, "token refused by Kubernetes: token has expired", true},
		"another audience": {func(r *review) (int, any) {
			_, _ = good(r)
			r.Status.Audiences = []string{"https://kubernetes.default.svc"}
			return http.StatusCreated, r
		}, `it is not for the audience "fridayd"`, true},
		"no audience": {func(r *review) (int, any) {
			_, _ = good(r)
			r.Status.Audiences = nil
			return http.StatusCreated, r
		}, `it is not for the audience "fridayd"`, true},
		"a person": {func(r *review) (int, any) {
			_, _ = good(r)
			r.Status.User.Username = "kubernetes-admin"
			return http.StatusCreated, r
		}, `it is of "kubernetes-admin", not of a service account`, true},
		"a strange name": {func(r *review) (int, any) {
			_, _ = good(r)
			r.Status.User.Username = "system:serviceaccount:models:a/b"
			return http.StatusCreated, r
		}, "token refused", true},
		"forbidden": {func(*review) (int, any) {
			return http.StatusForbidden, map[string]string{"kind": "Status", "message": "tokenreviews is forbidden"}
		}, "the Kubernetes API cannot be asked about the token: 403 Forbidden tokenreviews is forbidden", false},
		"not a review": {func(*review) (int, any) { return http.StatusOK, map[string]string{"kind": "Pod"} }, `not a TokenReview but "Pod"`, false},
		"not JSON":     {func(*review) (int, any) { return http.StatusOK, "x" }, "not a TokenReview", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var token string
			r := apiServer(t, func(r *review) (int, any) {
				token = r.Spec.Token
				return c.answer(r)
			})
			require.True(t, r.Takes("a.b.c"))
			guest, err := r.Join(t.Context(), "a.b.c")
			require.Equal(t, "a.b.c", token)
			if c.want == "" {
				require.NoError(t, err)
				require.EqualValues(t, "spiffe://mesh.test/ns/models/sa/llama", guest.ID)
				require.Equal(t, []string{"llama-0", "llama-0.models"}, guest.Nodes)
				guest.Settled(true)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "a.b.c")
			if c.refused {
				require.ErrorIs(t, err, ErrRefused)
			} else {
				require.NotErrorIs(t, err, ErrRefused)
			}
		})
	}
}

// An API server of another CA is not told the token.
func TestReviewOfAnotherCA(t *testing.T) {
	t.Parallel()
	asked := false
	r := apiServer(t, func(r *review) (int, any) {
		asked = true
		return http.StatusCreated, r
	})
	require.NoError(t, os.WriteFile(filepath.Join(r.Account, "ca.crt"), tlstest.NewCA(t).PEM, 0o600))
	_, err := r.Join(t.Context(), "a.b.c")
	require.ErrorContains(t, err, "unknown authority")
	require.False(t, asked)
}

func TestBearer(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Bearer a": "a", "bearer  a ": "a", "Bearer": "", "Bearer ": "", "Basic a": "", "": "", "a": "",
	} {
		token, ok := Bearer(header)
		require.Equal(t, want != "", ok, header)
		if ok {
			require.Equal(t, want, token)
		}
	}
}

func FuzzReview(f *testing.F) {
	f.Add(201, []byte(`{"kind":"TokenReview","status":{"authenticated":true,"audiences":["fridayd"],"user":{"username":"system:serviceaccount:a:b","extra":{"x":["y"]}}}}`))
	f.Add(403, []byte(`{"message":"no"}`))
	f.Fuzz(func(t *testing.T, status int, answer []byte) {
		s, err := parseReview(status, answer)
		require.Equal(t, err == nil, s != nil)
	})
}
