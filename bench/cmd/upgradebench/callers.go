package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fridaymesh/friday/bench/load"
)

// kind is callers of one kind.
type kind struct {
	name    string
	callers int
	streams bool
	http2   bool
	url     string
	// transport is made for each caller, or once for all of them.
	transport func() *http.Transport

	stop chan struct{}
	wg   sync.WaitGroup

	sent, failed atomic.Int64
	first        atomic.Pointer[string]

	mu   sync.Mutex
	took load.Histogram
}

// kinds are all of them.
func kinds(address string, callers, streams int) []*kind {
	url := "http://" + address
	kept := func() *http.Transport { return &http.Transport{DisableCompression: true} }
	fresh := func() *http.Transport { return &http.Transport{DisableKeepAlives: true, DisableCompression: true} }
	shared := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	shared.Protocols.SetUnencryptedHTTP2(true)
	return []*kind{
		{name: "kept connections", callers: callers, url: url + "/echo", transport: kept},
		{name: "a connection each", callers: callers, url: url + "/echo", transport: fresh},
		{name: "HTTP/2", http2: true, callers: callers, url: url + "/echo", transport: func() *http.Transport { return shared }},
		{name: "streams of 2 s", callers: streams, streams: true, url: url + "/stream", transport: kept},
	}
}

// start has the callers call until finish.
func (k *kind) start(ctx context.Context) {
	k.stop = make(chan struct{})
	for i := range k.callers {
		k.wg.Go(func() {
			tr := k.transport()
			defer tr.CloseIdleConnections()
			client := &http.Client{Transport: tr, Timeout: time.Minute}
			for n := 0; ; n++ {
				select {
				case <-k.stop:
					return
				case <-ctx.Done():
					return
				default:
				}
				began := time.Now()
				err := k.call(ctx, client, fmt.Sprintf("caller %d, request %d", i, n))
				k.count(time.Since(began), err)
			}
		})
	}
}

func (k *kind) count(took time.Duration, err error) {
	k.sent.Add(1)
	if err != nil {
		k.failed.Add(1)
		text := k.name + ": " + err.Error()
		k.first.CompareAndSwap(nil, &text)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.took.Add(took)
}

// finish lets every caller end its last request.
func (k *kind) finish() {
	close(k.stop)
	k.wg.Wait()
}

// call sends one request and checks its answer.
func (k *kind) call(ctx context.Context, client *http.Client, text string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.url, bytes.NewReader([]byte(text)))
	if err != nil {
		return err
	}
	if !k.http2 {
		// The client cannot send it once more by itself: a request that is lost is seen.
		// In HTTP/2 a server says which requests it has not begun.
		req.GetBody = nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	err = errors.Join(err, resp.Body.Close())
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("status %d: %.100s", resp.StatusCode, b)
	case k.streams && strings.Count(string(b), "data: ") != pieces:
		return fmt.Errorf("%d pieces of %d", strings.Count(string(b), "data: "), pieces)
	case !k.streams && string(b) != text:
		return fmt.Errorf("%q for %q", b, text)
	}
	return nil
}

func (k *kind) quantile(q float64) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.took.Quantile(q)
}

// pieces are those of a stream, gap the time between them.
const (
	pieces = 100
	gap    = 20 * time.Millisecond
)

// server is what friday stands before.
type server struct {
	address string
	http    *http.Server
	done    chan struct{}
}

func serve(ctx context.Context) (*server, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{address: ln.Addr().String(), done: make(chan struct{})}
	s.http = &http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(ln) // close ends it
	}()
	return s, nil
}

func (s *server) close() {
	_ = s.http.Close() // whoever is left has been counted
	<-s.done
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/stream" {
		_, _ = io.Copy(w, r.Body) // the caller checks
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(gap)
	defer tick.Stop()
	flush := http.NewResponseController(w)
	for i := range pieces {
		_, _ = fmt.Fprintf(w, "data: %d\n\n", i) // as above
		_ = flush.Flush()                        // as above
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

func last(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)-1]
}
