package load

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/fridaymesh/friday/bench/standin"
)

// Chat asks /v1/chat/completions for a whole answer of Tokens tokens, each about five
// bytes long.
type Chat struct{ Tokens int }

var _ Workload = Chat{}

// Path is OpenAI's.
func (Chat) Path() string { return "/v1/chat/completions" }

// AppendBody appends one message.
func (w Chat) AppendBody(dst []byte, n uint64) []byte {
	dst = append(dst, `{"model":"`+Model+`","max_tokens":`...)
	dst = strconv.AppendInt(dst, int64(w.Tokens), 10)
	dst = append(dst, `,"messages":`...)
	return append(appendMessages(dst, n), '}')
}

func appendMessages(dst []byte, n uint64) []byte {
	dst = append(dst, `[{"role":"user","content":"request `...)
	return append(strconv.AppendUint(dst, n, 10), `"}]`...)
}

// Check compares every token.
func (w Chat) Check(n uint64, body []byte) error {
	var room [64]byte
	seed := standin.ChatSeed(Model, appendMessages(room[:0], n))
	_, content, ok := bytes.Cut(body, []byte(`"content":"`))
	for i := 0; ok && i < w.Tokens; i++ {
		content, ok = bytes.CutPrefix(content, []byte(standin.ChatToken(seed, i)))
	}
	if !ok || !bytes.HasPrefix(content, []byte(`"},"finish_reason":"stop"}],"usage":{`)) {
		return fmt.Errorf("the message is not the answer to its request: %s", shown(body))
	}
	return nil
}
