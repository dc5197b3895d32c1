//go:build interop

package differential

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The fields by which the harness speaks to the endpoints; they are no part of an
// outcome.
const (
	idField   = "X-Harness-Id"
	playField = "X-Harness-Play"
)

// seen is a request as an endpoint saw it.
type seen struct {
	Endpoint, Method, Target, Host, Proto, Body string
	Header                                      http.Header
	// TLS is what was agreed to, where it came over TLS.
	TLS string
}

// stage are the endpoints and what they saw, by the request's id.
type stage struct {
	ports map[string]int
	pki   *pki

	mu   sync.Mutex
	seen map[string][]seen
}

// endpointNames are those that every case may use.
func endpointNames() []string { return []string{"a", "b", "c", "d", "e", "f"} }

// newStage starts the endpoints. Each speaks HTTP/1.1 and HTTP/2 in cleartext and
// answers 200 with its name, unless the request says otherwise in X-Harness-Play:
// words such as status=503, delay=300ms, set=name:value, body=text, abort (the
// connection is closed without an answer), of which at=NAME confines the others to one
// endpoint and first=N to the first N times that a request is seen at all.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{ports: map[string]int{}, pki: newPKI(t), seen: map[string][]seen{}}
	for _, name := range endpointNames() {
		s.start(t, name, nil)
	}
	for name, config := range s.pki.servers(t) {
		s.start(t, name, config)
	}
	// A port that nobody listens on.
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.ports["gone"] = ln.Addr().(*net.TCPAddr).Port
	require.NoError(t, ln.Close())
	return s
}

func (s *stage) start(t *testing.T, name string, secure *tls.Config) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.ports[name] = ln.Addr().(*net.TCPAddr).Port
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(secure == nil)
	protocols.SetHTTP2(secure != nil)
	srv := &http.Server{
		Protocols: protocols, ReadHeaderTimeout: time.Minute, TLSConfig: secure, ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(name, w, r) }),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if secure != nil {
			_ = srv.ServeTLS(ln, "", "")
			return
		}
		_ = srv.Serve(ln)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}

func (s *stage) serve(name string, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	id := r.Header.Get(idField)
	if id == "" && r.URL.Path == keysPath { // asked for by the proxies themselves
		_, _ = io.WriteString(w, jwtKeys())
		return
	}
	play := r.Header.Get(playField)
	header := r.Header.Clone()
	header.Del(idField)
	header.Del(playField)
	s.mu.Lock()
	s.seen[id] = append(s.seen[id], seen{
		Endpoint: name, Method: r.Method, Target: r.RequestURI, Host: r.Host, Proto: r.Proto, Body: string(body), Header: header, TLS: agreed(r.TLS),
	})
	times := len(s.seen[id])
	s.mu.Unlock()

	act := parsePlay(play)
	if act.at != "" && act.at != name || act.first > 0 && times > act.first {
		act = &part{status: http.StatusOK}
	}
	if act.delay > 0 {
		timer := time.NewTimer(act.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
	}
	if act.abort {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Endpoint", name)
	w.Header().Set("Content-Type", "text/plain")
	for _, kv := range act.set {
		w.Header().Add(kv[0], kv[1])
	}
	w.WriteHeader(act.status)
	if act.status == http.StatusNoContent || act.status == http.StatusNotModified {
		return
	}
	if act.body == "" {
		act.body = name
	}
	_, _ = io.WriteString(w, act.body)
}

// part is what an endpoint is to play.
type part struct {
	status int
	delay  time.Duration
	abort  bool
	set    [][2]string
	body   string
	at     string
	first  int
}

func parsePlay(words string) *part {
	p := &part{status: http.StatusOK}
	for word := range strings.FieldsSeq(words) {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "status":
			p.status, _ = strconv.Atoi(value)
		case "delay":
			p.delay, _ = time.ParseDuration(value)
		case "abort":
			p.abort = true
		case "set":
			name, v, _ := strings.Cut(value, ":")
			p.set = append(p.set, [2]string{name, v})
		case "body":
			p.body = value
		case "at":
			p.at = value
		case "first":
			p.first, _ = strconv.Atoi(value)
		default:
			panic(fmt.Sprintf("no such part: %q", word))
		}
	}
	return p
}

// of returns what the endpoints saw of one request.
func (s *stage) of(id string) []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]seen(nil), s.seen[id]...)
}

// fill puts the endpoints' ports where a configuration says ${NAME}.
func (s *stage) fill(yaml string) string {
	var pairs []string
	for name, port := range s.ports {
		pairs = append(pairs, "${"+name+"}", strconv.Itoa(port))
	}
	for name, pem := range s.pki.texts {
		pairs = append(pairs, "${"+name+"}", strings.Trim(strconv.Quote(pem), `"`))
	}
	return strings.NewReplacer(pairs...).Replace(yaml)
}
