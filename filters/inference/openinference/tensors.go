package openinference

import (
	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/filters/inference/rawtensor"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

// maxRows is how many rows the tensors of one text may have in all: each costs some
// memory beside the text.
const maxRows = 4 * wire.MaxItems

// raw is a tensor whose data stands behind the JSON.
type raw struct {
	list      int // its number in the message
	datatype  string
	rows, row int
	bytes     int64
}

// readTensors reads the array of tensors that s, in text, is at into m, all of the
// same number of rows, at most so many, and returns their keys, and those whose data
// is yet to be found behind the text. It is false where one is not as it should be;
// m.Lists then holds those before it.
func readTensors(
	m *wire.Message, text []byte, s *jsonspan.Scanner, most int, keyOf func(*tensor, []byte) ([]byte, bool),
) (key []byte, raws []raw, ok bool) {
	if !s.Array() {
		return nil, nil, false
	}
	for s.Element() {
		var t tensor
		if !t.read(text, s, most) || m.Items != 0 && t.rows != m.Items ||
			t.rows*(len(m.Lists)+1) > maxRows {
			return nil, nil, false
		}
		if key, ok = keyOf(&t, key); !ok {
			return nil, nil, false
		}
		m.Items = t.rows
		list := len(m.Lists)
		m.Holes = append(m.Holes, wire.Hole{Span: t.count, Kind: wire.Count})
		if t.binary() {
			datatype, _ := jsonspan.Unquote(t.datatype)
			raws = append(raws, raw{list, datatype, t.rows, t.row, t.bytes})
			m.Holes = append(m.Holes, wire.Hole{Span: t.size, Kind: wire.Size, N: list})
		} else {
			m.Holes = append(m.Holes, wire.Hole{Span: t.inside, Kind: wire.Inside, N: list})
		}
		m.Lists = append(m.Lists, wire.List{Items: t.items, Raw: t.binary()})
	}
	return key, raws, true
}

// readRaws finds the rows of the raw tensors, which stand from offset at of the body
// to its end, one behind the other.
func readRaws(m *wire.Message, raws []raw, at int) bool {
	for _, r := range raws {
		if r.bytes > int64(len(m.Text)-at) {
			return false
		}
		span := jsonspan.Span{Start: at, End: at + int(r.bytes)}
		items, ok := rawtensor.Rows(m.Text, span, r.datatype, r.rows, r.row)
		if !ok {
			return false
		}
		m.Lists[r.list].Items = items
		m.Holes = append(m.Holes, wire.Hole{Span: span, Kind: wire.Inside, N: r.list})
		at = span.End
	}
	return at == len(m.Text)
}

// headerLength is where the raw tensors behind the JSON begin that s has walked to
// its end; -1 where they do not fit, or more than white space stands between.
func headerLength(body []byte, s *jsonspan.Scanner, raws []raw) int {
	end := int64(len(body))
	for _, r := range raws {
		if end -= r.bytes; end < int64(s.Pos()) {
			return -1
		}
	}
	rest := jsonspan.At(body[:end], s.Pos())
	if !s.Ended() || rest.End() != nil {
		return -1
	}
	return int(end)
}

// HeaderLength is what the header Inference-Header-Content-Length of a body has to
// say: where its JSON, from whose "inputs" or "outputs" the sizes of the raw tensors
// behind it are read, ends. It is false where the body is not of that form.
func HeaderLength(body []byte) (int, bool) {
	s := jsonspan.New(body)
	if !s.Object() {
		return 0, false
	}
	var raws []raw
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		switch string(span.Of(body)) {
		case "inputs", "outputs":
			raws = appendSizes(raws, body, &s)
		default:
			s.Value()
		}
	}
	end := headerLength(body, &s, raws)
	return end, end >= 0
}

// appendSizes appends the raw ones of the array of tensors that s is at, of which
// only the size is read.
func appendSizes(raws []raw, body []byte, s *jsonspan.Scanner) []raw {
	if !s.Array() {
		s.Value()
		return raws
	}
	for s.Element() {
		if !s.Object() {
			s.Value()
			continue
		}
		for span, ok := s.Member(); ok; span, ok = s.Member() {
			if string(span.Of(body)) != "parameters" {
				s.Value()
				continue
			}
			raws = appendSize(raws, body, s)
		}
	}
	return raws
}

// appendSize appends the one that the parameters that s is at tell of, if any. A
// wanted output's tell of none, but that it be raw.
func appendSize(raws []raw, body []byte, s *jsonspan.Scanner) []raw {
	if !s.Object() {
		s.Value()
		return raws
	}
	for span, ok := s.Member(); ok; span, ok = s.Member() {
		value := s.Value()
		if string(span.Of(body)) == binarySize {
			size, _ := jsonspan.Int(value.Of(body))
			raws = append(raws, raw{bytes: size})
		}
	}
	return raws
}
