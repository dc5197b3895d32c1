package filters_test

import (
	"errors"
	"testing"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
)

const batchURL = "type.googleapis.com/friday.filters.http.batch.v1.Batch"

// factory takes a Batch and refuses one that is disabled.
type factory struct{ url string }

var _ proxy.Factory = factory{}

func (f factory) TypeURL() string { return f.url }

func (f factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	m := new(batchv1.Batch)
	if err := config.UnmarshalTo(m); err != nil {
		return nil, err
	}
	if m.GetDisabled() {
		return nil, errors.New("disabled: true: refused")
	}
	return m, nil
}

func (factory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) { return nil, nil }

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	require.NoError(t, err)
	return a
}

func structOf(t *testing.T, fields map[string]any) *structpb.Struct {
	t.Helper()
	s, err := structpb.NewStruct(fields)
	require.NoError(t, err)
	return s
}

func TestParse(t *testing.T) {
	t.Parallel()
	want := &batchv1.Batch{
		MaxBatchSize: wrapperspb.UInt32(8), MaxQueueDelay: &durationpb.Duration{Nanos: 5e6},
		Usage: batchv1.Batch_BYPASS, GroupByHeaders: []string{"authorization"},
	}
	asStruct := structOf(t, map[string]any{
		"max_batch_size": 8, "maxQueueDelay": "0.005s", "usage": "BYPASS", "group_by_headers": []any{"authorization"},
	})
	for name, config := range map[string]*anypb.Any{
		"native":                           pack(t, want),
		"native, by another prefix":        {TypeUrl: "example.com/friday.filters.http.batch.v1.Batch", Value: pack(t, want).GetValue()},
		"xds.type.v3.TypedStruct":          pack(t, &xdsv3.TypedStruct{TypeUrl: batchURL, Value: asStruct}),
		"udpa.type.v1.TypedStruct":         pack(t, &udpav1.TypedStruct{TypeUrl: batchURL, Value: asStruct}),
		"TypedStruct with the name only":   pack(t, &xdsv3.TypedStruct{TypeUrl: "friday.filters.http.batch.v1.Batch", Value: asStruct}),
		"TypedStruct with a number as two": pack(t, &xdsv3.TypedStruct{TypeUrl: batchURL, Value: structOf(t, map[string]any{"max_batch_size": 8, "max_queue_delay": "0.005s", "usage": 2, "group_by_headers": []any{"authorization"}})}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, got, err := filters.NewRegistry(factory{batchURL}).Parse(config)
			require.NoError(t, err)
			require.Equal(t, batchURL, f.TypeURL())
			require.True(t, proto.Equal(want, got.(proto.Message)), "%v", got)
		})
	}
}

func TestParseOfATypedStructWithoutValueIsAllDefaults(t *testing.T) {
	t.Parallel()
	_, got, err := filters.NewRegistry(factory{batchURL}).Parse(pack(t, &xdsv3.TypedStruct{TypeUrl: batchURL}))
	require.NoError(t, err)
	require.True(t, proto.Equal(&batchv1.Batch{}, got.(proto.Message)))
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	typed := func(fields map[string]any) *anypb.Any {
		return pack(t, &xdsv3.TypedStruct{TypeUrl: batchURL, Value: structOf(t, fields)})
	}
	nested := pack(t, &batchv1.Batch{MaxBatchSize: wrapperspb.UInt32(1)})
	nested.Value = append(nested.Value, 0xf8, 0x06, 0x01) // field 111, a varint
	for name, tt := range map[string]struct {
		config  *anypb.Any
		want    string
		unknown bool
	}{
		"nil":                           {want: "missing"},
		"unknown type":                  {config: pack(t, durationpb.New(1)), unknown: true, want: `unknown filter type: "type.googleapis.com/google.protobuf.Duration" (known: ["` + batchURL + `"])`},
		"unknown type in a TypedStruct": {config: pack(t, &udpav1.TypedStruct{TypeUrl: "a/b.C"}), unknown: true, want: `unknown filter type: "a/b.C" (known: ["` + batchURL + `"])`},
		"a TypedStruct in another":      {config: pack(t, &xdsv3.TypedStruct{TypeUrl: "a/xds.type.v3.TypedStruct"}), unknown: true, want: `unknown filter type: "a/xds.type.v3.TypedStruct" (known: ["` + batchURL + `"])`},
		"unknown fields":                {config: typed(map[string]any{"max_batch_sise": 8, "Disabled": true}), want: "Disabled: unknown field\nmax_batch_sise: unknown field"},
		"wrong kind":                    {config: typed(map[string]any{"max_batch_size": 1.5}), want: "max_batch_size: 1.5: not a uint32"},
		"refused by its factory":        {config: pack(t, &batchv1.Batch{Disabled: true}), want: "disabled: true: refused"},
		"unknown field number":          {config: nested, want: "field number 111: unknown field of friday.filters.http.batch.v1.Batch"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := filters.NewRegistry(factory{batchURL}).Parse(tt.config)
			require.EqualError(t, err, tt.want)
			require.Equal(t, tt.unknown, errors.Is(err, filters.ErrUnknownFilter))
		})
	}
}

func TestParseOfBadBytes(t *testing.T) {
	t.Parallel()
	for _, url := range []string{batchURL, "a/xds.type.v3.TypedStruct", "a/udpa.type.v1.TypedStruct"} {
		_, _, err := filters.NewRegistry(factory{batchURL}).Parse(&anypb.Any{TypeUrl: url, Value: []byte{0xff}})
		require.ErrorContains(t, err, "not a ")
		require.NotErrorIs(t, err, filters.ErrUnknownFilter)
	}
}

func TestNilRegistryKnowsNone(t *testing.T) {
	t.Parallel()
	var r *filters.Registry
	_, _, err := r.Parse(pack(t, &batchv1.Batch{}))
	require.ErrorIs(t, err, filters.ErrUnknownFilter)
	require.Empty(t, r.TypeURLs())
}

func FuzzParse(f *testing.F) {
	f.Add(batchURL, []byte{0x50, 0x01})
	f.Add("type.googleapis.com/xds.type.v3.TypedStruct", []byte("\n\x01a"))
	f.Add("type.googleapis.com/udpa.type.v1.TypedStruct", []byte("\n6"+batchURL))
	r := filters.NewRegistry(factory{batchURL})
	f.Fuzz(func(t *testing.T, url string, value []byte) {
		factory, config, err := r.Parse(&anypb.Any{TypeUrl: url, Value: value})
		if err == nil {
			require.NotNil(t, factory)
			require.NotNil(t, config)
		}
	})
}
