package policy_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	batchv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/batch/v1"
	streamv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/stream/v1"
	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
	"github.com/fridaymesh/friday/xds/control/policy"
)

const minimal = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: digits}
spec:
  server: {endpoints: ["127.0.0.1:8080"]}
`

func TestDecodeEveryField(t *testing.T) {
	want := &policyv1alpha1.InferencePolicy{
		ApiVersion: "friday.dev/v1alpha1", Kind: "InferencePolicy",
		Metadata: &policyv1alpha1.Metadata{
			Name: "digits", Labels: map[string]string{"team": "vision"}, Annotations: map[string]string{"note": "first"},
		},
		Spec: &policyv1alpha1.InferencePolicySpec{
			Selector: &policyv1alpha1.Selector{NodeCluster: "vision", NodeId: "pod-1"},
			Port:     19090, Address: "127.0.0.1",
			Server: &policyv1alpha1.Server{
				Endpoints: []string{"10.0.0.1:8080", "[::1]:8080"}, LoadBalancing: policyv1alpha1.Server_LEAST_REQUEST,
				ConnectTimeout: durationpb.New(time.Second), IdleTimeout: durationpb.New(90 * time.Minute),
			},
			Filters: &policyv1alpha1.Filters{
				Batch: &batchv1.Batch{
					MaxBatchSize: wrapperspb.UInt32(64), MaxQueueDelay: durationpb.New(5 * time.Millisecond),
					GroupByHeaders: []string{"authorization"}, Oversize: batchv1.Batch_PASS_THROUGH,
					Protocols: []batchv1.Batch_Protocol{batchv1.Batch_OPENAI, batchv1.Batch_KSERVE_V1},
				},
				Stream: &streamv1.Stream{MaxBufferBytes: 1024},
			},
			Routes: []*policyv1alpha1.Route{{
				Prefix: "/v1/embeddings", Timeout: durationpb.New(0),
				Filters: &policyv1alpha1.Filters{Batch: &batchv1.Batch{Disabled: true}},
			}},
			Timeout: durationpb.New(30 * time.Second),
		},
	}
	for _, file := range []string{"full.yaml", "full-camel.yaml", "full.json"} {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", file))
			require.NoError(t, err)
			got, err := policy.Decode(file, data)
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.True(t, proto.Equal(want, got[0].Doc), "got %v", got[0].Doc)
		})
	}
}

func TestDefaults(t *testing.T) {
	got, err := policy.Decode("a.yaml", []byte(minimal))
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "digits", got[0].Name())
	require.EqualValues(t, 19080, got[0].Port())
	require.Equal(t, "0.0.0.0", got[0].Address())
	require.True(t, got[0].Selects(policy.Node{ID: "any", Cluster: "any"}))
	require.Equal(t, 5, got[0].Line("spec.server.endpoints[0]"))
	require.Equal(t, 4, got[0].Line("spec.routes[3].prefix"), "the nearest that is there")
}

func TestDecodeManyDocuments(t *testing.T) {
	other := strings.ReplaceAll(minimal, "digits", "words")
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"two":              {minimal + "---\n" + other, []string{"digits", "words"}},
		"leading line":     {"---\n" + minimal, []string{"digits"}},
		"trailing line":    {minimal + "---\n", []string{"digits"}},
		"empty between":    {minimal + "---\n---\n# nothing\n---\n" + other, []string{"digits", "words"}},
		"nothing":          {"", nil},
		"comment only":     {"# to come\n", nil},
		"end of document":  {minimal + "...\n", []string{"digits"}},
		"byte order mark":  {"\ufeff" + minimal, []string{"digits"}},
		"windows newlines": {strings.ReplaceAll(minimal, "\n", "\r\n"), []string{"digits"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy.Decode("a.yaml", []byte(c.text))
			require.NoError(t, err)
			var names []string
			for _, p := range got {
				names = append(names, p.Name())
			}
			require.Equal(t, c.want, names)
		})
	}
}

func TestDecodeDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5ms": 5 * time.Millisecond, "0.005s": 5 * time.Millisecond, "1h30m": 90 * time.Minute,
		`"2s"`: 2 * time.Second, "0": 0, "0s": 0,
	} {
		got, err := policy.Decode("a.yaml", []byte(minimal+"  timeout: "+text+"\n"))
		require.NoError(t, err, text)
		require.Equal(t, want, got[0].Spec().GetTimeout().AsDuration(), text)
	}
}

func TestDecodeAliases(t *testing.T) {
	got, err := policy.Decode("a.yaml", []byte(minimal+`  filters: {batch: &b {max_batch_size: 8}}
  routes:
  - {prefix: /a, filters: {batch: *b}}
`))
	require.NoError(t, err)
	require.EqualValues(t, 8, got[0].Spec().GetRoutes()[0].GetFilters().GetBatch().GetMaxBatchSize().GetValue())
}

// A page of text must not become gigabytes of lists.
func TestDecodeBoundsAliases(t *testing.T) {
	var b strings.Builder
	b.WriteString(minimal + "  filters:\n    batch:\n      group_by_headers: &h [" + strings.Repeat("x,", 999) + "x]\n  routes:\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "  - {prefix: /%d/, filters: {batch: {group_by_headers: *h}}}\n", i)
	}
	_, err := policy.Decode("a.yaml", []byte(b.String()))
	require.ErrorContains(t, err, "a.yaml:")
	require.ErrorContains(t, err, "more than 10000 values come through aliases")
	require.Len(t, strings.Split(err.Error(), "\n"), 1)
}

func TestDecodeBoundsSize(t *testing.T) {
	_, err := policy.Decode("a.yaml", make([]byte, policy.MaxFileBytes+1))
	require.EqualError(t, err, "a.yaml: 1048577 bytes: must be at most 1048576")
}

func TestDecodeBoundsProblems(t *testing.T) {
	var b strings.Builder
	b.WriteString(minimal)
	for i := range 150 {
		fmt.Fprintf(&b, "  wrong%d: 1\n", i)
	}
	_, err := policy.Decode("a.yaml", []byte(b.String()))
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 101)
	require.Equal(t, "a.yaml: and 50 more problems", lines[100])
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	require.NoError(f, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(data)
	}
	f.Add([]byte("&a [*a]"))
	f.Add([]byte("spec: &a {filters: *a}"))
	f.Add([]byte("a: &a {b: *a}\n<<: *a\n"))
	f.Add([]byte("? [x]\n: 1\n"))
	f.Add([]byte("apiVersion: !!binary x\n---\n- 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		policies, err := policy.Decode("f", data)
		if err != nil {
			require.Nil(t, policies)
			require.NotEmpty(t, err.Error())
			return
		}
		for _, p := range policies {
			require.NotEmpty(t, p.Name())
			for _, g := range p.Groups() {
				require.NotEmpty(t, g.Server.GetEndpoints())
				require.NotZero(t, p.Line(g.Path+".endpoints"))
			}
			again, err := policy.Decode("f", []byte(p.Text))
			require.NoError(t, err, "%s", p.Text)
			require.Len(t, again, 1)
			require.True(t, proto.Equal(p.Doc, again[0].Doc), "%s", p.Text)
			require.NotNil(t, p.Conflict(p), "a policy is never beside itself")
		}
	})
}
