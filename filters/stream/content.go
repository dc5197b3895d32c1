package stream

import (
	"bytes"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// What is content? A stream moves in more ways than by what its model makes: servers
// keep it open with comments, announce the role before the first word, close with
// counts. Who waits for a first token is not helped by any of these, so that they are
// no first chunk and no sign of life.
//
// What is known to be empty is empty, by the shapes of OpenAI's chat, completions and
// responses, Anthropic's messages, Cohere's chat, Ollama's and llama.cpp's own API.
// Everything else is content: of a format that is not known here, each line is.

// content says whether one line of a stream is content. payload is what it says, without
// the framing; nil: nothing.
func (k kind) content(line []byte) (payload []byte, ok bool) {
	payload = k.payload(line)
	switch {
	case len(payload) == 0, string(payload) == "[DONE]":
		return nil, false
	case payload[0] != '{':
		return payload, true
	}
	return payload, hasContent(payload)
}

// payload takes the framing off a line.
func (k kind) payload(line []byte) []byte {
	if k == events {
		// Comments, names, identities and the line's end have nothing to say.
		rest, ok := bytes.CutPrefix(line, []byte("data:"))
		if !ok {
			return nil
		}
		line = rest
	}
	return bytes.TrimSpace(line)
}

// hasContent says whether a JSON object is one that a model has made something of.
func hasContent(text []byte) bool {
	s := jsonspan.New(text)
	s.Object()
	var (
		opens bool // it is one of those that open a stream
		known bool // it is of a shape that is known
		found bool
	)
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name.Of(text)) {
		case "choices": // OpenAI
			known = true
			if s.Array() {
				for s.Element() {
					found = choice(&s, text) || found
				}
				continue
			}
		case "type": // Anthropic, OpenAI's responses, Cohere
			opens = opening(s.Value().Of(text))
			continue
		case "done", "stop": // Ollama, llama.cpp: false, and of the last one true
			v := string(s.Value().Of(text))
			known = known || v == "true" || v == "false"
			found = found || v == "true"
			continue
		case "message": // Ollama's chat
			found = members(&s, text) || found
			continue
		case "text_output": // Triton
			known = true
			found = something(s.Value().Of(text)) || found
			continue
		case "response", "content", "thinking": // Ollama's generate, llama.cpp
			found = something(s.Value().Of(text)) || found
			continue
		}
		s.Value()
	}
	if s.End() != nil {
		return true
	}
	return !opens && (found || !known)
}

// choice says it of an element of OpenAI's choices. The end is worth as much as a word.
func choice(s *jsonspan.Scanner, text []byte) (found bool) {
	if !s.Object() {
		s.Value()
		return false
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		switch string(name.Of(text)) {
		case "delta", "message":
			found = members(s, text) || found
		case "text", "finish_reason":
			found = something(s.Value().Of(text)) || found
		default:
			s.Value()
		}
	}
	return found
}

// members says whether any member of an object but its role is something.
func members(s *jsonspan.Scanner, text []byte) (found bool) {
	if !s.Object() {
		s.Value()
		return false
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		v := s.Value().Of(text)
		found = found || string(name.Of(text)) != "role" && something(v)
	}
	return found
}

// something is a string, an array or an object that is not empty.
func something(value []byte) bool {
	if len(value) < 2 || bytes.IndexByte([]byte(`"[{`), value[0]) < 0 {
		return false
	}
	return len(bytes.TrimSpace(value[1:len(value)-1])) > 0 || value[0] == '"' && len(value) > 2
}

// opening are the types of events that tell that there will be some.
func opening(name []byte) bool {
	switch string(name) {
	case `"message_start"`, `"ping"`, `"content_block_start"`, // Anthropic
		`"message-start"`, `"content-start"`, // Cohere
		`"response.created"`, `"response.queued"`, `"response.in_progress"`, // OpenAI's responses
		`"response.output_item.added"`, `"response.content_part.added"`, `"response.reasoning_summary_part.added"`:
		return true
	}
	return false
}
