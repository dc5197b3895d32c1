package wire

// Head is what a request's head says of how its body is to be read.
type Head struct {
	// Type is the media type in lower case, without parameters; empty where the head
	// names none.
	Type string
	// JSON is how many bytes of JSON stand before raw tensors, as
	// Inference-Header-Content-Length has it; -1 where there is no such header.
	JSON int
	// Compressed: the messages in the body are, or may be (grpc-encoding).
	Compressed bool
}

// IsJSON says that the body is one JSON text and nothing but; a type that is not
// named counts as optional says.
func (h Head) IsJSON(optional bool) bool {
	return h.JSON < 0 && (h.Type == "application/json" || h.Type == "" && optional)
}

// A Headed protocol has bodies that need not be one JSON text: their heads say how
// they are to be read. Those that are not Headed get what [Head.IsJSON] is true of,
// in UTF-8.
type Headed interface {
	Protocol
	// Accepts says whether a request with such a head may be this protocol's.
	Accepts(target Target, head Head) bool
	// RequestIn is Request for a body whose head it accepts. It checks itself that
	// what has to be UTF-8 is.
	RequestIn(target Target, head Head, body []byte) *Message
}
