package resource_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/proxy"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/resource"
)

// factory takes a Batch as it is.
type factory struct{}

var _ proxy.Factory = factory{}

func (factory) TypeURL() string { return "type.googleapis.com/friday.filters.http.batch.v1.Batch" }

func (factory) Parse(config *anypb.Any) (proxy.FilterConfig, error) {
	m := new(batchv1.Batch)
	return m, config.UnmarshalTo(m)
}

func (factory) Build(proxy.FilterConfig, proxy.Env) (proxy.Filter, error) { return nil, nil }

func parser() *resource.Parser {
	return &resource.Parser{Registry: filters.NewRegistry(factory{})}
}

// decode reads YAML as a bootstrap would have it.
func decode[M proto.Message](t testing.TB, text string, m M) M {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	require.NoError(t, err)
	require.NoError(t, protojson.Unmarshal(data, m), text)
	return m
}

func pack(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	require.NoError(t, err)
	return a
}

// lines are the lines of an error, without the prefix that all must have.
func lines(t testing.TB, prefix string, err error) (out []string) {
	t.Helper()
	require.Error(t, err)
	for line := range strings.SplitSeq(err.Error(), "\n") {
		require.True(t, strings.HasPrefix(line, prefix), line)
		out = append(out, strings.TrimPrefix(line, prefix))
	}
	return out
}
