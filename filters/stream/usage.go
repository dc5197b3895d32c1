package stream

import (
	"bytes"

	"github.com/fridaymesh/friday/filters/inference/jsonspan"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/stream"
)

// usage is how many tokens an answer says that it took; -1: it does not say.
type usage struct{ input, output int64 }

// usageIn finds the counts in the end of an answer. They stand near the end in all the
// APIs, and as the names of members they cannot stand in a text that a model has made:
// there the quotes are escaped.
func (a *api) usageIn(end []byte) usage {
	u := usage{-1, -1}
	if a.words == ollama {
		// At the top of the last line.
		u.input = number(end, `"prompt_eval_count"`)
		u.output = number(end, `"eval_count"`)
		return u
	}
	// The last one counts: a stream may tell them with every token.
	for {
		i := bytes.Index(end, []byte(`"usage"`))
		if i < 0 {
			return u
		}
		end = end[i+len(`"usage"`):]
		if c := counts(end); c != (usage{-1, -1}) {
			u = c
		}
	}
}

// counts reads an object of counts; after are the bytes behind its name.
func counts(after []byte) usage {
	u := usage{-1, -1}
	after = bytes.TrimLeft(after, " \t\r\n:")
	s := jsonspan.New(after)
	if !s.Object() {
		return u
	}
	for name, ok := s.Member(); ok; name, ok = s.Member() {
		v := s.Value().Of(after)
		switch string(name.Of(after)) {
		case "prompt_tokens", "input_tokens":
			if n, ok := jsonspan.Int(v); ok {
				u.input = n
			}
		case "completion_tokens", "output_tokens":
			if n, ok := jsonspan.Int(v); ok {
				u.output = n
			}
		}
	}
	return u
}

// number finds the last member of a name whose value is a number; -1: there is none.
func number(text []byte, name string) int64 {
	n := int64(-1)
	for {
		i := bytes.Index(text, []byte(name))
		if i < 0 {
			return n
		}
		text = text[i+len(name):]
		after := bytes.TrimLeft(text, " \t\r\n:")
		s := jsonspan.New(after)
		if v, ok := jsonspan.Int(s.Value().Of(after)); ok {
			n = v
		}
	}
}

// whole watches an answer in one piece for its counts.
type whole struct {
	proxy.Body

	f     *filter
	req   *proxy.Request
	api   *api
	begun bool
	ended bool
	model string
	tail  *stream.Tail // nil while nothing has to be remembered
}

var _ proxy.Body = (*whole)(nil)

// counted wraps the body of an answer that may count tokens: of one of the APIs, in
// JSON, a success. All others are left alone.
func (f *filter) counted(req *proxy.Request, resp *proxy.Response) proxy.Body {
	h := &resp.Header
	if h.StatusCode() != 200 || resp.Body.Len() <= 0 || !isJSON(h.ContentType()) || len(h.ContentEncoding()) > 0 {
		return resp.Body
	}
	a := apiOf(req)
	if a == nil {
		return resp.Body
	}
	w := &whole{Body: resp.Body, f: f, req: req, api: a, model: modelOf(req)}
	if body, ok := resp.Body.(*proxy.BytesBody); ok {
		w.end(body.Bytes(), body.Bytes())
		return resp.Body
	}
	return w
}

func isJSON(media []byte) bool {
	const kind = "application/json"
	return len(media) >= len(kind) && bytes.EqualFold(media[:len(kind)], []byte(kind))
}

// Read passes on what is ready.
func (w *whole) Read(p []byte) (int, error) {
	n, err := w.Body.Read(p)
	switch {
	case w.ended || n == 0 && err == nil:
	case err != nil && !w.begun: // all at once: nothing is copied
		w.end(p[:n], p[:n])
	default:
		if !w.begun {
			w.begun, w.tail = true, new(stream.Tail)
			if w.model == "" {
				w.model = modelIn(p[:n])
			}
		}
		w.tail.Add(p[:n])
		if err != nil {
			w.end(nil, w.tail.Bytes())
		}
	}
	return n, err
}

// end counts, once.
func (w *whole) end(beginning, end []byte) {
	w.ended = true
	if w.model == "" {
		w.model = modelIn(beginning)
	}
	m := w.f.meters.of(w.req.Cluster, w.model)
	m.api(w.api).seconds.Observe(since(w.req.Start))
	u := w.api.usageIn(end)
	if u == (usage{-1, -1}) {
		return // or it was cut short
	}
	m.use(w.api, u)
	traceUsage(w.req.Span, w.api, u)
}

// Ready is how many bytes Read would return without waiting, where that is known.
func (w *whole) Ready() int { return ready(w.Body) }
