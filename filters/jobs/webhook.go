package jobs

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

// webhook is whom the ends of jobs are told, as Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
type webhook struct{ url, secretFile string }

const (
	// toldAtOnce is how many are told at once.
	toldAtOnce = 8
	// webhookTimeout is how long the receiver may take.
	webhookTimeout = 15 * time.Second
	// toldWithin is for how long telling is tried.
	toldWithin = 72 * time.Hour
	// webhookLeast and webhookMost bound the pauses between tries.
	webhookLeast, webhookMost = 5 * time.Second, time.Hour
)

// secretPrefix is what a secret begins with; what follows is base64.
const secretPrefix = "whsec_"

// The bounds of a secret, in bytes.
const leastSecret, mostSecret = 24, 64

// readSecrets reads a file of secrets, one in each line: each signs, so that a receiver that
// knows either is served while they are exchanged.
func readSecrets(path string) (secrets [][]byte, err error) {
	text, err := os.ReadFile(path) // #nosec G304 -- the configuration names it
	if err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		encoded, ok := strings.CutPrefix(line, secretPrefix)
		secret, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(secret) < leastSecret || len(secret) > mostSecret {
			return nil, fmt.Errorf("%s:%d: must be %s and the base64 of %d to %d bytes", path, n, secretPrefix, leastSecret, mostSecret)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%s: no secret in it", path)
	}
	return secrets, nil
}

// sign is the value of webhook-signature.
func sign(secrets [][]byte, id, timestamp string, body []byte) string {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " ")
}

// event is what the receiver is sent, in OpenAI's form
// (https://platform.openai.com/docs/api-reference/webhook-events).
type event struct {
	ID        string    `json:"id"`
	Object    string    `json:"object"`
	CreatedAt int64     `json:"created_at"`
	Type      string    `json:"type"`
	Data      eventData `json:"data"`
}

type eventData struct {
	ID string `json:"id"`
}

// kindOf is the word for a job in the type of its events.
func kindOf(k store.Kind) string {
	if k == store.Request {
		return "job"
	}
	return string(k)
}

// webhooks are who is told, by the origin of the jobs.
func (s *state) webhooks() map[string]*webhook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.hooks)
}

// notify has the ends of those jobs noted of which somebody is told. REQUIRES: mu is held.
func (s *state) notify(st *store.Store) {
	st.Notify(slices.Collect(maps.Keys(s.hooks)))
}

// tell tells of jobs that have ended, until the state is closed.
func (s *state) tell(st *store.Store) {
	client := &http.Client{
		Timeout:       webhookTimeout,
		Transport:     &http.Transport{MaxIdleConnsPerHost: toldAtOnce, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	for s.sleep(s.poll) {
		for more := true; more && s.ctx.Err() == nil; {
			more = s.tellSome(st, client)
		}
	}
}

// tellSome tells of some, and says whether there may be more.
func (s *state) tellSome(st *store.Store, client *http.Client) bool {
	hooks := s.webhooks()
	if len(hooks) == 0 {
		return false
	}
	now := time.Now()
	all, err := st.Notices(s.ctx, toldAtOnce, now, now.Add(2*webhookTimeout))
	if err != nil {
		s.failed("what is to be told by webhook cannot be read", err)
		return false
	}
	var wg sync.WaitGroup
	for _, n := range all {
		wg.Go(func() { s.tellOne(st, client, hooks[n.Origin], n) })
	}
	wg.Wait()
	return len(all) == toldAtOnce
}

// errNobody: the configuration has named somebody when the job ended, and does no more.
var errNobody = errors.New("no webhook_url is configured any more")

// errGone: the receiver wants to hear no more of it.
var errGone = errors.New("410 Gone")

func (s *state) tellOne(st *store.Store, client *http.Client, hook *webhook, n store.Notice) {
	var asked time.Duration
	err := errNobody
	if hook != nil {
		asked, err = post(s.ctx, client, hook, n)
	}
	if s.ctx.Err() != nil {
		return // it is told again
	}
	log := s.log.With(zap.String("event", n.ID), zap.String("job", n.Object))
	result := "delivered"
	switch {
	case err == nil:
	case errors.Is(err, errGone):
		result = "gone"
		log.Warn("the receiver of webhooks says that it is gone")
	case time.Since(n.Created) > toldWithin:
		result = "given_up"
		log.Error("a webhook is given up", zap.Int("attempts", n.Attempts), zap.Error(err))
	default:
		s.metrics.Webhooks.WithLabelValues("retried").Inc()
		log.Warn("a webhook is tried again later", zap.Int("attempts", n.Attempts), zap.Error(err))
		t := tempo{least: webhookLeast, most: webhookMost}
		if s.least < t.least { // tests have other times
			t = s.tempo
		}
		if err := st.TellLater(s.ctx, n.ID, time.Now().Add(t.backoff(n.Attempts-1, asked))); err != nil {
			s.failed("a webhook cannot be put back", err)
		}
		return
	}
	s.metrics.Webhooks.WithLabelValues(result).Inc()
	if err := st.Told(s.ctx, n.ID); err != nil {
		s.failed("a webhook that was told cannot be forgotten, and is told again", err)
	}
}

// post sends one. asked is the receiver's Retry-After.
func post(ctx context.Context, client *http.Client, hook *webhook, n store.Notice) (asked time.Duration, err error) {
	secrets, err := readSecrets(hook.secretFile)
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(event{n.ID, "event", n.Created.Unix(), kindOf(n.Kind) + "." + string(n.Status), eventData{n.Object}})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "friday")
	req.Header.Set("Webhook-Id", n.ID)
	req.Header.Set("Webhook-Timestamp", timestamp)
	req.Header.Set("Webhook-Signature", sign(secrets, n.ID, timestamp, body))
	resp, err := client.Do(req)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err // without the address, which may have a token in it
	}
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return 0, nil
	case resp.StatusCode == http.StatusGone:
		return 0, errGone
	}
	return retryAfter(resp.Header.Get("Retry-After"), time.Now()), fmt.Errorf("the receiver answered %d", resp.StatusCode)
}
