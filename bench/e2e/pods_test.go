//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/deploy/inject"
)

// podCase is a pod as somebody makes it, and what becomes of it.
type podCase struct {
	name string
	// namespace is "enabled" where nothing else is said; "plain" has no label, "strict"
	// has PodSecurity's restricted as well.
	namespace string
	labels    map[string]string
	notes     map[string]string
	spec      string

	// unchanged: it is as it was. refused: it is not made, for this reason. Else it is
	// injected, with Friday at these ports.
	unchanged bool
	refused   string
	ports     string
	// warning is told to whoever made it; check sees what else is to be.
	warning string
	check   func(t *testing.T, pod *corev1.Pod)
}

const (
	oneModel = `{containers: [{name: model, image: "model:1", ports: [{name: http, containerPort: 8000}], readinessProbe: {httpGet: {path: /health, port: http}}}]}`
	twoPorts = `{containers: [{name: triton, image: "triton:1", ports: [{name: http, containerPort: 8000}, {name: grpc, containerPort: 8001}, {name: metrics, containerPort: 8002}]}]}`
	confined = `{securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [{name: model, image: "model:1", ports: [{name: http, containerPort: 8000}],
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}`
)

// podCases are the pods; the words of the annotations are those of docs/kubernetes.md.
func podCases() []podCase {
	note := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m["friday.dev/"+pairs[i]] = pairs[i+1]
		}
		return m
	}
	label := func(value string) map[string]string { return map[string]string{inject.Label: value} }
	return []podCase{
		{name: "one model", spec: oneModel, ports: "http=19080", check: func(t *testing.T, pod *corev1.Pod) {
			t.Helper()
			require.Equal(t, int32(8000), pod.Spec.Containers[0].ReadinessProbe.HTTPGet.Port.IntVal, "the probe asks the server")
			require.Empty(t, pod.Spec.Containers[0].Ports[0].Name, "the name is Friday's")
		}},
		{name: "no name", spec: `{containers: [{name: model, image: "model:1", ports: [{containerPort: 8000}]}]}`, ports: "friday=19080", warning: "8000"},
		{name: "several ports", spec: twoPorts, ports: "http=19080,grpc=19081,metrics=19082"},
		{name: "some of the ports", spec: twoPorts, notes: note("ports", "http,8001"), ports: "http=19080,grpc=19081"},
		{name: "all ports but one", spec: twoPorts, notes: note("exclude-ports", "metrics"), ports: "http=19080,grpc=19081"},
		{name: "a port that nobody declares", spec: `{containers: [{name: model, image: "model:1"}]}`, notes: note("ports", "8000"), ports: "friday=19080"},
		{name: "no port", spec: `{containers: [{name: model, image: "model:1"}]}`, unchanged: true},
		{name: "a port of UDP", spec: `{containers: [{name: model, image: "model:1", ports: [{containerPort: 53, protocol: UDP}]}]}`, unchanged: true},
		{name: "no port is left", spec: oneModel, notes: note("exclude-ports", "8000"), unchanged: true},
		{name: "the pod will not", spec: oneModel, labels: label("false"), unchanged: true},
		{name: "the namespace is not asked", namespace: "plain", spec: oneModel, unchanged: true},
		{name: "the pod asks in such a namespace", namespace: "plain", spec: oneModel, labels: label("true"), ports: "http=19080"},
		{name: "Kubernetes' own namespace", namespace: "kube-system", spec: oneModel, labels: label("true"), unchanged: true},
		{name: "fridayd's own namespace", namespace: "default-of-friday", spec: oneModel, labels: label("true"), unchanged: true},
		{name: "another revision's", namespace: "canary", spec: oneModel, unchanged: true},
		{name: "a label that means nothing", spec: oneModel, labels: label("maybe"), refused: "neither true nor false"},
		{name: "the node's network", spec: `{hostNetwork: true, containers: [{name: model, image: "model:1", ports: [{containerPort: 8000}]}]}`, unchanged: true},
		{name: "Windows", spec: `{os: {name: windows}, containers: [{name: model, image: "model:1", ports: [{containerPort: 8000}]}]}`, unchanged: true},
		{
			name: "a pod that is to end", ports: "http=19080",
			spec: `{restartPolicy: Never, containers: [{name: model, image: "model:1", ports: [{name: http, containerPort: 8000}]}]}`,
		},
		{
			name: "init containers come first", ports: "http=19080",
			spec: `{initContainers: [{name: fetch, image: "fetch:1"}], containers: [{name: model, image: "model:1", ports: [{name: http, containerPort: 8000}]}]}`,
			check: func(t *testing.T, pod *corev1.Pod) {
				t.Helper()
				require.Equal(t, "fetch", pod.Spec.InitContainers[0].Name)
			},
		},
		{
			name: "Friday's first port is taken", ports: "http=19081",
			spec: `{containers: [{name: model, image: "model:1", ports: [{name: http, containerPort: 8000}]}, {name: other, image: "other:1", ports: [{containerPort: 19080}]}]}`,
		},
		{name: "Friday's own port is taken", spec: `{containers: [{name: model, image: "model:1", ports: [{containerPort: 8000}, {containerPort: 19001}]}]}`, refused: "Friday's own"},
		{name: "a container of our name", spec: `{containers: [{name: friday, image: "model:1", ports: [{containerPort: 8000}]}]}`, refused: "of its own"},
		{name: "a volume of our name", spec: `{volumes: [{name: friday-state, emptyDir: {}}], containers: [{name: model, image: "model:1", ports: [{containerPort: 8000}]}]}`, refused: "of its own"},
		{name: "a policy", spec: oneModel, notes: note("policy", "embeddings"), ports: "http=19080", check: func(t *testing.T, pod *corev1.Pod) {
			t.Helper()
			require.Contains(t, friday(pod).Args, "embeddings.$(POD_NAMESPACE)")
		}},
		{name: "a policy and several ports", spec: twoPorts, notes: note("policy", "embeddings"), refused: "goes with one port"},
		{name: "an unknown annotation", spec: oneModel, notes: note("polcy", "embeddings"), refused: "friday.dev/polcy"},
		{name: "a mode that there is not", spec: oneModel, notes: note("mode", "magic"), refused: "neither port nor redirect"},
		{
			name: "resources and a claim", spec: oneModel, ports: "http=19080",
			notes: note("resources.limits.memory", "1Gi", "resources.requests.cpu", "1", "state-claim", "kept", "log-level", "debug"),
			check: func(t *testing.T, pod *corev1.Pod) {
				t.Helper()
				require.Equal(t, "1Gi", friday(pod).Resources.Limits.Memory().String())
				require.Equal(t, "1", friday(pod).Resources.Requests.Cpu().String())
			},
		},
		{name: "requests above limits", spec: oneModel, notes: note("resources.requests.cpu", "2", "resources.limits.cpu", "1"), refused: "more than the limit"},
		{name: "redirected", spec: oneModel, notes: note("mode", "redirect"), ports: "friday=19080", check: func(t *testing.T, pod *corev1.Pod) {
			t.Helper()
			require.Equal(t, "http", pod.Spec.Containers[0].Ports[0].Name, "ports stay")
			step := pod.Spec.InitContainers[0]
			require.Equal(t, inject.RedirectContainer, step.Name)
			require.Zero(t, *step.SecurityContext.RunAsUser)
		}},
		{
			name: "KServe's predictor", ports: "h1=19080",
			spec: `{containers: [{name: kserve-container, image: "model:1", ports: [{name: h1, containerPort: 8080}]}, {name: agent, image: "agent:1", ports: [{name: agent, containerPort: 9081}]}]}`,
		},
		{name: "restricted", namespace: "strict", spec: confined, ports: "http=19080"},
		{name: "restricted and redirected", namespace: "strict", spec: confined, notes: note("mode", "redirect"), refused: `violates PodSecurity "restricted`},
	}
}

// friday is the sidecar's container; nil: there is none.
func friday(pod *corev1.Pod) *corev1.Container {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == inject.Container {
			return c
		}
	}
	return nil
}

// create makes a pod, really. Its name is made up by the API server.
func (c *cluster) create(t *testing.T, namespace string, labels, notes map[string]string, spec string) (*unstructured.Unstructured, error) {
	t.Helper()
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"generateName": "pod-", "namespace": namespace}}}
	u.SetLabels(labels)
	u.SetAnnotations(notes)
	asJSON, err := yaml.YAMLToJSON([]byte(spec))
	require.NoError(t, err)
	var body map[string]any
	require.NoError(t, json.Unmarshal(asJSON, &body))
	u.Object["spec"] = body
	return c.in(u).Create(c.ctx, u, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
}

// injected says why a new pod of a namespace has no Friday; nil: it has.
func (c *cluster) injected(t *testing.T, namespace string) error {
	t.Helper()
	u, err := c.create(t, namespace, nil, nil, oneModel)
	if err != nil {
		return err
	}
	if friday(pod(t, u)) == nil {
		return errors.New("the pod has no Friday")
	}
	return nil
}

// left says why a new pod of a namespace is not as it was; nil: it is.
func (c *cluster) left(t *testing.T, namespace string) error {
	t.Helper()
	u, err := c.create(t, namespace, nil, nil, oneModel)
	if err != nil {
		return err
	}
	if friday(pod(t, u)) != nil {
		return errors.New("the pod has Friday")
	}
	return nil
}

func pod(t *testing.T, u *unstructured.Unstructured) *corev1.Pod {
	t.Helper()
	p := &corev1.Pod{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, p))
	return p
}

// bare is what of a pod does not depend on when and where it was made.
func bare(t *testing.T, u *unstructured.Unstructured) map[string]any {
	t.Helper()
	object := runtime.DeepCopyJSON(u.Object)
	delete(object, "status")
	metadata := object["metadata"].(map[string]any)
	for _, field := range []string{"name", "namespace", "uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
		delete(metadata, field)
	}
	return object
}

// TestPods: pods in, pods out, by an API server that asks the webhook; and Friday taken
// out again gives the pod that there would have been without it.
func TestPods(t *testing.T) {
	c := newCluster(t)
	d := c.install(t)
	c.fridayd(t, d)
	c.namespace(t, "enabled", inject.Label+"="+inject.LabelEnabled)
	c.namespace(t, "strict", inject.Label+"="+inject.LabelEnabled, "pod-security.kubernetes.io/enforce=restricted")
	c.namespace(t, "canary", inject.Label+"="+inject.LabelEnabled, inject.RevisionLabel+"=canary")
	c.namespace(t, "plain")
	c.namespace(t, "untouched")
	c.namespace(t, "kube-system")
	c.eventually(t, "pods are injected", func() error { return c.injected(t, "enabled") })
	c.warnings.take()

	for _, pc := range podCases() {
		t.Run(pc.name, func(t *testing.T) { pc.test(t, c) })
	}
	t.Run("workloads", c.workloads)
}

func (pc *podCase) test(t *testing.T, c *cluster) {
	namespace := pc.namespace
	switch namespace {
	case "":
		namespace = "enabled"
	case "default-of-friday":
		namespace = systemNamespace
	}
	spec := pc.spec
	if namespace == systemNamespace {
		spec = confined // the namespace is restricted
	}
	made, err := c.create(t, namespace, pc.labels, pc.notes, spec)
	said := c.warnings.take()
	if pc.refused != "" {
		require.ErrorContains(t, err, pc.refused)
		return
	}
	require.NoError(t, err)
	without, err := c.create(t, "untouched", map[string]string{inject.RevisionLabel: "none"}, pc.notes, spec)
	require.NoError(t, err)
	without.SetLabels(pc.labels)
	p := pod(t, made)
	if pc.unchanged {
		require.Nil(t, friday(p))
		require.Equal(t, bare(t, without), bare(t, made))
		return
	}
	sidecar := friday(p)
	require.NotNil(t, sidecar, "there is no Friday")
	require.Equal(t, corev1.ContainerRestartPolicyAlways, *sidecar.RestartPolicy)
	var ports []string
	for _, port := range sidecar.Ports[:len(sidecar.Ports)-1] {
		ports = append(ports, fmt.Sprintf("%s=%d", port.Name, port.ContainerPort))
	}
	require.Equal(t, pc.ports, strings.Join(ports, ","))
	require.Equal(t, int32(inject.StatusPort), sidecar.Ports[len(ports)].ContainerPort)
	require.Contains(t, said, pc.warning)
	if pc.check != nil {
		pc.check(t, p)
	}
	removed, err := inject.Remove(made.Object)
	require.NoError(t, err)
	require.Equal(t, bare(t, without), bare(t, &unstructured.Unstructured{Object: removed.Pod}))
}

// workloads are manifests, injected by fridayctl, of which the API server is asked whether
// it would take them.
func (c *cluster) workloads(t *testing.T) {
	files, err := filepath.Glob("../../deploy/inject/testdata/*.yaml")
	require.NoError(t, err)
	var seen []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		manifest, outcome, _ := strings.Cut(string(text), "=====\n")
		u := &unstructured.Unstructured{}
		asJSON, err := yaml.YAMLToJSON([]byte(manifest))
		require.NoError(t, err)
		if u.UnmarshalJSON(asJSON) != nil || !slices.Contains([]string{"Deployment", "StatefulSet", "Job", "CronJob"}, u.GetKind()) || strings.HasPrefix(outcome, "refused") {
			continue
		}
		seen = append(seen, u.GetKind())
		t.Run(filepath.Base(file), func(t *testing.T) {
			out := c.program(t, "fridayctl", manifest, "inject", "-f", "-")
			injected := objects(t, out)[0]
			injected.SetNamespace("plain")
			if injected.GetName() == "" {
				injected.SetName("model")
			}
			_, err := c.in(injected).Create(c.ctx, injected, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict, DryRun: []string{metav1.DryRunAll}})
			require.NoError(t, err, "%s", out)
		})
	}
	require.Contains(t, seen, "Deployment")
	require.Contains(t, seen, "CronJob")
}

// program runs one of Friday's programs to its end, and returns what it prints.
func (c *cluster) program(t *testing.T, name, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(c.ctx, filepath.Join(c.bin, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		require.NoError(t, err, "%s: %s", name, exit.Stderr)
	}
	require.NoError(t, err)
	return string(out)
}
