package standin

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"
)

// job is a call as far as it was understood: how many items it costs and what is
// to be said of them.
type job struct {
	// model is the model's name, which may ask for an oddity.
	model string
	// items is how many the accelerator has to run; 0: refused at once.
	items int
	// fault: the call is answered with an error.
	fault *fault
	// hangs: the call is never answered.
	hangs bool
	// form writes an error as the protocol's servers do.
	form func(status int, message string) []byte
	// kind is the answer's content type; empty: JSON.
	kind string
	// answer appends the results of the first n items.
	answer func(dst []byte, n int) []byte
}

// A fault is a call that is answered with an error.
type fault struct {
	status  int
	message string
	header  string // lines, each ended by CRLF
}

func bad(message string) *fault { return &fault{status: 400, message: message} }

// refused is a job that is nothing but a fault.
func refused(form func(int, string) []byte, f *fault) *job { return &job{fault: f, form: form} }

// look says of item i, called what in errors, whether it fails or hangs the call.
// The first that fails it is the one that is spoken of.
func (j *job) look(what string, i int, item []byte) {
	j.hangs = j.hangs || hangs(item)
	if status := poison(item); status != 0 && j.fault == nil {
		j.fault = poisoned(status, what, i, item)
	}
}

// PoisonHeader stands on the answer to a call that a poisoned item failed and
// holds the item's number in the call.
const PoisonHeader = "X-Standin-Poisoned"

// poisoned is the fault of an item; the beginning of what poisoned it is in its
// message, so that nobody takes another's error for their own.
func poisoned(status int, what string, i int, by []byte) *fault {
	n := strconv.Itoa(i)
	return &fault{status, what + " " + n + " is poisoned: " + string(by[:min(len(by), 64)]), PoisonHeader + ": " + n + "\r\n"}
}

// do makes the answer to a job after the time that it takes. A call that a
// poisoned item fails takes its time all the same.
func (c *conn) do(j *job, last bool) error {
	odd := oddity(j.model)
	n := j.items
	if j.fault == nil && c.config.MaxItems > 0 && n > c.config.MaxItems {
		j.fault, n = tooMany(n, c.config.MaxItems), 0
	}
	if n > 0 {
		if f := odd.refuses(n); f != nil {
			j.fault, n = f, 0
		}
	}
	if j.hangs && n > 0 {
		return c.hang()
	}
	if n > 0 {
		if err := c.compute(n); err != nil {
			return err
		}
	}
	if f := j.fault; f != nil {
		if f.status == fasthttp.StatusServiceUnavailable || f.status == fasthttp.StatusTooManyRequests {
			c.extra = append(c.extra, "retry-after: 7\r\n"...)
		}
		c.extra = append(c.extra, f.header...)
		return c.answer(f.status, j.form(f.status, f.message), last)
	}
	if j.model != "" {
		c.extra = append(c.extra, "x-standin-model: "...)
		c.extra = append(c.extra, headerText(j.model)...)
		c.extra = append(c.extra, '\r', '\n')
	}
	c.aux = odd.answer(c, j, c.aux[:0])
	kind := j.kind
	if kind == "" {
		kind = "application/json"
	}
	return c.answerAs(kind, fasthttp.StatusOK, c.aux, last)
}

func tooMany(n, most int) *fault {
	return bad("batch size " + strconv.Itoa(n) + " is over the maximum of " + strconv.Itoa(most))
}

// hang waits for the caller to leave.
func (c *conn) hang() error {
	ctx, stop := c.watch()
	defer stop()
	c.counters.hung.Add(1)
	defer c.counters.hung.Add(-1)
	<-ctx.Done()
	return ErrCallerGone
}

// headerText is s as far as it may stand in a header.
func headerText(s string) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, []byte(s)))
}
