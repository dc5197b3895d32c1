package xdstest

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/cncf/xds/go/udpa/type/v1" // all of these stand in what control planes send
	_ "github.com/cncf/xds/go/xds/type/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/cors/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/fault/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/network/dns_resolver/cares/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// Load reads the resources of a folder, each a JSON file with its "@type", after
// replacing old texts by new ones, given in turn. What is of a type that Go does
// not know becomes a TypedStruct.
func Load(t testing.TB, dir string, replace ...string) (out []proto.Message) {
	t.Helper()
	replacer := strings.NewReplacer(replace...)
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) != ".json" {
			return err
		}
		data, err := os.ReadFile(path) // #nosec G122 G304 -- a test's own folder
		require.NoError(t, err)
		var tree any
		require.NoError(t, json.Unmarshal([]byte(replacer.Replace(string(data))), &tree), path)
		data, err = json.Marshal(known(tree))
		require.NoError(t, err)
		a := new(anypb.Any)
		require.NoError(t, protojson.Unmarshal(data, a), path)
		m, err := a.UnmarshalNew()
		require.NoError(t, err)
		out = append(out, m)
		return nil
	}))
	require.NotEmpty(t, out, dir)
	return out
}

// known wraps objects of unknown types, from the inside out.
func known(tree any) any {
	switch v := tree.(type) {
	case []any:
		for i := range v {
			v[i] = known(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = known(v[key])
		}
		url, ok := v["@type"].(string)
		if !ok {
			break
		}
		if _, err := protoregistry.GlobalTypes.FindMessageByURL(url); err != nil {
			delete(v, "@type")
			return map[string]any{"@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": url, "value": v}
		}
	}
	return tree
}
