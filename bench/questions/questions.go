package questions

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/fridaymesh/friday/bench/load"
)

// List is questions and, once [List.Learn] has asked them, the answers that are due.
// After that nothing changes it; [List.Asker] makes what asks them.
type List struct {
	// Where is the path, of HTTP or of the gRPC method.
	Where string
	// Headers have the header lines of each question, "name: value\r\n"; nil: those
	// of JSON.
	Headers []string
	// Bodies are the questions.
	Bodies [][]byte
	// Decode makes of an answer what can be compared: see [Comparison].
	Decode func(answer load.Answer) (any, error)
	// Estimated are members of an answer that whoever batches may have to estimate:
	// that they differ is counted, not wrong.
	Estimated []string
	// Tolerance is by how much numbers may differ. 0: [Tolerance].
	Tolerance float64

	answers []answer
}

// answer is what is due: as bytes, for the quick comparison, and decoded.
type answer struct {
	text    []byte
	decoded any
}

// Asker asks a list's questions, round and round, and compares the answers. Safe for
// concurrent use.
type Asker struct {
	*List

	estimates atomic.Uint64

	mu      sync.Mutex
	largest float64
}

var _ load.Headed = (*Asker)(nil)

// Asker makes one that has not asked anything yet.
func (l *List) Asker() *Asker { return &Asker{List: l} }

// Path is Where.
func (l *List) Path() string { return l.Where }

func (l *List) index(n uint64) int { return int(n % uint64(len(l.Bodies))) } // #nosec G115 -- below a length

// AppendBody appends question n, beginning again after the last.
func (l *List) AppendBody(dst []byte, n uint64) []byte { return append(dst, l.Bodies[l.index(n)]...) }

// AppendHeader appends what goes with it.
func (l *List) AppendHeader(dst []byte, n uint64, _ []byte) []byte {
	if l.Headers == nil {
		return append(dst, "content-type: application/json\r\n"...)
	}
	return append(dst, l.Headers[l.index(n)]...)
}

// Check cannot be: the answer's header may be needed.
func (l *List) Check(uint64, []byte) error {
	return errors.New("questions: the answer's header is missing")
}

// CheckAnswer compares the answer to question n with what is due.
func (k *Asker) CheckAnswer(n uint64, a load.Answer) error {
	i := k.index(n)
	due := &k.answers[i]
	if bytes.Equal(a.Body, due.text) {
		return nil
	}
	got, err := k.Decode(a)
	if err != nil {
		return fmt.Errorf("question %d: %w", i, err)
	}
	c := Comparison{Tolerance: cmp.Or(k.Tolerance, Tolerance), Ignored: k.Estimated}
	d := c.Difference(due.decoded, got)
	k.mu.Lock()
	k.largest = max(k.largest, c.Largest)
	k.mu.Unlock()
	if d != "" {
		return fmt.Errorf("question %d: %s", i, d)
	}
	if c.Ignored = nil; len(k.Estimated) > 0 && c.Difference(due.decoded, got) != "" {
		k.estimates.Add(1)
	}
	return nil
}

// Estimates is how many answers differed in nothing but what may be estimated.
func (k *Asker) Estimates() uint64 { return k.estimates.Load() }

// Largest is the largest difference of two numbers so far: absolute, or relative to
// the larger where that is above 1.
func (k *Asker) Largest() float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.largest
}

// Learn asks the server every question, one after the other, and takes its answers
// for those that are due.
func (l *List) Learn(ctx context.Context, server load.Target) error {
	lesson := &lesson{List: l}
	l.answers = make([]answer, len(l.Bodies))
	r, err := load.Run(ctx, load.Options{
		Target: server, Workload: lesson, Concurrency: 1, Requests: uint64(len(l.Bodies)),
	})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !r.Clean():
		return fmt.Errorf("asking the server itself: %s", r.Trouble())
	}
	return nil
}

// lesson takes every answer for the one that is due.
type lesson struct{ *List }

func (l *lesson) CheckAnswer(n uint64, a load.Answer) error {
	decoded, err := l.Decode(a)
	if err != nil {
		return err
	}
	l.answers[l.index(n)] = answer{text: bytes.Clone(a.Body), decoded: decoded}
	return nil
}
