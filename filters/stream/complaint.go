package stream

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/proxy"
)

// complaint says within the stream why it ends before its end, in the words of its API;
// nil where there are none, or where the stream stands in the midst of something: then
// the caller is only cut off. It is cut off after a complaint, too: what has failed
// must not look whole to whoever does not know the words.
func (w *watched) complaint(err error) []byte {
	if w.api == nil || w.tail == nil || w.Len() >= 0 {
		return nil
	}
	between := w.tail.BetweenEvents()
	if w.kind == lines {
		between = w.tail.BetweenLines()
	}
	if !between || bytes.HasSuffix(bytes.TrimSpace(w.tail.Bytes()), []byte("[DONE]")) {
		return nil
	}
	pe := proxy.AsError(w.ctx, err)
	if pe.Flag == proxy.FlagInternal {
		pe = &proxy.Error{Status: 502, Flag: proxy.FlagUpstreamReset, Message: "the upstream connection ended in the middle of the answer"}
	}
	return w.api.words.tell(w.kind, pe, w.tail.Bytes())
}

// tell makes what is said, nil where there are no words for it in such a stream.
func (w words) tell(k kind, pe *proxy.Error, before []byte) []byte {
	message := quote(pe.Message)
	code := `"` + codeOf(pe) + `"`
	switch {
	case k == events && w == openAI:
		return []byte(`data: {"error":{"message":` + message + `,"type":"server_error","param":null,"code":` + code + "}}\n\n")
	case k == events && w == responses:
		return []byte("event: error\n" + `data: {"type":"error","code":` + code + `,"message":` + message +
			`,"param":null,"sequence_number":` + strconv.FormatInt(nextNumber(before), 10) + "}\n\n")
	case k == events && w == anthropic:
		kind := "api_error"
		switch pe.Status {
		case 504:
			kind = "timeout_error"
		case 503, 529:
			kind = "overloaded_error"
		}
		return []byte("event: error\n" + `data: {"type":"error","error":{"type":"` + kind + `","message":` + message + "}}\n\n")
	case k == lines && w == ollama:
		return []byte(`{"error":` + message + "}\n")
	}
	return nil
}

// codes are those of why Friday itself ends a stream.
var codes = map[proxy.Flag]string{ //nolint:gochecknoglobals // a constant table
	proxy.FlagTimeout: "timeout", proxy.FlagDraining: "draining", proxy.FlagUpstreamReset: "upstream_reset",
}

// codeOf is a word for a program.
func codeOf(pe *proxy.Error) string {
	if code := codes[pe.Flag]; code != "" {
		return code
	}
	return "status_" + strconv.Itoa(pe.Status)
}

// repeat makes an event of an answer with an error status that came after the head of a
// stream had been sent: of the server's own JSON where it is such an error's.
func (w words) repeat(pe *proxy.Error, answer []byte) []byte {
	if w == openAI || w == anthropic {
		s, isError := jsonspan.New(answer), false
		if s.Object() {
			for name, ok := s.Member(); ok; name, ok = s.Member() {
				isError = isError || string(name.Of(answer)) == "error" && s.Kind() == '{'
				s.Value()
			}
		}
		if s.End() == nil && isError {
			// Within JSON a line's end is only white space.
			answer = bytes.ReplaceAll(bytes.ReplaceAll(bytes.TrimSpace(answer), []byte{'\n'}, []byte{' '}), []byte{'\r'}, nil)
			name := ""
			if w == anthropic {
				name = "event: error\n"
			}
			return append(append([]byte(name+"data: "), answer...), "\n\n"...)
		}
	}
	return w.tell(events, pe, nil)
}

// nextNumber is the number of the next event of OpenAI's responses.
func nextNumber(before []byte) int64 { return number(before, `"sequence_number"`) + 1 }

func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return `""` // not reached: a string can be marshalled
	}
	return string(b)
}
