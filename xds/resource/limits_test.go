package resource_test

import (
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/xds/resource"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fields []string
		want   config.Limits
	}{
		"nothing said": {nil, config.Limits{}},
		"all": {
			[]string{
				"request_timeout: 7s", "stream_idle_timeout: 8s", "delayed_close_timeout: 2s",
				"common_http_protocol_options: {max_headers_count: 9, max_connection_duration: 60s, max_requests_per_connection: 5, headers_with_underscores_action: REJECT_REQUEST}",
			},
			config.Limits{
				MaxHeaders: 9, Underscores: config.RefuseUnderscores, RequestTimeout: 7 * time.Second, StreamIdleTimeout: 8 * time.Second,
				MaxConnectionDuration: time.Minute, MaxRequestsPerConnection: 5, DelayedCloseTimeout: 2 * time.Second,
			},
		},
		"none": {
			[]string{"request_timeout: 0s", "stream_idle_timeout: 0s", "delayed_close_timeout: 0s", "common_http_protocol_options: {headers_with_underscores_action: DROP_HEADER}"},
			config.Limits{Underscores: config.DropUnderscores, RequestTimeout: resource.Unlimited, StreamIdleTimeout: resource.Unlimited, DelayedCloseTimeout: -1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, listener(append([]string{rds, "http_filters: [" + routerFilter + "]"}, tc.fields...)...), new(listenerv3.Listener))
			l, err := parser().Listener(m)
			require.NoError(t, err)
			require.Equal(t, tc.want, l.Chains[0].HTTP.Limits)
		})
	}
}
