package load

import (
	"context"
	"time"

	"github.com/fridaymesh/friday/bench/clock"
)

// Link is one caller's way to a server. It carries one request at a time, and is not
// safe for concurrent use.
type Link interface {
	// Call sends a request and returns its answer, which is valid until the next Call.
	// header has the request's own header lines, "name: value\r\n" each. The error is
	// [Failure]'s where its kind is to be told apart from others. Call returns soon
	// after ctx has ended, and lays down a connection that may be broken.
	Call(ctx context.Context, path string, header, body []byte) (Answer, error)
	// Dialled is how many connections were opened.
	Dialled() uint64
	// Close closes the connection. It may be called more than once.
	Close()
}

// Answer is what a server said, with a status that promises what was asked for.
type Answer struct {
	Header Header
	Body   []byte
}

// Header is an answer's.
type Header interface {
	// Peek is the value of a name, whatever its case; empty where there is none.
	Peek(name string) []byte
}

// Headed is a workload whose requests have header lines of their own or whose
// answers cannot be understood without theirs.
type Headed interface {
	Workload
	// AppendHeader appends the lines that go with the body of request n, "name:
	// value\r\n" each, its content-type among them.
	AppendHeader(dst []byte, n uint64, body []byte) []byte
	// CheckAnswer is Check with the answer's header.
	CheckAnswer(n uint64, answer Answer) error
}

// jsonHeader goes with every request whose workload has no lines of its own.
const jsonHeader = "content-type: application/json\r\n"

// HTTP makes links that speak HTTP/1.1 over a connection that is kept alive.
func HTTP(t *Target, timeout time.Duration) Link {
	return &httpLink{link: link{target: t, timeout: timeout}}
}

type httpLink struct {
	link
	request []byte
}

func (l *httpLink) Call(ctx context.Context, path string, header, body []byte) (Answer, error) {
	if clock.Now()-l.used > int64(freshness) {
		l.close()
	}
	l.request = l.target.appendRequest(l.request[:0], path, header, body)
	answer, err := l.call(ctx, l.request)
	return Answer{&l.resp.Header, answer}, err
}

func (l *httpLink) Dialled() uint64 { return l.dialled }
func (l *httpLink) Close()          { l.close() }

// Failure is the error of a request that had no answer, of a kind that people can
// count: a status, "connect", "timeout", "reset".
func Failure(kind string, err error) error { return &failure{kind, err} }

// leaver is a Link whose caller can leave: the next calls are given up after so long;
// 0: not.
type leaver interface{ leaveAfter(d time.Duration) }
