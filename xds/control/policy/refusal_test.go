package policy_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/xds/control/policy"
)

// head is four lines; what a case adds to the spec begins on line 5.
const head = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: digits}
spec:
`

const server = "  server: {endpoints: [127.0.0.1:8080]}\n"

func TestRefusals(t *testing.T) {
	spec := func(lines ...string) string { return head + server + "  " + strings.Join(lines, "\n  ") + "\n" }
	for name, c := range map[string]struct {
		text string
		want []string // lines, without the file's name
	}{
		"unknown field":           {spec("flavour: 1"), []string{"6: spec.flavour: unknown field"}},
		"unknown field, close":    {spec("filters: {batch: {max_batchsize: 1}}"), []string{"6: spec.filters.batch.max_batchsize: unknown field, did you mean max_batch_size?"}},
		"unknown field at top":    {minimal + "apiversion: x\n", []string{"6: apiversion: unknown field, did you mean apiVersion?"}},
		"number for text":         {spec("address: 7"), []string{"6: spec.address: 7: must be text: put it in quotes"}},
		"text for number":         {spec(`port: "80"`), []string{`6: spec.port: "80": must be a whole number`}},
		"fraction":                {spec("port: 80.5"), []string{"6: spec.port: 80.5: must be a whole number"}},
		"negative":                {spec("port: -1"), []string{"6: spec.port: -1: must be a whole number from 0 to 4294967295"}},
		"list for message":        {spec("filters: []"), []string{"6: spec.filters: a list: must be a mapping of fields: write {} for the defaults, or leave the field out"}},
		"null for message":        {spec("filters:"), []string{"6: spec.filters: no value: must be a mapping of fields: write {} for the defaults, or leave the field out"}},
		"endpoint for list":       {head + "  server: {endpoints: \"1.2.3.4:80\"}\n", []string{`5: spec.server.endpoints: "1.2.3.4:80": must be a list: write ["1.2.3.4:80"]`}},
		"nothing for endpoints":   {head + "  server: {endpoints: }\n", []string{`5: spec.server.endpoints: no value: must be a list`}},
		"other kind and version":  {"apiVersion: v1\nkind: ConfigMap\n", []string{`1: apiVersion: "v1": must be friday.dev/v1alpha1`, `2: kind: "ConfigMap": must be InferencePolicy`}},
		"text for list":           {spec("routes: x"), []string{`6: spec.routes: "x": must be a list: write [] or leave the field out`}},
		"yes for true":            {spec("filters: {batch: {disabled: yes}}"), []string{`6: spec.filters.batch.disabled: "yes": must be true or false`}},
		"duration without a unit": {spec("timeout: 5"), []string{"6: spec.timeout: 5: the unit is missing: write 5ms or 5s"}},
		"no duration":             {spec("timeout: soon"), []string{`6: spec.timeout: "soon": must be a duration as 5ms, 2s or 1h30m`}},
		"negative duration":       {spec("timeout: -5s"), []string{`6: spec.timeout: "-5s": must not be negative`}},
		"enum":                    {spec("filters: {batch: {oversize: spilt}}"), []string{`6: spec.filters.batch.oversize: "spilt": must be one of SPLIT, PASS_THROUGH, did you mean SPLIT?`}},
		"enum by number":          {spec("filters: {batch: {oversize: 1}}"), []string{"6: spec.filters.batch.oversize: 1: must be one of SPLIT, PASS_THROUGH"}},
		"enum's zero in a list":   {spec("filters: {batch: {protocols: [PROTOCOL_UNSPECIFIED]}}"), []string{`6: spec.filters.batch.protocols[0]: "PROTOCOL_UNSPECIFIED": must be one of OPENAI, KSERVE_V1, OPEN_INFERENCE, TEI, COHERE, TF_SERVING, OPENAI_COMPLETIONS`}},
		"set twice":               {spec("port: 1", "port: 2"), []string{"7: spec.port: set twice, first on line 6"}},
		"set in both forms":       {spec("filters: {batch: {max_batch_size: 1, maxBatchSize: 2}}"), []string{"6: spec.filters.batch.max_batch_size: set twice, first on line 6"}},
		"label set twice":         {strings.Replace(minimal, "{name: digits}", "{name: digits, labels: {a: x, a: y}}", 1), []string{`3: metadata.labels["a"]: set twice, first on line 3`}},
		"merge key":               {spec("filters: &f {}", "<<: *f"), []string{"7: spec.<<: merge keys are not supported: write the fields out, or alias a whole value"}},
		"key that is no text":     {spec("1: x"), []string{"6: spec: 1: a field's name must be text"}},
		"port range":              {spec("port: 70000"), []string{"6: spec.port: 70000: must be 1 to 65535"}},
		"port zero":               {spec("port: 0"), []string{"6: spec.port: 0: must be 1 to 65535"}},
		"address":                 {spec("address: localhost"), []string{`6: spec.address: "localhost": must be an IP address, 0.0.0.0 for all`}},
		"no endpoints":            {head + "  server: {}\n", []string{"5: spec.server.endpoints: missing: name at least one IP:port"}},
		"no server":               {head + "  port: 1\n", []string{"4: spec.server.endpoints: missing: name at least one IP:port"}},
		"no spec":                 {strings.TrimSuffix(head, "spec:\n"), []string{"1: spec: missing"}},
		"name of a host":          {head + "  server: {endpoints: [example.com:80]}\n", []string{`5: spec.server.endpoints[0]: "example.com:80": must be IP:port: names are not resolved`}},
		"localhost":               {head + "  server: {endpoints: [localhost:80]}\n", []string{`5: spec.server.endpoints[0]: "localhost:80": must be IP:port: names are not resolved, write 127.0.0.1:80`}},
		"scheme":                  {head + `  server: {endpoints: ["http://127.0.0.1:80"]}` + "\n", []string{`5: spec.server.endpoints[0]: "http://127.0.0.1:80": must be IP:port, without a scheme`}},
		"no port":                 {head + "  server: {endpoints: [127.0.0.1]}\n", []string{`5: spec.server.endpoints[0]: "127.0.0.1": must be IP:port: the port is missing`}},
		"endpoint port zero":      {head + "  server: {endpoints: [127.0.0.1:0]}\n", []string{`5: spec.server.endpoints[0]: "127.0.0.1:0": the port must be 1 to 65535`}},
		"endpoint port range":     {head + "  server: {endpoints: [127.0.0.1:99999]}\n", []string{`5: spec.server.endpoints[0]: "127.0.0.1:99999": must be IP:port`}},
		"endpoint twice":          {head + "  server: {endpoints: [127.0.0.1:1, 127.0.0.1:1]}\n", []string{`5: spec.server.endpoints[1]: "127.0.0.1:1": is endpoints[0] already`}},
		"circle":                  {head + "  server: {endpoints: [127.0.0.1:19080]}\n", []string{`5: spec.server.endpoints[0]: "127.0.0.1:19080": is the address that the policy listens on, requests would go in a circle`}},
		"identities": {spec(`tls: {identities: ["spiffe://a/*", "spiffe://a/ns/b/*", "spiffe://a/ns/b", "x", "spiffe://a", "spiffe://a/b*", "*"]}`), []string{
			`6: spec.tls.identities[3]: "x": must be a SPIFFE id such as spiffe://cluster.local/ns/models/sa/llama, or the beginning of one and /*`,
			`6: spec.tls.identities[4]: "spiffe://a": must be a SPIFFE id such as spiffe://cluster.local/ns/models/sa/llama, or the beginning of one and /*`,
			`6: spec.tls.identities[5]: "spiffe://a/b*": must be a SPIFFE id such as spiffe://cluster.local/ns/models/sa/llama, or the beginning of one and /*`,
			`6: spec.tls.identities[6]: "*": must be a SPIFFE id such as spiffe://cluster.local/ns/models/sa/llama, or the beginning of one and /*`,
		}},
		"server identities": {head + "  server: {endpoints: [127.0.0.1:1], tls: {identities: [x]}}\n", []string{
			`5: spec.server.tls.identities[0]: "x": must be a SPIFFE id such as spiffe://cluster.local/ns/models/sa/llama, or the beginning of one and /*`,
		}},
		"tls mode":                {spec("tls: {mode: MAYBE}"), []string{`6: spec.tls.mode: "MAYBE": must be one of STRICT, PERMISSIVE`}},
		"zero connect timeout":    {head + "  server: {endpoints: [127.0.0.1:1], connect_timeout: 0s}\n", []string{"5: spec.server.connect_timeout: 0: must be more than 0"}},
		"route without prefix":    {spec("routes: [{timeout: 1s}]"), []string{"6: spec.routes[0].prefix: missing"}},
		"route without slash":     {spec("routes: [{prefix: v1}]"), []string{`6: spec.routes[0].prefix: "v1": must begin with /`}},
		"route never reached":     {spec("routes:", "- prefix: /v1", "- prefix: /v1/embeddings"), []string{`8: spec.routes[1].prefix: "/v1/embeddings": never reached, since routes[0] on line 7 takes "/v1" first`}},
		"server and servers":      {spec("servers: {a: {endpoints: [127.0.0.1:1]}}"), []string{"6: spec.servers: must not stand beside spec.server: move that into servers, under a name"}},
		"servers without weights": {head + "  servers:\n    a: {endpoints: [127.0.0.1:1]}\n", []string{"4: spec.weights: missing: say how the servers share the requests, as {a: 100}"}},
		"weights without servers": {spec("weights: {a: 1}"), []string{"6: spec.weights: nothing to share: they go with spec.servers"}},
		"weights of nothing":      {head + "  servers: {a: {endpoints: [127.0.0.1:1]}}\n  weights: {a: 0}\n", []string{"6: spec.weights: 0 in all: must be 1 to 4294967295"}},
		"an unknown server": {
			head + "  servers: {blue: {endpoints: [127.0.0.1:1]}}\n  weights: {blu: 1}\n  routes: [{prefix: /a, weights: {blue: 1, red: 1}}]\n",
			[]string{`6: spec.weights["blu"]: is none of spec.servers, did you mean blue?`, `7: spec.routes[0].weights["red"]: is none of spec.servers`},
		},
		"a bad server": {
			head + "  servers:\n    A_1: {}\n  weights: {A_1: 1}\n",
			[]string{`6: spec.servers["A_1"]: must be a DNS label: at most 63 of a-z, 0-9 and -, neither first nor last -`, `6: spec.servers["A_1"].endpoints: missing: name at least one IP:port`},
		},
		"other kind":          {"kind: ConfigMap\ndata: {a: b}\n", []string{`1: kind: "ConfigMap": must be InferencePolicy`}},
		"other version":       {strings.Replace(minimal, "v1alpha1", "v1", 1), []string{`1: apiVersion: "friday.dev/v1": must be friday.dev/v1alpha1`}},
		"no version, no kind": {"metadata: {name: a}\nspec:\n" + server, []string{"1: apiVersion: missing: write friday.dev/v1alpha1", "1: kind: missing: write InferencePolicy"}},
		"no name":             {strings.Replace(minimal, "{name: digits}", "{}", 1), []string{"3: metadata.name: missing"}},
		"bad name":            {strings.Replace(minimal, "digits", "Digits_1", 1), []string{`3: metadata.name: "Digits_1": must be a DNS label: at most 63 of a-z, 0-9 and -, neither first nor last -`}},
		"bad namespace":       {strings.Replace(minimal, "digits", "digits, namespace: A", 1), []string{`3: metadata.namespace: "A": must be a DNS label: at most 63 of a-z, 0-9 and -, neither first nor last -`}},
		"no policy":           {"- 1\n", []string{"1: a list: must be a policy: a mapping with apiVersion, kind, metadata and spec"}},
		"no YAML":             {"a: [1\nb: 2\n", []string{"1: not YAML: did not find expected ',' or ']'"}},
		"second document":     {minimal + "---\n" + minimal + "  port: 0\n", []string{"12: spec.port: 0: must be 1 to 65535"}},
		"all at once": {
			head + "  port: 0\n  server: {endpoints: [7, localhost:1], idletimeout: 1s}\n  timeout: 5\n",
			[]string{
				"5: spec.port: 0: must be 1 to 65535",
				"6: spec.server.endpoints[0]: 7: must be text: put it in quotes",
				"6: spec.server.idletimeout: unknown field, did you mean idle_timeout?",
				`6: spec.server.endpoints[1]: "localhost:1": must be IP:port: names are not resolved, write 127.0.0.1:1`,
				"7: spec.timeout: 5: the unit is missing: write 5ms or 5s",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy.Decode("a.yaml", []byte(c.text))
			require.Error(t, err)
			require.Nil(t, got)
			require.Equal(t, "a.yaml:"+strings.Join(c.want, "\na.yaml:"), err.Error())
		})
	}
}

func TestConflict(t *testing.T) {
	decode := func(file, text string) *policy.Policy {
		t.Helper()
		got, err := policy.Decode(file, []byte(text))
		require.NoError(t, err)
		require.Len(t, got, 1)
		return got[0]
	}
	first := decode("a.yaml", minimal)
	named := func(spec string) string { return strings.Replace(minimal, "digits", "words", 1) + spec }
	spaced := func(namespace string) string {
		return strings.Replace(minimal, "digits", "digits, namespace: "+namespace, 1)
	}
	for name, c := range map[string]struct{ first, second, want string }{
		"name": {minimal, minimal + "  port: 1\n", `b.yaml:3: metadata.name: "digits": is the name of another policy, at a.yaml:3`},
		"port": {minimal, named(""), `b.yaml:4: spec.port: 0.0.0.0:19080: policy "digits" (a.yaml:4) listens there for some of the same nodes`},
		"one address within all": {
			minimal, named("  address: 127.0.0.1\n"),
			`b.yaml:6: spec.address: 127.0.0.1:19080: policy "digits" (a.yaml:4) listens there for some of the same nodes`,
		},
		"overlapping selectors": {
			minimal + "  selector: {node_cluster: a}\n", named("  selector: {node_id: b}\n"),
			`b.yaml:4: spec.port: 0.0.0.0:19080: policy "digits" (a.yaml:4) listens there for some of the same nodes`,
		},
		"disjoint metadata": {minimal + "  selector: {node_metadata: {a: b}}\n", named("  selector: {node_metadata: {a: c}}\n"), ""},
		"other port":        {minimal, named("  port: 1\n"), ""},
		"other address":     {minimal + "  address: 127.0.0.2\n", named("  address: 127.0.0.1\n"), ""},
		"other namespace":   {spaced("vision"), spaced("text"), ""},
		"one namespace":     {spaced("vision"), spaced("vision"), `b.yaml:3: metadata.name: "digits.vision": is the name of another policy, at a.yaml:3`},
		"namespaces and all": {
			spaced("vision"), named(""),
			`b.yaml:4: spec.port: 0.0.0.0:19080: policy "digits.vision" (a.yaml:4) listens there for some of the same nodes`,
		},
		"one cluster": {
			spaced("blue") + "  port: 1\n", strings.Replace(minimal, "server: {", "weights: {blue: 1}\n  servers:\n    blue: {", 1),
			`b.yaml:3: metadata.name: "digits": names the cluster "digits.blue" as policy "digits.blue" does, at a.yaml:3`,
		},
		"disjoint selectors": {minimal + "  selector: {node_cluster: a}\n", named("  selector: {node_cluster: b}\n"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := decode("b.yaml", c.second).Conflict(decode("a.yaml", c.first))
			if c.want == "" {
				require.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			require.Equal(t, c.want, got.Error())
		})
	}
	require.True(t, first.Selects(policy.Node{}))
	only := decode("c.yaml", minimal+"  selector: {node_cluster: a, node_id: n}\n")
	require.True(t, only.Selects(policy.Node{ID: "n", Cluster: "a"}))
	require.False(t, only.Selects(policy.Node{ID: "n", Cluster: "b"}))
	require.False(t, only.Selects(policy.Node{ID: "m", Cluster: "a"}))
	of := decode("d.yaml", spaced("vision"))
	require.True(t, of.Selects(policy.Node{ID: "n", Cluster: "digits.vision"}))
	require.False(t, of.Selects(policy.Node{ID: "n", Cluster: "digits"}))
	require.True(t, decode("d.yaml", spaced("vision")+"  selector: {}\n").Selects(policy.Node{ID: "n"}))
}
