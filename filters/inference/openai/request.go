package openai

import (
	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// Request reads {"model": …, "input": …, …}. Requests go together where all
// members but input are equal and the inputs are of one form, text or tokens. Not
// understood: a stream, no input or an empty one, inputs of any other form, and an
// unknown member that may be a list over the items.
func (Protocol) Request(_ wire.Target, body []byte) *wire.Message {
	m := &wire.Message{Text: body}
	var options wire.Options
	s := jsonspan.New(body)
	if !s.Object() {
		return nil
	}
	streamed := false
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch name := span.Of(body); string(name) {
		case "input":
			options.Note(name)
			if !m.ReadInputs(&s) {
				return nil
			}
		case "model":
			value := s.Value().Of(body)
			if m.Model, ok = jsonspan.Unquote(value); !ok {
				return nil
			}
			options.Add(name, value)
		case "stream":
			value := s.Value().Of(body)
			streamed = string(value) == "true"
			options.Add(name, value)
		default:
			options.Other(name, s.Value().Of(body))
		}
	}
	if s.End() != nil || streamed || m.Items == 0 || options.RunsOver(m.Items) {
		return nil
	}
	key, ok := options.AppendKey([]byte(form(m)))
	if !ok {
		return nil
	}
	m.Key = wire.Key(key)
	return m
}
