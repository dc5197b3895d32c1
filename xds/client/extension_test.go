package client

import (
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/proxy"
	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	streamv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/stream/v1"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

const batchType = "type.googleapis.com/friday.filters.http.batch.v1.Batch"

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	require.NoError(t, err)
	return a
}

// discovered is a filter whose configuration comes by ECDS.
func discovered(name string, byDefault *anypb.Any, now bool) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{Name: name, ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{
		ConfigSource: xdstest.ADS(), TypeUrls: []string{batchType},
		DefaultConfig: byDefault, ApplyDefaultConfigWithoutWarming: now,
	}}}
}

func extension(t testing.TB, name string, m proto.Message) *corev3.TypedExtensionConfig {
	t.Helper()
	return &corev3.TypedExtensionConfig{Name: name, TypedConfig: packed(t, m)}
}

// filter is the type of the first filter in force.
func (d *drive) filter() string {
	for h := range d.s.resources().Listeners[0].HTTPs() {
		return h.Filters[0].Factory.(proxy.Factory).TypeURL()
	}
	return "none"
}

func extended(t *testing.T, f *hcmv3.HttpFilter) *drive {
	t.Helper()
	d := newDrive(t, nil)
	d.s.parser = &resource.Parser{Registry: standard.Registry()}
	require.NoError(t, d.recv(cds, xdstest.StaticCluster(t, "blue", "10.0.0.1:80")))
	require.NoError(t, d.recv(lds, xdstest.InlineListener(t, "in", "127.0.0.1:1", xdstest.Routes("r", "blue"), f)))
	return d
}

func TestListenerWaitsForItsExtensions(t *testing.T) {
	t.Parallel()
	d := extended(t, discovered("x", nil, false))
	require.Equal(t, []string{"x"}, d.s.names(ecds))
	d.pass(10 * time.Second)
	d.want("")
	require.NoError(t, d.recv(ecds, extension(t, "x", &batchv1.Batch{})))
	d.want("in>blue blue=10.0.0.1:80")
	require.Equal(t, batchType, d.filter())

	// A new one is another configuration of the same listener; a bad one is refused.
	before := d.s.resources()
	require.NoError(t, d.recv(ecds, extension(t, "x", &batchv1.Batch{Disabled: true})))
	after := d.s.resources()
	require.False(t, same(before, after))
	require.EqualError(t, d.recv(ecds, extension(t, "x", &streamv1.Stream{})),
		`extension "x": typed_config: "friday.filters.http.stream.v1.Stream": not one of config_discovery.type_urls, which are friday.filters.http.batch.v1.Batch`)
	require.True(t, same(after, d.s.resources()))
	require.Equal(t, batchType, d.filter())
	require.Len(t, decoded(t, d.s).GetGenericXdsConfigs(), 3, "kept for a restart, too")
}

func TestDefaultOfAnExtension(t *testing.T) {
	t.Parallel()
	t.Run("at once", func(t *testing.T) {
		d := extended(t, discovered("x", packed(t, &batchv1.Batch{}), true))
		d.want("in>blue blue=10.0.0.1:80")
		require.Equal(t, batchType, d.filter())
	})
	t.Run("in time", func(t *testing.T) {
		d := extended(t, discovered("x", packed(t, &batchv1.Batch{}), false))
		d.pass(15 * time.Second)
		require.Equal(t, batchType, d.filter())
	})
	t.Run("instead of a bad one", func(t *testing.T) {
		d := extended(t, discovered("x", packed(t, &batchv1.Batch{}), false))
		require.Error(t, d.recv(ecds, extension(t, "x", &streamv1.Stream{})))
		d.want("in>blue blue=10.0.0.1:80")
		require.Equal(t, batchType, d.filter())
	})
	t.Run("none", func(t *testing.T) {
		d := extended(t, discovered("x", nil, false))
		d.pass(15 * time.Second)
		d.want("in>blue blue=10.0.0.1:80")
		require.Empty(t, d.filter(), "which answers 500")
	})
}

func TestExtensionErrors(t *testing.T) {
	t.Parallel()
	for want, f := range map[string]*hcmv3.HttpFilter{
		`default_config: not one of type_urls`: discovered("x", packed(t, &streamv1.Stream{}), false),
		`apply_default_config_without_warming`: discovered("x", nil, true),
		`name: missing`:                        discovered("", nil, false),
	} {
		d := newDrive(t, nil)
		d.s.parser = &resource.Parser{Registry: standard.Registry()}
		require.ErrorContains(t, d.recv(lds, xdstest.InlineListener(t, "in", "127.0.0.1:1", xdstest.Routes("r", "blue"), f)), want)
	}
}

func decoded(t *testing.T, s *state) *statusv3.ClientConfig {
	t.Helper()
	m, err := decodeState(encodeState(s))
	require.NoError(t, err)
	return m
}
