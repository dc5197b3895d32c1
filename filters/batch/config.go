package batch

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
)

// The defaults of [batchv1.Batch].
const (
	defaultMaxBatchSize   = 32
	defaultMaxQueueDelay  = 5 * time.Millisecond
	defaultMaxQueuedItems = 4096
	maxMaxBatchSize       = 65536
	maxMaxInFlight        = 65536
)

func defaultGroupByHeaders() []string {
	return []string{"authorization", "x-api-key", "api-key", "openai-organization", "openai-project"}
}

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
	if err := refuseUnknown("", m.ProtoReflect()); err != nil {
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
	if c.MaxQueueDelay, err = duration("max_queue_delay", m.GetMaxQueueDelay(), defaultMaxQueueDelay); err != nil {
		return nil, err
	}
	if c.LatencyObjective, err = duration("latency_objective", m.GetLatencyObjective(), 0); err != nil {
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
	if c.GroupByHeaders, err = headerNames(m.GetGroupByHeaders()); err != nil {
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

func duration(path string, v *durationpb.Duration, absent time.Duration) (time.Duration, error) {
	if v == nil {
		return absent, nil
	}
	if err := v.CheckValid(); err != nil {
		return 0, fmt.Errorf("%s: %ds %dns: %w", path, v.GetSeconds(), v.GetNanos(), err)
	}
	if v.AsDuration() < 0 {
		return 0, fmt.Errorf("%s: %v: must not be negative", path, v.AsDuration())
	}
	return v.AsDuration(), nil
}

func headerNames(names []string) ([]string, error) {
	if len(names) == 0 {
		names = defaultGroupByHeaders()
	}
	out := make([]string, 0, len(names))
	for i, name := range names {
		if name == "" || strings.ContainsFunc(name, notToken) {
			return nil, fmt.Errorf("group_by_headers[%d]: %q: not a header name", i, name)
		}
		out = append(out, strings.ToLower(name))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// notToken says that a character may not stand in a field name (RFC 9110 section
// 5.6.2).
func notToken(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return r >= 0x80 || !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
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

// refuseUnknown finds fields that this version of the message does not have: to
// skip them would be to do something else than what was asked for.
func refuseUnknown(path string, m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s%s has unknown fields", path, m.Descriptor().FullName())
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			err = refuseUnknown(path+string(f.Name())+": ", v.Message())
		}
		return err == nil
	})
	return err
}
