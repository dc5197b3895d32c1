package filtertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fridaymesh/friday/proxy"
)

// Call is one call that a Server got.
type Call struct {
	// Path is the request target, Body the content as it arrived.
	Path, Body string
	// Header has the names in lower case; of a repeated one, the last.
	Header map[string]string
	// Items are the raw JSON texts of the items.
	Items []string
	// Endpoint is the address that the call was pinned to, if any.
	Endpoint string
}

// Server is a model server as a Handler. It takes so many calls at once, needs
// Fixed + PerItem × items for each (in virtual time, within testing/synctest), and
// answers each item as a function of that item alone:
//
//   - OpenAI embeddings: [length of the item's JSON text, its first byte], and as
//     usage the sum of those lengths;
//   - KServe V1: {"echo": instance};
//   - Open Inference Protocol: the first input's tensor, as output "echo", in JSON;
//     raw, behind the JSON, where it came raw; and over gRPC, raw or typed.
type Server struct {
	Fixed, PerItem time.Duration
	// Before, where not nil, sees each call after its time has passed; what it
	// returns takes the place of the answer, unless both are nil.
	Before func(ctx context.Context, call Call) (*proxy.Response, error)
	// Asked, where not nil, answers what is asked about the model, not of it: a GET,
	// or how many tokens a text has. Nil, or where it returns nil: not found.
	Asked func(ctx context.Context, question Call) (*proxy.Response, error)

	slots chan struct{}

	mu        sync.Mutex
	calls     []Call
	questions []Call
}

var _ proxy.Handler = (*Server)(nil)

// NewServer takes parallel calls at once.
func NewServer(parallel int, fixed, perItem time.Duration) *Server {
	return &Server{Fixed: fixed, PerItem: perItem, slots: make(chan struct{}, parallel)}
}

// Questions are what was asked about the model so far. They take no time and none of
// the places for calls.
func (s *Server) Questions() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.questions)
}

// Calls are the calls so far, without the questions.
func (s *Server) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Handle answers.
func (s *Server) Handle(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
	req.Trace.Attempts++
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	call := Call{Path: string(req.Header.RequestURI()), Body: string(body), Header: map[string]string{}}
	for k, v := range req.Header.All() {
		call.Header[strings.ToLower(string(k))] = string(v)
	}
	if req.Endpoint != nil {
		call.Endpoint = req.Endpoint.Address
		req.Trace.Upstream = call.Endpoint
	}
	if req.Header.IsGet() || strings.HasSuffix(call.Path, "/tokenize") {
		return s.asked(ctx, call)
	}
	answer, items := respond(call, body)
	call.Items = items
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()

	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, proxy.AsError(ctx, context.Cause(ctx))
	}
	if d := s.Fixed + time.Duration(len(items))*s.PerItem; d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
	}
	if s.Before != nil {
		if resp, err := s.Before(ctx, call); resp != nil || err != nil {
			return resp, err
		}
	}
	return call.wrap(answer), nil
}

// asked answers a question.
func (s *Server) asked(ctx context.Context, question Call) (*proxy.Response, error) {
	s.mu.Lock()
	s.questions = append(s.questions, question)
	s.mu.Unlock()
	if s.Asked != nil {
		if resp, err := s.Asked(ctx, question); resp != nil || err != nil {
			return resp, err
		}
	}
	return Answer(404, "application/json", `{"error":"not found"}`), nil
}

// wrap makes the Response of what respond returned.
func (c *Call) wrap(answer string) *proxy.Response {
	grpc := c.Path == ModelInferPath
	switch {
	case answer == "" && grpc:
		return GRPCAnswer("", "grpc-status", "3", "grpc-message", "not understood")
	case answer == "":
		return Answer(404, "application/json", `{"error":"not found"}`)
	case grpc:
		return GRPCAnswer(answer, "grpc-status", "0", "grpc-message", "")
	case c.Header[jsonLength] != "":
		text, raw, _ := strings.Cut(answer, "\x00")
		r := Answer(200, "application/octet-stream", text+raw)
		r.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(text)))
		return r
	}
	return Answer(200, "application/json", answer)
}

const jsonLength = "inference-header-content-length"

// respond is the answer to a body, and the items in it.
func respond(call Call, body []byte) (answer string, items []string) {
	switch path := call.Path; {
	case path == ModelInferPath:
		return echo(body)
	case call.Header[jsonLength] != "":
		return inferRaw(call.Header[jsonLength], body)
	case strings.Contains(path, "/embeddings"):
		return embed(body)
	case strings.Contains(path, ":predict"):
		return predict(body)
	case strings.Contains(path, "/infer"):
		return infer(body)
	}
	return "", nil
}

func texts(raw []json.RawMessage) []string {
	out := make([]string, len(raw))
	for i, r := range raw {
		out[i] = string(r)
	}
	return out
}

func embed(body []byte) (string, []string) {
	var req struct {
		Model string
		Input json.RawMessage
	}
	if json.Unmarshal(body, &req) != nil {
		return "", nil
	}
	var items []json.RawMessage
	if json.Unmarshal(req.Input, &items) != nil {
		items = []json.RawMessage{req.Input}
	}
	var data strings.Builder
	tokens := 0
	for i, item := range items {
		if i > 0 {
			data.WriteByte(',')
		}
		fmt.Fprintf(&data, `{"object":"embedding","index":%d,"embedding":[%d,%d.0]}`, i, len(item), item[min(1, len(item)-1)])
		tokens += len(item)
	}
	return fmt.Sprintf(`{"object":"list","data":[%s],"model":%q,"usage":{"prompt_tokens":%d,"total_tokens":%d}}`,
		&data, req.Model, tokens, tokens), texts(items)
}

func predict(body []byte) (string, []string) {
	var req struct{ Instances []json.RawMessage }
	if json.Unmarshal(body, &req) != nil {
		return "", nil
	}
	items := texts(req.Instances)
	echoes := make([]string, len(items))
	for i, item := range items {
		echoes[i] = `{"echo":` + item + `}`
	}
	return `{"predictions":[` + strings.Join(echoes, ",") + `]}`, items
}

func infer(body []byte) (string, []string) {
	var req struct {
		ID     string
		Inputs []struct {
			Shape    []int
			Datatype string
			Data     []json.RawMessage
		}
	}
	if json.Unmarshal(body, &req) != nil || len(req.Inputs) == 0 || len(req.Inputs[0].Shape) == 0 {
		return "", nil
	}
	in := req.Inputs[0]
	shape, _ := json.Marshal(in.Shape)
	data := strings.Join(texts(in.Data), ",")
	return fmt.Sprintf(`{"model_name":"m","id":%q,"outputs":[{"name":"echo","shape":%s,"datatype":%q,"data":[%s]}]}`,
		req.ID, shape, in.Datatype, data), rows(texts(in.Data), in.Shape[0])
}

// inferRaw is the answer where the first input's data stands behind the JSON: its own
// JSON, a zero byte, which no JSON holds, and the data.
func inferRaw(length string, body []byte) (string, []string) {
	var req struct {
		ID     string
		Inputs []struct {
			Shape      []int
			Datatype   string
			Parameters struct {
				Size int `json:"binary_data_size"`
			}
		}
	}
	n, err := strconv.Atoi(length)
	if err != nil || n > len(body) || json.Unmarshal(body[:n], &req) != nil || len(req.Inputs) == 0 || len(req.Inputs[0].Shape) == 0 {
		return "", nil
	}
	in := req.Inputs[0]
	size := in.Parameters.Size
	if size > len(body)-n {
		return "", nil
	}
	raw := string(body[n : n+size])
	shape, _ := json.Marshal(in.Shape)
	var items []string
	for i := range in.Shape[0] {
		items = append(items, raw[i*size/in.Shape[0]:(i+1)*size/in.Shape[0]])
	}
	return fmt.Sprintf(`{"model_name":"m","id":%q,"outputs":[{"name":"echo","shape":%s,"datatype":%q,"parameters":{"binary_data_size":%d}}]}`,
		req.ID, shape, in.Datatype, size) + "\x00" + raw, items
}

// rows cuts flat data into n items.
func rows(data []string, n int) []string {
	if n <= 0 || len(data)%n != 0 {
		return nil
	}
	out := make([]string, 0, n)
	for row := range slices.Chunk(data, max(1, len(data)/n)) {
		out = append(out, strings.Join(row, ","))
	}
	return out
}
