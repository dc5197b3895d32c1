package jobs

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

const (
	// mostLines and mostBytes bound a batch's file, as OpenAI's do.
	mostLines = 50_000
	mostBytes = 200 << 20
	// mostLineBytes bounds one line.
	mostLineBytes = 16 << 20
	// mostCustomID bounds the caller's own id of a line.
	mostCustomID = 512
	// mostProblems is how many are told of.
	mostProblems = 100
)

// problem is what is wrong with a batch, in OpenAI's form.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Param   any    `json:"param"`
	Line    *int64 `json:"line"`
}

// parseLine reads one line of a batch's file for an endpoint. At most one of body and
// problem is set.
func parseLine(text []byte, endpoint string) (customID string, body []byte, p *problem) {
	var l struct {
		CustomID *string         `json:"custom_id"`
		Method   *string         `json:"method"`
		URL      *string         `json:"url"`
		Body     json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(text, &l); err != nil {
		return "", nil, &problem{Code: "invalid_json_line", Message: "This line is not parseable as valid JSON: " + reasonOf(err)}
	}
	missing := func(name string) *problem {
		return &problem{Code: "missing_required_parameter", Message: fmt.Sprintf("Missing required parameter: '%s'.", name), Param: name}
	}
	bad := func(code, name, format string, args ...any) *problem {
		return &problem{Code: code, Message: fmt.Sprintf(format, args...), Param: name}
	}
	switch {
	case l.CustomID == nil || *l.CustomID == "":
		return "", nil, missing("custom_id")
	case len(*l.CustomID) > mostCustomID:
		return "", nil, bad("invalid_custom_id", "custom_id", "The custom_id is longer than %d bytes.", mostCustomID)
	case l.Method == nil:
		return "", nil, missing("method")
	case *l.Method != "POST":
		return "", nil, bad("invalid_method", "method", "The method '%s' is not supported: it must be POST.", brief(*l.Method))
	case l.URL == nil:
		return "", nil, missing("url")
	case *l.URL != endpoint:
		return "", nil, bad("mismatched_endpoint", "url", "The URL '%s' of this line is not the endpoint of the batch, '%s'.", brief(*l.URL), endpoint)
	case len(l.Body) == 0 || string(l.Body) == "null":
		return "", nil, missing("body")
	case l.Body[0] != '{':
		return "", nil, bad("invalid_body", "body", "The body must be a JSON object.")
	}
	return *l.CustomID, l.Body, nil
}

// brief is what a message quotes of what somebody wrote.
func brief(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

func reasonOf(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return "it must be an object"
		}
		return fmt.Sprintf("'%s' must not be a %s", e.Field, e.Value)
	}
	return err.Error()
}

// input reads a batch's file line by line.
type input struct {
	r        *bufio.Reader
	endpoint string
	seen     map[uint64]struct{} // hashes of custom_ids
	number   int64               // of the line in the file
	count    int64               // of the lines that are not empty
	problems []problem
}

func newInput(r io.Reader, endpoint string) *input {
	return &input{r: bufio.NewReaderSize(r, 256<<10), endpoint: endpoint, seen: make(map[uint64]struct{})}
}

// next reads the next line that is not empty. ok is false where it is not valid; err is
// io.EOF at the end.
func (in *input) next() (l store.Line, ok bool, err error) {
	text, err := in.line()
	if err != nil {
		return l, false, err
	}
	if in.count++; in.count > mostLines {
		in.complain(&problem{Code: "too_many_requests", Message: fmt.Sprintf("The file has more than %d requests.", mostLines)})
		return l, false, io.EOF
	}
	id, body, p := parseLine(text, in.endpoint)
	if p == nil {
		if _, twice := in.seen[xxhash.Sum64String(id)]; twice {
			p = &problem{Code: "duplicate_custom_id", Message: fmt.Sprintf("The custom_id '%s' of this line has been used before.", brief(id)), Param: "custom_id"}
		}
	}
	if p != nil {
		in.complain(p)
		return l, false, nil
	}
	in.seen[xxhash.Sum64String(id)] = struct{}{}
	return store.Line{N: in.count, CustomID: id, Body: body}, true, nil
}

func (in *input) complain(p *problem) {
	if len(in.problems) < mostProblems {
		n := in.number
		p.Line = &n
		in.problems = append(in.problems, *p)
	}
}

// line reads the next one that is not empty. Its memory is its own.
func (in *input) line() ([]byte, error) {
	for {
		var text []byte
		for {
			part, err := in.r.ReadSlice('\n')
			text = append(text, part...)
			if len(text) > mostLineBytes {
				in.number++
				in.complain(&problem{Code: "line_too_long", Message: fmt.Sprintf("This line is longer than %d bytes.", mostLineBytes)})
				return nil, io.EOF
			}
			if err == nil || errors.Is(err, io.EOF) && len(text) > 0 {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return nil, err
			}
		}
		in.number++
		if in.number == 1 {
			text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return text, nil
		}
	}
}
