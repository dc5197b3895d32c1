package inference

import (
	"errors"

	"github.com/fridaymesh/friday/filters/inference/tei"
	"github.com/fridaymesh/friday/filters/inference/wire"
)

type (
	// Limits is what a server says of how requests to a model may be batched.
	Limits = wire.Limits
	// Question is a GET whose 200 tells Limits.
	Question = wire.Question
	// Batchable is yes, no, or unknown.
	Batchable = wire.Batchable
)

// The values of Batchable.
const (
	BatchableUnknown = wire.BatchableUnknown
	BatchableYes     = wire.BatchableYes
	BatchableNo      = wire.BatchableNo
)

// Questions are what may be asked of the call's server to learn its limits, one
// after another until one is answered with a 200 that its Read understands; none
// where no server of the protocol tells any. They are the same for all calls of one
// path, so one answer serves all of those. The paths are those of a server's own
// default API: a prefix that stands before it in the call's path is for whoever sends
// them to put there.
//
// Nothing is sent here.
func (c *Call) Questions() []Question {
	if limiter, ok := c.protocol.(wire.Limiter); ok {
		return limiter.Questions(c.target)
	}
	switch c.Protocol {
	case "openai", "cohere":
		return tei.Questions() // it serves these APIs, too
	}
	return nil
}

// ErrTokens: an answer is not a tokenizer's for the items that were asked about.
var ErrTokens = errors.New("the answer does not tell the items' tokens")
