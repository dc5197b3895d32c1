package strictjson_test

import (
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	"github.com/fridaymesh/friday/xds/api/strictjson"
)

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		into proto.Message
		json string
		// want holds the error's lines; none: it decodes.
		want []string
	}{
		"good": {into: &batchv1.Batch{}, json: `{"max_batch_size":8,"maxQueueDelay":"0.005s","usage":"BYPASS","protocols":["OPENAI",2],"disabled":null}`},
		"every error": {into: &batchv1.Batch{}, json: `{"max_batch_sise":1,"max_batch_size":"x","max_queue_delay":"5ms","usage":"OFTEN","disabled":1,"protocols":["OPENAI","GOPHER"],"group_by_headers":{}}`, want: []string{
			`disabled: 1: not a bool`,
			`group_by_headers: {}: not a list`,
			`max_batch_sise: unknown field`,
			`max_batch_size: "x": not a uint32`,
			`max_queue_delay: "5ms": not a duration in seconds, such as "0.005s"`,
			`protocols[1]: "GOPHER": not one of PROTOCOL_UNSPECIFIED, OPENAI, KSERVE_V1, OPEN_INFERENCE, TEI, COHERE, TF_SERVING, OPENAI_COMPLETIONS`,
			`usage: "OFTEN": not one of AUTO, PROPORTIONAL, BYPASS`,
		}},
		"no object":   {into: &batchv1.Batch{}, json: `[1]`, want: []string{`[1]: not a friday.filters.http.batch.v1.Batch`}},
		"null":        {into: &batchv1.Batch{}, json: `null`, want: []string{`null: not a message`}},
		"no JSON":     {into: &batchv1.Batch{}, json: `{`, want: []string{`not valid JSON: unexpected EOF`}},
		"two values":  {into: &batchv1.Batch{}, json: `{} {}`, want: []string{`not valid JSON: more than one value`}},
		"a key twice": {into: &batchv1.Batch{}, json: `{"disabled":true,"disabled":true}`, want: []string{`(line 1:18): duplicate field "disabled"`}},
		"within an Any within a map": {into: &clusterv3.Cluster{}, json: `{"typed_extension_protocol_options":{"a.b":{"@type":"type.googleapis.com/friday.filters.http.batch.v1.Batch","x":1}}}`, want: []string{
			`typed_extension_protocol_options["a.b"].x: unknown field`,
		}},
		"an unknown type": {into: &clusterv3.Cluster{}, json: `{"typed_extension_protocol_options":{"a":{"@type":"type.googleapis.com/no.such"}}}`, want: []string{
			`typed_extension_protocol_options["a"].@type: "type.googleapis.com/no.such": unknown type`,
		}},
		"an Any without a type": {into: &clusterv3.Cluster{}, json: `{"typed_extension_protocol_options":{"a":{"b":1}}}`, want: []string{
			`typed_extension_protocol_options["a"].@type: missing, or not a string`,
		}},
		"an Any of a kind with JSON of its own": {into: &clusterv3.Cluster{}, json: `{"typed_extension_protocol_options":{"a":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"x"}}}`, want: []string{
			`typed_extension_protocol_options["a"].value: "x": not a duration in seconds, such as "0.005s"`,
		}},
		"both of a oneof": {into: &clusterv3.Cluster{}, json: `{"type":"STATIC","cluster_type":{"name":"x"}}`, want: []string{
			`type: cannot stand beside cluster_type`,
		}},
		"deep": {into: &clusterv3.Cluster{}, json: `{"load_assignment":{"endpoints":[{},{"lb_endpoints":[{"endpoint":{"address":{"socket_address":{"port_value":-1}}}}]}]}}`, want: []string{
			`load_assignment.endpoints[1].lb_endpoints[0].endpoint.address.socket_address.port_value: -1: not a uint32`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := strictjson.Unmarshal([]byte(tt.json), tt.into)
			if len(tt.want) == 0 {
				require.NoError(t, err)
				want := proto.Clone(tt.into)
				proto.Reset(want)
				require.NoError(t, protojson.Unmarshal([]byte(tt.json), want))
				require.True(t, proto.Equal(want, tt.into), "%v", tt.into)
				return
			}
			require.Error(t, err)
			require.Equal(t, tt.want, strings.Split(err.Error(), "\n"))
		})
	}
}

// FuzzUnmarshal holds that it takes exactly what protojson takes.
func FuzzUnmarshal(f *testing.F) {
	f.Add([]byte(`{"max_batch_size":8,"maxQueueDelay":"0.005s","usage":"BYPASS","protocols":["OPENAI",2]}`))
	f.Add([]byte(`{"group_by_headers":[null]}`))
	f.Add([]byte(`{"disabled":tru}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours, theirs batchv1.Batch
		err := strictjson.Unmarshal(data, &ours)
		if perr := protojson.Unmarshal(data, &theirs); perr != nil {
			require.Error(t, err, "protojson: %v", perr)
			return
		}
		if err != nil {
			t.Skip("stricter: ", err) // null in a list, and the like
		}
		require.True(t, proto.Equal(&theirs, &ours))
	})
}
