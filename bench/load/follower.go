package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fridaymesh/friday/bench/standin"
)

// follower checks the events of one stream against what they should be.
type follower struct {
	seen        *StreamResult
	begun       int64
	seed        uint64
	tokens, got int
	done        bool
}

// wrongError is a stream that is not what was asked for.
type wrongError struct{ what string }

func (e *wrongError) Error() string { return e.what }

func (f *follower) event(event []byte, now int64) error {
	data, ok := bytes.CutPrefix(event, []byte("data: "))
	if !ok || f.done {
		return &wrongError{"not an event that is due: " + shown(event)}
	}
	if string(data) == "[DONE]" {
		f.done = true
		return nil
	}
	var chunk struct {
		ID      string
		Stamp   int64
		Choices []struct {
			Delta struct{ Content string }
		}
	}
	if err := json.Unmarshal(data, &chunk); err != nil {
		return &wrongError{"not JSON: " + shown(event)}
	}
	if chunk.ID != standin.ChatID(f.seed) {
		return &wrongError{"the chunk belongs to " + chunk.ID + ", not to " + standin.ChatID(f.seed)}
	}
	if len(chunk.Choices) != 1 || chunk.Choices[0].Delta.Content == "" {
		return nil // the role, the end
	}
	if got, due := chunk.Choices[0].Delta.Content, standin.ChatToken(f.seed, f.got); got != due {
		return &wrongError{fmt.Sprintf("token %d is %q where %q is due", f.got, got, due)}
	}
	if f.got == 0 {
		f.seen.FirstChunk.Add(time.Duration(now - f.begun))
	}
	f.got++
	f.seen.Chunks++
	f.seen.Lag.Add(time.Duration(now - chunk.Stamp))
	return nil
}

func (f *follower) end(left int) error {
	if !f.done || left > 0 || f.got != f.tokens {
		return &wrongError{fmt.Sprintf("the stream ended after %d of %d tokens", f.got, f.tokens)}
	}
	return nil
}
