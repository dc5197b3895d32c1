package standin

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/bench/clock"
)

// Headers by which one request sets what it wants of a chat completion; each is
// also a member of the body's "metadata", as think_ms, gap_ms and stamp.
const (
	// ThinkHeader is the time before the first token in milliseconds.
	ThinkHeader = "X-Standin-Think-Ms"
	// GapHeader is the time between two tokens in milliseconds.
	GapHeader = "X-Standin-Gap-Ms"
	// StampHeader, where it is 1, asks for the moment of its writing, [clock.Now]
	// in nanoseconds, in every chunk of a stream, as the member "stamp".
	StampHeader = "X-Standin-Stamp"
)

// maxTokens bounds a completion.
const maxTokens = 1 << 20

// chatCall is a parsed call of /v1/chat/completions.
type chatCall struct {
	model         string // as it stands on the wire
	seed          uint64
	prompt        int // tokens of the messages
	tokens        int
	think, gap    time.Duration
	stream, usage bool
	stamp         bool
}

// chat answers OpenAI's POST /v1/chat/completions
// (https://platform.openai.com/docs/api-reference/chat/create). Chats do not use
// the accelerator: a server that makes tokens batches them by itself.
func (c *conn) chat(last bool) error {
	call, f := c.parseChat()
	if f != nil {
		return c.answer(f.status, openError(f.status, f.message), last)
	}
	ctx, stop := c.watch()
	defer stop()
	c.counters.thinking.Add(1)
	start := clock.Now() + int64(call.think)
	if !call.stream {
		start += int64(call.gap) * int64(max(0, call.tokens-1))
	}
	err := clock.WaitUntil(ctx, start)
	c.counters.thinking.Add(-1)
	if err != nil {
		return err
	}
	if call.stream {
		c.counters.streams.Add(1)
		defer c.counters.streams.Add(-1)
		return c.streamChat(ctx, call, start, last)
	}
	c.aux = call.appendWhole(c.aux[:0])
	return c.answer(200, c.aux, last)
}

func (c *conn) parseChat() (*chatCall, *fault) {
	body := c.body
	if !json.Valid(body) {
		return nil, bad("the body is not valid JSON")
	}
	call := &chatCall{tokens: c.config.Tokens, gap: c.config.Gap}
	var messages []byte
	for name, v := range fields(body) {
		switch name {
		case "model":
			if v[0] == '"' {
				call.model = string(v)
			}
		case "messages":
			messages = v
		case "stream":
			call.stream = string(v) == "true"
		case "stream_options":
			for name, v := range fields(v) {
				call.usage = call.usage || name == "include_usage" && string(v) == "true"
			}
		case "max_tokens", "max_completion_tokens":
			n, err := strconv.Atoi(string(v))
			if string(v) == "null" {
				continue
			}
			if err != nil || n < 1 || n > maxTokens {
				return nil, bad(name + ": " + string(v) + " is no number from 1 to " + strconv.Itoa(maxTokens))
			}
			call.tokens = n
		case "metadata":
			for name, v := range fields(v) {
				call.wish(name, string(unquote(v)))
			}
		}
	}
	if call.model == "" || len(messages) == 0 || messages[0] != '[' {
		return nil, bad("model or messages: is missing")
	}
	if status := poison(messages); status != 0 {
		return nil, &fault{status: status, message: "messages are poisoned"}
	}
	call.wish("think_ms", string(c.req.Header.Peek(ThinkHeader)))
	call.wish("gap_ms", string(c.req.Header.Peek(GapHeader)))
	call.wish("stamp", string(c.req.Header.Peek(StampHeader)))
	call.seed = ChatSeed(string(unquote([]byte(call.model))), messages)
	call.prompt = Tokens(messages)
	return call, nil
}

// wish sets what a header or a member of metadata asks for; what cannot be read
// is no wish.
func (call *chatCall) wish(name, value string) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || n < 0 || n > 3.6e6 {
		return
	}
	switch name {
	case "think_ms":
		call.think = time.Duration(n * float64(time.Millisecond))
	case "gap_ms":
		call.gap = time.Duration(n * float64(time.Millisecond))
	case "stamp":
		call.stamp = n == 1
	}
}

// streamChat writes the completion as server-sent events, one write a token,
// each at its own due time.
func (c *conn) streamChat(ctx context.Context, call *chatCall, start int64, last bool) error {
	c.out = appendHead(c.out[:0], 200, "text/event-stream; charset=utf-8", last)
	c.out = append(c.out, c.extra...)
	c.out = append(c.out, "cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"...)
	c.out = c.appendChunk(c.out, call.appendEvent(c.aux[:0], `{"role":"assistant","content":""}`, "null"))
	for i := range call.tokens {
		if i > 0 && call.gap > 0 {
			if err := clock.WaitUntil(ctx, start+int64(i)*int64(call.gap)); err != nil {
				return err
			}
		}
		c.out = c.appendChunk(c.out, call.appendEvent(c.aux[:0], `{"content":"`+ChatToken(call.seed, i)+`"}`, "null"))
		if err := c.flush(ctx); err != nil {
			return err
		}
		c.counters.chunks.Add(1)
	}
	c.out = c.appendChunk(c.out, call.appendEvent(c.aux[:0], `{}`, `"stop"`))
	if call.usage {
		c.out = c.appendChunk(c.out, call.appendUsageEvent(c.aux[:0]))
	}
	c.out = c.appendChunk(c.out, []byte("data: [DONE]\n\n"))
	c.out = append(c.out, "0\r\n\r\n"...)
	if err := c.flush(ctx); err != nil {
		return err
	}
	c.counters.completed.Add(1)
	return nil
}

// flush writes what has been put together.
func (c *conn) flush(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := c.nc.Write(c.out)
	c.out = c.out[:0]
	if err != nil {
		return ErrCallerGone
	}
	return nil
}

// appendChunk appends one chunk of the chunked transfer coding (RFC 9112
// section 7.1); event's memory becomes the next one's.
func (c *conn) appendChunk(dst, event []byte) []byte {
	c.aux = event
	dst = strconv.AppendInt(dst, int64(len(event)), 16)
	dst = append(dst, "\r\n"...)
	dst = append(dst, event...)
	return append(dst, "\r\n"...)
}
