package filtertest

import (
	_ "embed" // the messages
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/fridaymesh/friday/proxy"
)

// ModelInferPath is the path of the Open Inference Protocol's gRPC method.
const ModelInferPath = "/inference.GRPCInferenceService/ModelInfer"

//go:embed openinference.textproto
var openInference []byte

// messages are the protocol's, decoded and encoded by Protocol Buffers' own library.
var messages = sync.OnceValue(func() protoreflect.MessageDescriptors { //nolint:gochecknoglobals // immutable once made
	var f descriptorpb.FileDescriptorProto
	if err := prototext.Unmarshal(openInference, &f); err != nil {
		panic(err)
	}
	file, err := protodesc.NewFile(&f, new(protoregistry.Files))
	if err != nil {
		panic(err)
	}
	return file.Messages()
})

// Message makes the ModelInferRequest or ModelInferResponse, by name, that text says
// in prototext.
func Message(name, text string) *dynamicpb.Message {
	m := dynamicpb.NewMessage(messages().ByName(protoreflect.Name(name)))
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		panic(err)
	}
	return m
}

// Frame is m as gRPC sends it: its length before it, not compressed. The entries of
// its maps stand in any order.
func Frame(m proto.Message) string {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...)) // #nosec G115 -- a test's
}

// Unframe decodes one message that Frame may have made.
func Unframe(name, body string) (*dynamicpb.Message, error) {
	if len(body) < 5 || body[0] != 0 || int(binary.BigEndian.Uint32([]byte(body[1:5]))) != len(body)-5 {
		return nil, fmt.Errorf("%q is not one message of gRPC's", body)
	}
	m := dynamicpb.NewMessage(messages().ByName(protoreflect.Name(name)))
	return m, proto.Unmarshal([]byte(body[5:]), m)
}

// GRPCRequest makes a ModelInfer call of body as the HTTP/2 codec would hand it on,
// with headers given as name, value, name, value.
func GRPCRequest(body string, headers ...string) *proxy.Request {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetMethod("POST")
	h.SetRequestURI(ModelInferPath)
	h.SetHost("models.example")
	h.SetContentType("application/grpc")
	h.Set("te", "trailers")
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &proxy.Request{
		Header: h, Body: &trailed{Body: proxy.NewBytesBody([]byte(body))}, Protocol: "grpc", Start: time.Now(),
		Route: "default", Cluster: Cluster,
	}
}

// GRPCAnswer makes a Response whose outcome is told in the trailer, with fields given
// as name, value, name, value.
func GRPCAnswer(body string, trailer ...string) *proxy.Response {
	r := proxy.NewResponse()
	r.Header.SetStatusCode(fasthttp.StatusOK)
	r.Header.SetContentType("application/grpc")
	t := new(fasthttp.ResponseHeader)
	t.DisableNormalizing()
	t.SetNoDefaultContentType(true)
	for i := 0; i+1 < len(trailer); i += 2 {
		t.Set(trailer[i], trailer[i+1])
	}
	r.Body = &trailed{Body: proxy.NewBytesBody([]byte(body)), trailer: t}
	return r
}

// trailed is a body of unknown length, with a trailer if there is one.
type trailed struct {
	proxy.Body

	trailer *fasthttp.ResponseHeader
	ended   bool
}

func (b *trailed) Read(p []byte) (int, error) {
	n, err := b.Body.Read(p)
	b.ended = b.ended || errors.Is(err, io.EOF)
	return n, err
}

func (b *trailed) Len() int64 { return -1 }

func (b *trailed) Trailer() *fasthttp.ResponseHeader {
	if !b.ended {
		return nil
	}
	return b.trailer
}

// echo answers a ModelInferRequest with its first tensor, as output "echo". The items
// are the values as Go prints them where the contents are typed, else the raw rows.
func echo(body []byte) (answer string, items []string) {
	req, err := Unframe("ModelInferRequest", string(body))
	if err != nil {
		return "", nil
	}
	resp := Message("ModelInferResponse", `model_version: "1"`)
	in, out := req.Descriptor().Fields(), resp.Descriptor().Fields()
	for _, name := range []protoreflect.Name{"model_name", "id"} {
		resp.Set(out.ByName(name), req.Get(in.ByName(name)))
	}
	inputs := req.Get(in.ByName("inputs")).List()
	if inputs.Len() == 0 {
		return "", nil
	}
	tensor := inputs.Get(0).Message()
	shape := tensor.Get(tensor.Descriptor().Fields().ByName("shape")).List()
	if shape.Len() == 0 {
		return "", nil
	}
	n := int(shape.Get(0).Int())
	outputs := resp.Mutable(out.ByName("outputs")).List()
	output := proto.Clone(tensor.Interface()).ProtoReflect()
	output.Set(output.Descriptor().Fields().ByName("name"), protoreflect.ValueOfString("echo"))
	outputs.Append(protoreflect.ValueOfMessage(output))
	if raw := req.Get(in.ByName("raw_input_contents")).List(); raw.Len() > 0 {
		bytes := raw.Get(0).Bytes()
		resp.Mutable(out.ByName("raw_output_contents")).List().Append(protoreflect.ValueOfBytes(bytes))
		for i := range n {
			items = append(items, string(bytes[i*len(bytes)/n:(i+1)*len(bytes)/n]))
		}
	} else {
		contents := tensor.Get(tensor.Descriptor().Fields().ByName("contents")).Message()
		contents.Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			values := make([]string, v.List().Len())
			for i := range values {
				value := v.List().Get(i).Interface()
				if b, ok := value.([]byte); ok {
					value = string(b)
				}
				values[i] = fmt.Sprint(value)
			}
			items = rows(values, n)
			return false
		})
	}
	return Frame(resp), items
}
