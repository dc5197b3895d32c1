package kube_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/kube"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

func policies() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: kube.Group, Version: kube.Version, Resource: kube.Plural}
}

func parse(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(text))
	require.NoError(t, err)
	u := &unstructured.Unstructured{}
	require.NoError(t, u.UnmarshalJSON(asJSON))
	return u
}

const chat = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: chat, namespace: models, generation: 1}
spec: {server: {endpoints: ["127.0.0.1:8000"]}}
`

// harness is a Source before an API server's stand-in, and sidecars' words.
type harness struct {
	t       *testing.T
	client  *fake.FakeDynamicClient
	source  *kube.Source
	changes chan struct{}

	mu      sync.Mutex
	applied []*control.Compiled
	nodes   []control.NodeStatus
	view    func([]control.PolicyStatus) []control.PolicyStatus
}

func start(t *testing.T, objects ...string) *harness {
	t.Helper()
	h := &harness{t: t, changes: make(chan struct{}, 1), view: func(l []control.PolicyStatus) []control.PolicyStatus { return l }}
	var known []runtime.Object
	for _, o := range objects {
		known = append(known, parse(t, o))
	}
	h.client = fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		policies():                            "InferencePolicyList",
		{Version: "v1", Resource: "services"}: "ServiceList",
		{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}: "EndpointSliceList",
	}, known...)
	h.source = kube.New(kube.Options{
		Client: h.client, Name: "fridayd-0", Compiler: control.NewCompiler(standard.Registry(), ""),
		Apply: func(list []*control.Compiled) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.applied = list
		},
		Nodes: func() []control.NodeStatus {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.nodes
		},
		Changes: h.changes,
		View: func(l []control.PolicyStatus) []control.PolicyStatus {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.view(l)
		},
		Log: zap.NewNop(), Metrics: control.NewMetrics(prometheus.NewRegistry()),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, h.source.Ready, patience, time.Millisecond)
	return h
}

func (h *harness) says(nodes ...control.NodeStatus) {
	h.mu.Lock()
	h.nodes = nodes
	h.mu.Unlock()
	h.changes <- struct{}{}
}

func (h *harness) served() (list []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.applied {
		list = append(list, p.Name()+" "+strings.Join(p.Groups()[0].Server.GetEndpoints(), ","))
	}
	return list
}

func (h *harness) status(name string) (s kube.Status) {
	h.t.Helper()
	u, err := h.client.Resource(policies()).Namespace("models").Get(h.t.Context(), name, metav1.GetOptions{})
	require.NoError(h.t, err)
	text, err := json.Marshal(u.Object["status"])
	require.NoError(h.t, err)
	require.NoError(h.t, json.Unmarshal(text, &s))
	return s
}

// await waits until the condition is as "True Valid: ..." begins.
func (h *harness) await(name, kind, begin, holds string) {
	h.t.Helper()
	last := ""
	require.Eventually(h.t, func() bool {
		for _, c := range h.status(name).Conditions {
			if c.Type == kind {
				last = string(c.Status) + " " + c.Reason + ": " + c.Message
			}
		}
		return strings.HasPrefix(last, begin) && strings.Contains(last, holds)
	}, patience, 5*time.Millisecond, "%s %s, %q", kind, begin, &last)
}

func (h *harness) update(r schema.GroupVersionResource, text string) {
	h.t.Helper()
	u := parse(h.t, text)
	client := h.client.Resource(r).Namespace(u.GetNamespace())
	if has, err := client.Get(h.t.Context(), u.GetName(), metav1.GetOptions{}); err == nil && has.Object["status"] != nil {
		u.Object["status"] = has.Object["status"]
	}
	_, err := client.Update(h.t.Context(), u, metav1.UpdateOptions{})
	require.NoError(h.t, err)
}

func runs(node, state, words string) control.NodeStatus {
	return control.NodeStatus{ID: node, Running: []control.Running{{Policy: "chat.models", State: state, Error: words}}}
}

func TestStatus(t *testing.T) {
	h := start(t, chat)
	require.True(t, h.source.Ready())
	require.Equal(t, []string{"chat.models 127.0.0.1:8000"}, h.served())
	h.await("chat", kube.ConditionAccepted, "True Valid", "")
	h.await("chat", kube.ConditionProgrammed, "Unknown NoSidecars", "friday.dev/policy: chat")

	h.says(runs("a", control.RunsCurrent, ""), runs("b", control.RunsBehind, ""))
	h.await("chat", kube.ConditionProgrammed, "False Pending", "1 of 2 sidecars run ")
	h.says(runs("a", control.RunsCurrent, ""), runs("b", control.RunsRefused, "address already in use"))
	h.await("chat", kube.ConditionProgrammed, "False Refused", "refused by 1 of 2 sidecars, as b: address already in use")
	h.says(runs("a", control.RunsCurrent, ""), runs("b", control.RunsCurrent, ""))
	h.await("chat", kube.ConditionProgrammed, "True Acknowledged", "2 of 2 sidecars run ")
	require.Equal(t, "2/2", h.status("chat").Sidecars)

	good := h.status("chat").Version
	h.update(policies(), strings.NewReplacer("8000", "99999", "generation: 1", "generation: 2").Replace(chat))
	h.await("chat", kube.ConditionAccepted, "False Invalid", `spec.server.endpoints[0]: "127.0.0.1:99999": must be IP:port`)
	h.await("chat", kube.ConditionProgrammed, "False Invalid", "the last good version is served; 2 of 2")
	require.Equal(t, good, h.status("chat").Version)
	require.EqualValues(t, 2, h.status("chat").ObservedGeneration)
	require.Equal(t, []string{"chat.models 127.0.0.1:8000"}, h.served())
	require.Equal(t, control.StateStale, h.source.Status()[0].State)

	h.update(policies(), strings.Replace(chat, "8000", "8001", 1))
	h.await("chat", kube.ConditionAccepted, "True Valid", "")
	require.Equal(t, []string{"chat.models 127.0.0.1:8001"}, h.served())

	h.mu.Lock()
	h.view = func(l []control.PolicyStatus) []control.PolicyStatus {
		for i := range l {
			l[i].State, l[i].Served, l[i].Error = control.StateRejected, good, "refused by 2 of 2 sidecars, as a: no"
		}
		return l
	}
	h.mu.Unlock()
	h.says()
	h.await("chat", kube.ConditionProgrammed, "False Refused", "as a: no; 0 of 0 sidecars run "+good)

	require.NoError(t, h.client.Resource(policies()).Namespace("models").Delete(t.Context(), "chat", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return len(h.served()) == 0 }, patience, 5*time.Millisecond)
}

// What was never in order is not served, and says so; others are.
func TestBrokenFromTheBeginning(t *testing.T) {
	h := start(t, chat, strings.NewReplacer("name: chat", "name: bad", "server:", "sever:").Replace(chat))
	require.Equal(t, []string{"chat.models 127.0.0.1:8000"}, h.served())
	h.await("bad", kube.ConditionAccepted, "False Invalid", "spec.sever: unknown field, did you mean server?")
	h.await("bad", kube.ConditionProgrammed, "False Invalid", "nothing of it is served")
	h.await("chat", kube.ConditionAccepted, "True Valid", "")
}

// Several fridayd write into one status, each its own; the conditions are of all, and
// who is no more is forgotten.
func TestReportsOfOthers(t *testing.T) {
	now := time.Now().UTC()
	h := start(t, chat+`status:
  reports:
  - {name: fridayd-1, time: "`+now.Format(time.RFC3339)+`", connected: 3, current: 2, refused: 1, words: "z: no"}
  - {name: fridayd-gone, time: "`+now.Add(-time.Hour).Format(time.RFC3339)+`", connected: 9, current: 9}
`)
	h.says(runs("a", control.RunsCurrent, ""))
	h.await("chat", kube.ConditionProgrammed, "False Refused", "refused by 1 of 4 sidecars, as z: no")
	s := h.status("chat")
	require.Equal(t, "3/4", s.Sidecars)
	require.Len(t, s.Reports, 2)
	require.Equal(t, "fridayd-0", s.Reports[0].Name)
}

const (
	service = `apiVersion: v1
kind: Service
metadata: {name: models, namespace: models}
spec: {ports: [{name: http, port: 80}, {name: grpc, port: 81}]}
`
	slice = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: models-1, namespace: models, labels: {kubernetes.io/service-name: models}}
addressType: IPv4
endpoints:
- {addresses: [10.0.0.2]}
- {addresses: [10.0.0.1], conditions: {ready: true}}
- {addresses: [10.0.0.3], conditions: {ready: false}}
ports: [{name: http, port: 8000}, {name: grpc, port: 8001}]
`
)

func TestServices(t *testing.T) {
	six := strings.NewReplacer("models-1", "models-2", "IPv4", "IPv6", "10.0.0.1", "'fd00::1'", "10.0.0.2", "'fd00::2'").Replace(slice)
	of := func(server string) string {
		return strings.Replace(chat, `server: {endpoints: ["127.0.0.1:8000"]}`, server, 1)
	}
	for name, c := range map[string]struct {
		policy       string
		objects      []string
		served, says string
	}{
		"by name":        {of("server: {service: 'models:grpc'}"), []string{service, slice}, "10.0.0.1:8001,10.0.0.2:8001", ""},
		"by number":      {of("server: {service: 'models:80'}"), []string{service, slice, six}, "10.0.0.1:8000,10.0.0.2:8000", ""},
		"IPv6":           {of("server: {service: 'models:80'}"), []string{service, six}, "[fd00::1]:8000,[fd00::2]:8000", ""},
		"one of several": {strings.Replace(chat, `{server: {endpoints: ["127.0.0.1:8000"]}}`, "{servers: {blue: {service: 'models:80'}}, weights: {blue: 1}}", 1), []string{service, slice}, "10.0.0.1:8000,10.0.0.2:8000", ""},
		"no Service":     {of("server: {service: 'others:80'}"), []string{service, slice}, "", `spec.server.service: "others:80": there is no Service others in the namespace models`},
		"no port":        {of("server: {service: 'models:82'}"), []string{service, slice}, "", `spec.server.service: "models:82": the Service has no port 82`},
		"no endpoint":    {of("server: {service: 'models:80'}"), []string{service}, "", `spec.server.service: "models:80": the Service has no ready endpoint`},
		"no name":        {of("server: {service: models}"), nil, "", `spec.server.service: "models": must be NAME:PORT`},
		"no text":        {of("server: {service: 80}"), nil, "", "spec.server.service: must be NAME:PORT of a Service"},
		"both":           {of("server: {service: 'models:80', endpoints: ['10.0.0.1:80']}"), []string{service}, "", "spec.server.service: must not stand beside endpoints"},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, append(c.objects, c.policy)...)
			if c.says != "" {
				h.await("chat", kube.ConditionAccepted, "False Invalid", c.says)
				require.Empty(t, h.served())
				return
			}
			require.Equal(t, []string{"chat.models " + c.served}, h.served())
		})
	}
}

func TestServiceChanges(t *testing.T) {
	h := start(t, service, slice, strings.Replace(chat, `endpoints: ["127.0.0.1:8000"]`, "service: 'models:http'", 1))
	require.Equal(t, []string{"chat.models 10.0.0.1:8000,10.0.0.2:8000"}, h.served())
	slices := schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	h.update(slices, strings.Replace(slice, "ready: false", "ready: true", 1))
	require.Eventually(t, func() bool { return strings.HasSuffix(h.served()[0], "10.0.0.3:8000") }, patience, 5*time.Millisecond)
	// None is left: what was served is served on.
	h.update(slices, strings.NewReplacer("ready: true", "ready: false", "[10.0.0.2]}", "[10.0.0.2], conditions: {ready: false}}").Replace(slice))
	h.await("chat", kube.ConditionAccepted, "False Invalid", "no ready endpoint")
	require.True(t, strings.HasSuffix(h.served()[0], "10.0.0.3:8000"))
}
