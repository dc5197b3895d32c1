package standin

import (
	"strconv"

	"github.com/fridaymesh/friday/bench/clock"
)

func (call *chatCall) appendPrefix(dst []byte, object string) []byte {
	dst = append(dst, `{"id":"`+ChatID(call.seed)+`","object":"`+object+`","created":`...)
	dst = strconv.AppendInt(dst, Created, 10)
	dst = append(dst, `,"model":`...)
	return append(dst, call.model...)
}

func (call *chatCall) appendEvent(dst []byte, delta, finish string) []byte {
	dst = append(dst, "data: "...)
	dst = call.appendPrefix(dst, "chat.completion.chunk")
	if call.stamp {
		dst = append(dst, `,"stamp":`...)
		dst = strconv.AppendInt(dst, clock.Now(), 10)
	}
	dst = append(dst, `,"choices":[{"index":0,"delta":`+delta+`,"finish_reason":`+finish+`}]`...)
	if call.usage {
		dst = append(dst, `,"usage":null`...)
	}
	return append(dst, "}\n\n"...)
}

func (call *chatCall) appendUsageEvent(dst []byte) []byte {
	dst = append(dst, "data: "...)
	dst = call.appendPrefix(dst, "chat.completion.chunk")
	dst = append(dst, `,"choices":[],"usage":`...)
	dst = call.appendUsage(dst)
	return append(dst, "}\n\n"...)
}

func (call *chatCall) appendUsage(dst []byte) []byte {
	dst = append(dst, `{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, int64(call.prompt), 10)
	dst = append(dst, `,"completion_tokens":`...)
	dst = strconv.AppendInt(dst, int64(call.tokens), 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, int64(call.prompt+call.tokens), 10)
	return append(dst, '}')
}

func (call *chatCall) appendWhole(dst []byte) []byte {
	dst = call.appendPrefix(dst, "chat.completion")
	dst = append(dst, `,"choices":[{"index":0,"message":{"role":"assistant","content":"`...)
	for i := range call.tokens {
		dst = append(dst, ChatToken(call.seed, i)...)
	}
	dst = append(dst, `"},"finish_reason":"stop"}],"usage":`...)
	dst = call.appendUsage(dst)
	return append(dst, '}')
}
