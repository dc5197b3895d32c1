package jobs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
)

// receiver is who is told.
type receiver struct {
	*httptest.Server

	mu      sync.Mutex
	answers []int // to the first; then 200
	tries   []http.Header
	told    []map[string]any // what was answered 200
}

// secretsOf are two secrets, as a file has them.
const secretsOf = "# the new one\nwhsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\nwhsec_YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4\n"

func newReceiver(t *testing.T, answers ...int) *receiver {
	t.Helper()
	r := &receiver{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tries = append(r.tries, req.Header.Clone())
		if n := len(r.tries); n <= len(r.answers) {
			if r.answers[n-1] == http.StatusFound {
				w.Header().Set("Location", "/elsewhere")
			}
			w.WriteHeader(r.answers[n-1])
			return
		}
		// The check of who receives, by the specification alone.
		for i, secret := range []string{"012345678901234567890123", "abcdefghijklmnopqrstuvwx"} {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(req.Header.Get("Webhook-Id") + "." + req.Header.Get("Webhook-Timestamp") + "." + string(body)))
			want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
			if strings.Split(req.Header.Get("Webhook-Signature"), " ")[i] != want || req.URL.Path != "/hook" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
		}
		e := map[string]any{}
		if json.Unmarshal(body, &e) == nil {
			r.told = append(r.told, e)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) events() []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]map[string]any(nil), r.told...)
}

func (r *receiver) tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tries)
}

// telling is a house whose filter tells r.
func telling(t *testing.T, r *receiver) *house {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(file, []byte(secretsOf), 0o600))
	return newHouse(t, func(h *house) { h.config = fmt.Sprintf("webhook_url: %q webhook_secret_file: %q", r.URL+"/hook", file) })
}

// The end of each job is told, signed by all secrets, and once more until it is heard.
func TestWebhooks(t *testing.T) {
	r := newReceiver(t, 500, http.StatusFound)
	h := telling(t, r)
	id := h.create(h.upload(lines(3)))
	h.await(id, "completed")
	require.Eventually(t, func() bool { return len(r.events()) == 1 }, patience, time.Millisecond)
	e := r.events()[0]
	require.Equal(t, "batch.completed", e["type"])
	require.Equal(t, "event", e["object"])
	require.Equal(t, map[string]any{"id": id}, e["data"])
	require.InDelta(t, time.Now().Unix(), e["created_at"], 120)
	require.Equal(t, 3, r.tried())
	for _, head := range r.tries {
		require.Equal(t, e["id"], head.Get("Webhook-Id"), "the same each time")
		require.Empty(t, head.Get("Authorization"))
	}

	_, _, head := h.call("POST", "/v1/x", `{}`, "Prefer", "respond-async", "Authorization", "Bearer secret")
	require.NotEmpty(t, head.Get("Location"))
	bad := h.create(h.upload("{"))
	h.await(bad, "failed")
	require.Eventually(t, func() bool { return len(r.events()) == 3 }, patience, time.Millisecond)
	types := map[any]any{}
	for _, e := range r.events()[1:] {
		types[e["type"]] = e["data"].(map[string]any)["id"]
	}
	require.Equal(t, map[any]any{"job.completed": strings.TrimPrefix(head.Get("Location"), "/v1/jobs/"), "batch.failed": bad}, types)
	require.Eventually(t, func() bool { return h.Count(t, "friday_webhooks_total", "result", "delivered") == 3 }, patience, time.Millisecond)
	require.Equal(t, 2, h.Count(t, "friday_webhooks_total", "result", "retried"))
}

// What was not told when the process ended is told by the next; a receiver that is gone is
// told no more.
func TestWebhooksOutliveTheProcess(t *testing.T) {
	busy := make([]int, 1000)
	for i := range busy {
		busy[i] = 503
	}
	r := newReceiver(t, busy...)
	h := telling(t, r)
	id := h.create(h.upload(lines(1)))
	h.await(id, "completed")
	require.Eventually(t, func() bool { return r.tried() > 0 }, patience, time.Millisecond)
	require.NoError(t, h.state.Close())
	r.mu.Lock()
	r.answers, r.tries = []int{http.StatusGone}, nil
	r.mu.Unlock()
	h.start()
	// It was handed out when the process ended, and is so again when that time has passed.
	db := h.database()
	defer db.Close()
	require.Eventually(t, func() bool {
		_, err := db.Exec("UPDATE notices SET not_before = 0")
		return err == nil && h.Count(t, "friday_webhooks_total", "result", "gone") == 1
	}, patience, 20*time.Millisecond)
	require.Empty(t, r.events())
	var left int
	require.Eventually(t, func() bool {
		return db.QueryRow("SELECT count(*) FROM notices").Scan(&left) == nil && left == 0
	}, patience, 20*time.Millisecond)
}

func TestNobodyIsToldWithoutAReceiver(t *testing.T) {
	h := newHouse(t)
	h.await(h.create(h.upload(lines(1))), "completed")
	var n int
	db := h.database()
	defer db.Close()
	require.NoError(t, db.QueryRow("SELECT count(*) FROM notices").Scan(&n))
	require.Zero(t, n)
}

func TestSecretsOfWebhooks(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "no secret in it",
		"# nothing\n":       "no secret in it",
		"whsec_AAAA":        ":1: must be whsec_ and the base64 of 24 to 64 bytes",
		"\nsecret":          ":2: must be whsec_",
		"whsec_not base64!": ":1: must be whsec_",
	} {
		file := filepath.Join(t.TempDir(), "secrets")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		config, err := Factory{}.Parse(filtertest.Any(t, Factory{}, fmt.Sprintf("webhook_url: 'https://a.test/' webhook_secret_file: %q", file)))
		require.NoError(t, err)
		env := filtertest.NewHouse(t, 1).Env()
		env.StateDir = t.TempDir()
		_, err = Factory{}.Build(config, env)
		require.ErrorContains(t, err, want)
		if text != "" {
			require.NotContains(t, err.Error(), "AAAA")
		}
	}
}
