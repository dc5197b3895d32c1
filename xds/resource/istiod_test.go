package resource_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// TestIstiodTransport: what a real istiod says of listeners, filter chains, their
// matches, TLS, secrets and bytes is honoured, in every dump. What HTTP is made of,
// and the rest of clusters, is looked at elsewhere.
func TestIstiodTransport(t *testing.T) {
	dir := os.Getenv("FRIDAY_ISTIOD_DUMPS")
	if dir == "" {
		t.Skip("FRIDAY_ISTIOD_DUMPS is not set: there are no dumps to read")
	}
	elsewhere := []string{
		".filters[0].typed_config.", ".filters[1].typed_config.", // HTTP's, and access logs
		`"type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC": not supported`,
	}
	for _, kind := range []string{"LDS", "CDS"} {
		files, err := filepath.Glob(filepath.Join(dir, "*", kind, "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, f := range files {
			t.Run(filepath.Base(filepath.Dir(filepath.Dir(f)))+" "+filepath.Base(f), func(t *testing.T) {
				data := dump(t, f)
				var err error
				if kind == "LDS" {
					m := new(listenerv3.Listener)
					require.NoError(t, protojson.Unmarshal(data, m))
					_, err = parser().Listener(m)
				} else {
					m := new(clusterv3.Cluster)
					require.NoError(t, protojson.Unmarshal(data, m))
					_, err = parser().Cluster(m)
				}
				if err == nil {
					return
				}
				for line := range strings.SplitSeq(err.Error(), "\n") {
					if kind == "CDS" && !strings.Contains(line, "transport_socket") && !strings.Contains(line, ": filters") {
						continue
					}
					known := strings.HasSuffix(line, " more")
					for _, e := range elsewhere {
						known = known || strings.Contains(line, e)
					}
					require.True(t, known, line)
				}
			})
		}
	}
}

// dump reads a resource. What is of a type that is not linked in becomes a TypedStruct.
func dump(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var fields map[string]any
	require.NoError(t, json.Unmarshal(data, &fields))
	delete(fields, "@type")
	data, err = json.Marshal(known(fields))
	require.NoError(t, err)
	return data
}

func known(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = known(v[i])
		}
	case map[string]any:
		url, _ := v["@type"].(string)
		if _, err := protoregistry.GlobalTypes.FindMessageByURL(url); url != "" && err != nil {
			delete(v, "@type")
			return map[string]any{"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "type_url": url, "value": v}
		}
		for k := range v {
			v[k] = known(v[k])
		}
	}
	return v
}
