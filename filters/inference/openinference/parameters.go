package openinference

import (
	"bytes"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
)

// apart are the beginnings of parameters that keep a request from sharing a call:
// sequences are stateful, with shared memory the data is not in the body, and what
// is binary stands elsewhere than a reader of this place expects it. One that says
// false asks for nothing of the kind, as Triton's client does of each output.
var apart = [...]string{"sequence_", "shared_memory_", binaryData} //nolint:gochecknoglobals // a constant table

// The parameters of the binary extension, each at home in one place: an input's or
// an answer's output's, a wanted output's, a request's.
const (
	binarySize   = "binary_data_size"
	binaryData   = "binary_data"
	binaryOutput = "binary_data_output"
)

// readParameters takes an object of parameters, or null, in a place where the
// parameter here is at home: then its value comes back as well.
func readParameters(text []byte, s *jsonspan.Scanner, here string) (value []byte, at jsonspan.Span, ok bool) {
	start := s.Pos()
	if !s.Object() {
		value = s.Value().Of(text)
		return value, at, string(value) == "null"
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		name := span.Of(text)
		if jsonspan.Escaped(name) {
			return nil, at, false
		}
		value := s.Value()
		if string(name) == here {
			if at.Start > 0 {
				return nil, at, false
			}
			at = value
			continue
		}
		for _, prefix := range apart {
			if bytes.HasPrefix(name, []byte(prefix)) && string(value.Of(text)) != "false" {
				return nil, at, false
			}
		}
	}
	return text[start:s.Pos()], at, true
}

// readParameters takes the parameters of a tensor, among which its size may
// be, if its data stands behind the JSON. The size stays out of what has to be equal.
func (t *tensor) readParameters(text []byte, s *jsonspan.Scanner) (value []byte, ok bool) {
	start := s.Pos()
	value, at, ok := readParameters(text, s, binarySize)
	if !ok || at.Start == 0 {
		return value, ok
	}
	size, ok := jsonspan.Int(at.Of(text))
	if !ok || t.size.Start > 0 {
		return nil, false
	}
	t.size, t.bytes = at, size
	value = append(bytes.Clone(text[start:at.Start]), text[at.End:s.Pos()]...)
	return value, true
}
