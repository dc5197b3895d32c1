package wire

// Limits is what a server says of how requests to a model may be batched. Its zero
// value is that it said nothing.
type Limits struct {
	// MaxItems is how many items one call may hold; 0: not said.
	MaxItems int
	// Batchable says whether items may share a call at all.
	Batchable Batchable
	// SelfBatching: the server gathers calls into batches by itself.
	SelfBatching bool
}

// Batchable is yes, no, or unknown.
type Batchable uint8

// The values of Batchable.
const (
	// BatchableUnknown: the server did not say; trying tells.
	BatchableUnknown Batchable = iota
	// BatchableYes: the first dimension counts items.
	BatchableYes
	// BatchableNo: it does not, or calls depend on each other.
	BatchableNo
)

// Question is a GET whose 200 tells Limits.
type Question struct {
	// Path is where to ask, below the server's root, with the model's name escaped.
	Path string
	// Read reads the answer's body. The error says why it is not what servers
	// answer there: another server's, most likely.
	Read func(body []byte) (Limits, error)
}

// Limiter is a Protocol whose servers tell their limits.
type Limiter interface {
	// Questions are asked one after another until one is answered; they depend on
	// the target's Model and Version alone.
	Questions(target Target) []Question
}
