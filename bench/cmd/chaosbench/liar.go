package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// lie is what a server says to calls of several requests that it should not.
type lie string

const (
	honest   lie = ""
	fewer    lie = "fewer results than items"
	more     lie = "more results than items"
	garbage  lie = "half of the JSON"
	longer   lie = "a longer Content-Length than the body"
	textual  lie = "HTML with status 200"
	failing  lie = "500"
	headless lie = "a head that never ends"
)

// liar stands before an honest server. To a call of one item it tells the truth: nobody
// could tell what it is otherwise.
type liar struct {
	to     string
	lie    atomic.Value // a lie
	lies   atomic.Int64
	server *http.Server
	at     string
}

func newLiar(ctx context.Context, to string) (*liar, error) {
	l := &liar{to: to}
	l.lie.Store(honest)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.at = listener.Addr().String()
	l.server = &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	go func() { _ = l.server.Serve(listener) }() // until Close
	return l, nil
}

func (l *liar) close() { _ = l.server.Close() }

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+l.to+r.RequestURI, bytes.NewReader(asked)) // #nosec G704 -- to a server of its own
	if err != nil {
		return
	}
	req.Header = r.Header.Clone()
	resp, err := http.DefaultClient.Do(req) // #nosec G704 -- as above
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer resp.Body.Close() //nolint:errcheck // read to the end
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
	now, _ := l.lie.Load().(lie)
	if !several(asked) || now == honest {
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(body)
		return
	}
	l.lies.Add(1)
	l.say(w, now, body)
}

// several says that a call is for several items.
func several(body []byte) bool {
	var call struct{ Input []any }
	return json.Unmarshal(body, &call) == nil && len(call.Input) > 1
}

func (l *liar) say(w http.ResponseWriter, now lie, body []byte) {
	var answer map[string]any
	_ = json.Unmarshal(body, &answer)
	data, _ := answer["data"].([]any)
	switch now {
	case fewer, more:
		if now == fewer && len(data) > 0 {
			answer["data"] = data[:len(data)-1]
		} else if len(data) > 0 {
			answer["data"] = append(data, data[0])
		}
		_ = json.NewEncoder(w).Encode(answer)
	case garbage:
		_, _ = w.Write(body[:len(body)/2])
	case longer:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+100))
		_, _ = w.Write(body)
		panic(http.ErrAbortHandler)
	case textual:
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, "<html>everything is fine</html>")
	case failing:
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = fmt.Fprint(w, "no")
	case headless:
		l.endless(w)
	case honest:
	}
}

// endless writes a head that goes on until the caller has enough of it.
func (l *liar) endless(w http.ResponseWriter) {
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		return
	}
	c, _, err := hijacker.Hijack()
	if err != nil {
		return
	}
	defer c.Close() //nolint:errcheck // nothing was promised
	_, err = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
	for err == nil {
		_, err = io.WriteString(c, "X-More: and more and more and more and more and more and more\r\n")
	}
}
