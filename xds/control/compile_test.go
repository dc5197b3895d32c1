package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/xds/control/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// The golden files are what nodes get, in Envoy's JSON.
func TestCompileGolden(t *testing.T) {
	for _, name := range []string{"minimal", "full", "servers", "mutual"} {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", name+".yaml"))
			require.NoError(t, err)
			list := compiled(t, string(data))
			require.Len(t, list, 1)
			var got bytes.Buffer
			for kind := range kinds {
				for _, it := range list[0].items[kind] {
					b, err := protojson.Marshal(it.resource)
					require.NoError(t, err)
					require.NoError(t, json.Indent(&got, b, "", "  "))
					got.WriteString("\n")
				}
			}
			golden := filepath.Join("testdata", name+".golden.json")
			if *update {
				require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o600))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), got.String())
		})
	}
}

// What hangs together is sent together: see translate.
func TestVersions(t *testing.T) {
	base := compiled(t, doc("digits", ""))[0]
	for name, c := range map[string]struct {
		text    string
		changed [kinds]bool
	}{
		"nothing":        {doc("digits", ""), [kinds]bool{}},
		"a comment":      {"# why\n" + doc("digits", ""), [kinds]bool{}},
		"a default":      {doc("digits", "  port: 19080\n  address: 0.0.0.0\n"), [kinds]bool{}},
		"default chain":  {doc("digits", "  filters: {batch: {}, stream: {}}\n"), [kinds]bool{}},
		"a label":        {strings.Replace(doc("digits", ""), "digits", "digits, labels: {a: b}", 1), [kinds]bool{}},
		"an endpoint":    {strings.Replace(doc("digits", ""), "8080", "8081", 1), [kinds]bool{endpoints: true}},
		"load balancing": {strings.Replace(doc("digits", ""), "]}", "], load_balancing: LEAST_REQUEST}", 1), [kinds]bool{clusters: true, endpoints: true}},
		"a filter":       {doc("digits", "  filters: {batch: {max_batch_size: 2}}\n"), [kinds]bool{listeners: true, routeSets: true}},
		"the timeout":    {doc("digits", "  timeout: 1s\n"), [kinds]bool{routeSets: true}},
		"the name":       {doc("words", ""), [kinds]bool{true, true, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			other := compiled(t, c.text)[0]
			var changed [kinds]bool
			for i := range changed {
				changed[i] = base.digests[i] != other.digests[i]
			}
			require.Equal(t, c.changed, changed)
			require.Equal(t, c.changed == [kinds]bool{}, base.Version == other.Version)
			require.Len(t, other.Version, digestLength)
		})
	}
}

func TestCompileRefusals(t *testing.T) {
	for name, c := range map[string]struct{ spec, want string }{
		"a filter's value": {"  filters:\n    batch:\n      max_batch_size: 0\n", "a.yaml:8: spec.filters.batch.max_batch_size: 0: must be 1 to 65536"},
		"of a route": {
			"  routes:\n  - prefix: /a\n    filters:\n      batch: {max_in_flight: 0}\n",
			"a.yaml:9: spec.routes[0].filters.batch.max_in_flight: 0: must be 1 to 65536",
		},
		"an element": {
			"  filters: {batch: {protocols: [OPENAI, OPENAI]}}\n",
			"a.yaml:6: spec.filters.batch.protocols[1]: OPENAI: ",
		},
		"two filters": {
			"  filters:\n    batch: {max_batch_size: 0}\n    stream: {heartbeat: 1ms}\n",
			"a.yaml:7: spec.filters.batch.max_batch_size: 0: must be 1 to 65536\na.yaml:8: spec.filters.stream.heartbeat: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := policy.Decode("a.yaml", []byte(doc("digits", c.spec)))
			require.NoError(t, err)
			_, err = compiler().Compile(list[0])
			require.ErrorContains(t, err, c.want)
		})
	}
}

// What the sidecar's parser refuses is refused here, named after the policy.
func TestCompileRefusesWhatASidecarWould(t *testing.T) {
	list := compiled(t, doc("digits", ""))
	broken := *list[0]
	bad := proto.CloneOf(broken.items[clusters][0].resource.(*clusterv3.Cluster))
	bad.EdsClusterConfig = nil
	broken.items[clusters] = []item{{name: "digits", resource: bad}}
	err := compiler().accepted(&broken)
	require.Error(t, err)
	problems := refusal(broken.Policy, err)
	require.Contains(t, problems.Error(), `a.yaml:1: policy "digits": cluster "digits": eds_cluster_config: `)
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	a := write("a.yaml", doc("digits", ""))
	write(".hidden.yaml", "not: a policy\n")
	write("notes.txt", "neither\n")
	b := write("b.yml", doc("words", "  port: 1\n"))
	got, err := Check(compiler(), dir)
	require.NoError(t, err)
	require.Equal(t, []string{"digits", "words"}, names(got))
	got, err = Check(compiler(), b, a)
	require.NoError(t, err)
	require.Equal(t, []string{"digits", "words"}, names(got))

	c := write("c.json", doc("digits", "  port: 0\n"))
	_, err = Check(compiler(), dir)
	require.EqualError(t, err, c+":6: spec.port: 0: must be 1 to 65535")
	_, err = Check(compiler(), filepath.Join(dir, "missing.yaml"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	write(filepath.Join("d", "a.yml.txt"), doc("digits", ""))
	_, err = Check(compiler(), filepath.Join(dir, "d"))
	require.EqualError(t, err, filepath.Join(dir, "d")+": no policy file in it: their names end in .yaml, .yml or .json")
	e, f := write(filepath.Join("d", "e.yaml"), ""), write(filepath.Join("d", "f.yaml"), "# nothing yet\n---\n")
	_, err = Check(compiler(), a, filepath.Join(dir, "d"))
	require.EqualError(t, err, e+": no policy in it\n"+f+": no policy in it")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d.yaml"), 0o700))
	_, err = Check(compiler(), dir)
	require.ErrorContains(t, err, filepath.Join(dir, "d.yaml")+": is not a file")
}
