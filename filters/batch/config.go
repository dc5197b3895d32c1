package batch

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// The defaults of [batchv1.Batch].
const (
	defaultMaxBatchSize   = 32
	defaultMaxQueueDelay  = 5 * time.Millisecond
	defaultMaxQueuedItems = 4096
	maxMaxBatchSize       = 65536
	maxMaxInFlight        = 65536
)

// Config is a parsed [batchv1.Batch] with the defaults filled in. It is
// immutable.
type Config struct {
	// MaxBatchSize is the largest number of items in one upstream call.
	MaxBatchSize int
	// MaxQueueDelay is the longest wait while a slot is free.
	MaxQueueDelay time.Duration
	// MaxInFlight is how many calls may be in flight to one endpoint; 0: learned.
	MaxInFlight int
	// MaxQueuedItems is how many items of one cluster may wait.
	MaxQueuedItems int
	// LatencyObjective is the time within which 99 of 100 requests should be answered;
	// 0: none.
	LatencyObjective time.Duration
	// GroupByHeaders are names in lower case, sorted.
	GroupByHeaders []string
	Oversize       batchv1.Batch_Oversize
	Usage          batchv1.Batch_Usage
	// Protocols are the names that filters/inference uses, sorted; none: all
	// that need not be named.
	Protocols []string
	Disabled  bool

	// id is equal for configurations of equal meaning only.
	id string
}

// parse is the factory's Parse on the message itself.
func parse(m *batchv1.Batch) (*Config, error) {
	if err := settings.RefuseUnknown(m.ProtoReflect()); err != nil {
		return nil, err
	}
	c := &Config{Disabled: m.GetDisabled(), Oversize: m.GetOversize(), Usage: m.GetUsage()}
	var err error
	if c.MaxBatchSize, err = number("max_batch_size", m.GetMaxBatchSize(), defaultMaxBatchSize, maxMaxBatchSize); err != nil {
		return nil, err
	}
	if c.MaxInFlight, err = number("max_in_flight", m.GetMaxInFlight(), 0, maxMaxInFlight); err != nil {
		return nil, err
	}
	if c.MaxQueuedItems, err = number("max_queued_items", m.GetMaxQueuedItems(), defaultMaxQueuedItems, math.MaxInt32); err != nil {
		return nil, err
	}
	if c.MaxQueueDelay, err = settings.Duration("max_queue_delay", m.GetMaxQueueDelay(), defaultMaxQueueDelay); err != nil {
		return nil, err
	}
	if c.LatencyObjective, err = settings.Duration("latency_objective", m.GetLatencyObjective(), 0); err != nil {
		return nil, err
	}
	if m.GetLatencyObjective() != nil && c.LatencyObjective == 0 {
		return nil, errors.New("latency_objective: 0s: must be positive")
	}
	if _, ok := batchv1.Batch_Oversize_name[int32(c.Oversize)]; !ok {
		return nil, fmt.Errorf("oversize: %d: not a value of Oversize", c.Oversize)
	}
	if _, ok := batchv1.Batch_Usage_name[int32(c.Usage)]; !ok {
		return nil, fmt.Errorf("usage: %d: not a value of Usage", c.Usage)
	}
	if c.GroupByHeaders, err = settings.HeaderNames("group_by_headers", m.GetGroupByHeaders()); err != nil {
		return nil, err
	}
	if c.Protocols, err = protocols(m.GetProtocols()); err != nil {
		return nil, err
	}
	c.id = c.identity()
	return c, nil
}

// identity writes the configuration as text.
func (c *Config) identity() string {
	return fmt.Sprintf("%d %d %d %d %d %d %d %t %q %q", c.MaxBatchSize, c.MaxQueueDelay, c.MaxInFlight,
		c.MaxQueuedItems, c.LatencyObjective, c.Oversize, c.Usage, c.Disabled, c.GroupByHeaders, c.Protocols)
}

func number(path string, v *wrapperspb.UInt32Value, absent, most int) (int, error) {
	if v == nil {
		return absent, nil
	}
	if v.GetValue() < 1 || int64(v.GetValue()) > int64(most) {
		return 0, fmt.Errorf("%s: %d: must be 1 to %d", path, v.GetValue(), most)
	}
	return int(v.GetValue()), nil
}

func protocols(values []batchv1.Batch_Protocol) ([]string, error) {
	var out []string
	for i, v := range values {
		var name string
		switch v {
		case batchv1.Batch_OPENAI:
			name = "openai"
		case batchv1.Batch_KSERVE_V1:
			name = "kserve_v1"
		case batchv1.Batch_OPEN_INFERENCE:
			name = "open_inference"
		case batchv1.Batch_TEI:
			name = "tei"
		case batchv1.Batch_COHERE:
			name = "cohere"
		case batchv1.Batch_TF_SERVING:
			name = "tf_serving"
		case batchv1.Batch_OPENAI_COMPLETIONS:
			name = "openai_completions"
		case batchv1.Batch_PROTOCOL_UNSPECIFIED:
			fallthrough
		default:
			return nil, fmt.Errorf("protocols[%d]: %v: not a protocol", i, v)
		}
		if slices.Contains(out, name) {
			return nil, fmt.Errorf("protocols[%d]: %s: named twice", i, v)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}
