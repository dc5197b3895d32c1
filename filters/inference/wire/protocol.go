// Package wire is what the protocols of filters/inference have in common: a
// [Message] says where in a body the items stand and what else depends on
// their number, and [Message.Render] makes a body of the items of others in its
// place. A [Protocol] only reads; all writing is done here, once.
//
// Most bodies are one JSON text. Those that are not are a [Headed] protocol's.
package wire

// A Protocol knows one wire format. It is stateless: its methods are pure and safe
// for concurrent use.
type Protocol interface {
	// Name is the protocol's name in configuration and metrics.
	Name() string
	// Match says what a POST to path asks for; path is as it stands in the request
	// line, without the query. False: not this protocol's.
	Match(path string) (Target, bool)
	// Request reads the body of a request that matched. It is nil where the body
	// is not of the protocol's shape, or asks for what does not go together with
	// other requests; the server then answers it alone. The Message refers to body.
	Request(target Target, body []byte) *Message
	// Answer reads the answer to a request that held so many items. The error says
	// why it does not hold exactly one result for each. The Message refers to body.
	Answer(items int, body []byte) (*Message, error)
}

// Target is what a request's path says.
type Target struct {
	// Operation is what is asked of the model.
	Operation string
	// Model is the model's name, percent-decoded; empty where the body names it.
	Model string
	// Version is the model's version as it stands in the path, if any.
	Version string
	// TypeOptional: a request without a Content-Type is JSON.
	TypeOptional bool
	// GRPC: the call is gRPC's, whose outcome is told in grpc-status.
	GRPC bool
	// Usage: the answer counts tokens, for all of a request's items together.
	Usage bool
	// OptIn: such requests share a call only where their protocol is asked for by
	// name.
	OptIn bool
}

// MaxItems is how many items a request may hold to be understood; each costs some
// bytes of memory beside the body. What holds more is a batch already.
const MaxItems = 1 << 16
