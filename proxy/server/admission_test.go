package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/admission"
	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/config"
)

// Through sockets, over either HTTP: one request is in flight, one waits, the third is told
// to come back; and what is learned and left survives a change of the configuration.
func TestAdmission(t *testing.T) {
	pairs(t, func(t *testing.T, client *http.Client, p proxy.UpstreamProtocol) {
		h := newHouse(t, Options{})
		t.Cleanup(client.CloseIdleConnections)
		answer := make(chan struct{})
		up := http2Server(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-answer
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"data":[]}`)
		})
		apply := func() {
			r := resources(up)
			r.Clusters[0].Protocol = p
			c, err := admission.Factory{}.Parse(filtertest.Any(t, admission.Factory{}, "max_concurrency {value: 1} max_queue: 1 tokens_per_minute: 1000"))
			require.NoError(t, err)
			r.Listeners[0].Default.HTTP.Filters = []config.Filter{{Name: admission.Name, Factory: admission.Factory{}, Config: c}}
			require.NoError(t, h.Apply(r))
		}
		embed := func(text string) (status int, limit string, err error) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.address()+"/v1/embeddings", strings.NewReader(`{"model":"e","input":"`+text+`"}`))
			if err != nil {
				return 0, "", err
			}
			resp, err := client.Do(req)
			if err != nil {
				return 0, "", err
			}
			body, err := io.ReadAll(resp.Body)
			if err == nil && resp.StatusCode != http.StatusOK && !strings.HasPrefix(string(body), `{"error":{"message":"`) {
				err = fmt.Errorf("told %s: %s", resp.Header.Get("Content-Type"), body)
			}
			return resp.StatusCode, resp.Header.Get("X-Ratelimit-Limit-Tokens"), errors.Join(err, resp.Body.Close())
		}
		apply()
		type outcome struct {
			status int
			err    error
		}
		outcomes := make(chan outcome, 3)
		for range 3 {
			go func() {
				status, _, err := embed("a")
				outcomes <- outcome{status, err}
			}()
		}
		next := func() outcome {
			select {
			case o := <-outcomes:
				return o
			case <-time.NewTimer(time.Minute).C:
				return outcome{err: errors.New("no answer within a minute")}
			}
		}
		require.Equal(t, outcome{status: http.StatusServiceUnavailable}, next(), "who finds two before it")
		apply()
		close(answer)
		require.Equal(t, outcome{status: http.StatusOK}, next())
		require.Equal(t, outcome{status: http.StatusOK}, next())

		status, limit, err := embed(strings.Repeat("long ", 1000))
		require.NoError(t, err)
		require.Equal(t, http.StatusTooManyRequests, status)
		require.Equal(t, "1000", limit)
	})
}
