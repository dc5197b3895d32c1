package batch_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/filtertest"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
)

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ config, want string }{
		{"max_batch_size {value: 0}", "max_batch_size: 0: must be 1 to 65536"},
		{"max_batch_size {value: 65537}", "max_batch_size: 65537: must be 1 to 65536"},
		{"max_in_flight {value: 0}", "max_in_flight: 0: must be 1 to 65536"},
		{"max_queued_items {value: 0}", "max_queued_items: 0: must be 1 to 2147483647"},
		{"max_queue_delay {seconds: -1}", "max_queue_delay: -1s: must not be negative"},
		{"max_queue_delay {nanos: 2000000000}", "max_queue_delay: 0s 2000000000ns: "},
		{"latency_objective {}", "latency_objective: 0s: must be positive"},
		{"latency_objective {seconds: -1}", "latency_objective: -1s: must not be negative"},
		{"group_by_headers: 'a' group_by_headers: 'b c'", `group_by_headers[1]: "b c": not a header name`},
		{"group_by_headers: ''", `group_by_headers[0]: "": not a header name`},
		{"group_by_headers: ':path'", `group_by_headers[0]: ":path": not a header name`},
		{"group_by_headers: 'é'", "group_by_headers[0]: "},
		{"oversize: 7", "oversize: 7: not a value of Oversize"},
		{"usage: 9", "usage: 9: not a value of Usage"},
		{"protocols: [OPENAI, KSERVE_V1, OPENAI]", "protocols[2]: OPENAI: named twice"},
		{"protocols: PROTOCOL_UNSPECIFIED", "protocols[0]: PROTOCOL_UNSPECIFIED: not a protocol"},
		{"protocols: 12", "protocols[0]: 12: not a protocol"},
	} {
		_, err := batch.Factory{}.Parse(filtertest.Any(t, batch.Factory{}, test.config))
		require.ErrorContains(t, err, test.want, test.config)
	}
}

func TestParseRefusesUnknownFields(t *testing.T) {
	top := &anypb.Any{TypeUrl: batch.TypeURL, Value: []byte{0x98, 0x06, 0x01}} // field 99
	_, err := batch.Factory{}.Parse(top)
	require.ErrorContains(t, err, "unknown fields")

	nested := &anypb.Any{TypeUrl: batch.TypeURL, Value: []byte{0x0a, 0x05, 0x08, 0x04, 0x98, 0x06, 0x01}}
	_, err = batch.Factory{}.Parse(nested)
	require.ErrorContains(t, err, "max_batch_size: google.protobuf.UInt32Value has unknown fields")

	_, err = batch.Factory{}.Parse(&anypb.Any{TypeUrl: batch.TypeURL, Value: []byte{0xff}})
	require.ErrorContains(t, err, "friday.filters.http.batch.v1.Batch")

	_, err = batch.Factory{}.Parse(&anypb.Any{TypeUrl: "type.googleapis.com/a.B"})
	require.ErrorContains(t, err, `type_url: "type.googleapis.com/a.B"`)
}

func TestParseDefaults(t *testing.T) {
	for _, packed := range []*anypb.Any{nil, filtertest.Any(t, batch.Factory{}, "")} {
		config, err := batch.Factory{}.Parse(packed)
		require.NoError(t, err)
		c, ok := config.(*batch.Config)
		require.True(t, ok)
		require.Equal(t, 32, c.MaxBatchSize)
		require.Zero(t, c.MaxInFlight, "learned")
		require.Zero(t, c.LatencyObjective, "none")
		require.Equal(t, 4096, c.MaxQueuedItems)
		require.Equal(t, "5ms", c.MaxQueueDelay.String())
		require.Equal(t, batchv1.Batch_SPLIT, c.Oversize)
		require.Equal(t, []string{"api-key", "authorization", "openai-organization", "openai-project", "x-api-key"}, c.GroupByHeaders)
		require.Empty(t, c.Protocols)
		require.False(t, c.Disabled)
	}
}

func TestParseReads(t *testing.T) {
	config, err := batch.Factory{}.Parse(filtertest.Any(t, batch.Factory{}, `
		max_batch_size {value: 8} max_queue_delay {} max_in_flight {value: 4} max_queued_items {value: 100} latency_objective {nanos: 50000000}
		group_by_headers: ['X-Tenant', 'x-tenant', 'A'] oversize: PASS_THROUGH usage: BYPASS
		protocols: [OPEN_INFERENCE, KSERVE_V1] disabled: true`))
	require.NoError(t, err)
	c, ok := config.(*batch.Config)
	require.True(t, ok)
	require.Equal(t, 8, c.MaxBatchSize)
	require.Zero(t, c.MaxQueueDelay)
	require.Equal(t, 4, c.MaxInFlight)
	require.Equal(t, 100, c.MaxQueuedItems)
	require.Equal(t, 50*time.Millisecond, c.LatencyObjective)
	require.Equal(t, []string{"a", "x-tenant"}, c.GroupByHeaders)
	require.Equal(t, batchv1.Batch_PASS_THROUGH, c.Oversize)
	require.Equal(t, batchv1.Batch_BYPASS, c.Usage)
	require.Equal(t, []string{"kserve_v1", "open_inference"}, c.Protocols)
	require.True(t, c.Disabled)

	config, err = batch.Factory{}.Parse(filtertest.Any(t, batch.Factory{}, "protocols: [TEI, COHERE, TF_SERVING, OPENAI_COMPLETIONS]"))
	require.NoError(t, err)
	c, ok = config.(*batch.Config)
	require.True(t, ok)
	require.Equal(t, []string{"cohere", "openai_completions", "tei", "tf_serving"}, c.Protocols)
}

// FuzzParse: whatever a control plane sends, what is taken is within the limits.
func FuzzParse(f *testing.F) {
	for _, config := range []string{"", "max_batch_size {value: 8}", "group_by_headers: 'a'", "protocols: OPENAI", "max_queue_delay {seconds: 1}"} {
		f.Add(filtertest.Any(f, batch.Factory{}, config).GetValue())
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		config, err := batch.Factory{}.Parse(&anypb.Any{TypeUrl: batch.TypeURL, Value: value})
		if err != nil {
			require.NotEmpty(t, err.Error())
			require.Nil(t, config)
			return
		}
		c, ok := config.(*batch.Config)
		require.True(t, ok)
		require.Positive(t, c.MaxBatchSize)
		require.LessOrEqual(t, c.MaxBatchSize, 65536)
		require.GreaterOrEqual(t, c.MaxInFlight, 0)
		require.GreaterOrEqual(t, c.LatencyObjective, time.Duration(0))
		require.Positive(t, c.MaxQueuedItems)
		require.GreaterOrEqual(t, int64(c.MaxQueueDelay), int64(0))
		require.NotEmpty(t, c.GroupByHeaders)
	})
}
