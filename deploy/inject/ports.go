package inject

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Containers that stand beside a model server, and those that are one.
const (
	queueProxy       = "queue-proxy"
	userPort         = "USER_PORT"
	defaultContainer = "kubectl.kubernetes.io/default-container"
)

func modelContainers() []string { return []string{"kserve-container", "user-container"} }

func sidecars() []string {
	return []string{queueProxy, "agent", "istio-proxy", "linkerd-proxy", "daprd", "kube-rbac-proxy", "cloud-sql-proxy", "vault-agent"}
}

// captured is one port of the model server, and Friday's in front of it.
type captured struct {
	container string // that declares it; empty: none does
	port      corev1.ContainerPort
	listen    int32
}

// model is the container of the model server: KServe's or Knative's by its name,
// the one that kubectl takes, or the first that declares a port.
func model(pod *corev1.PodTemplateSpec) *corev1.Container {
	containers := pod.Spec.Containers
	byName := func(names ...string) *corev1.Container {
		for i := range containers {
			if slices.Contains(names, containers[i].Name) {
				return &containers[i]
			}
		}
		return nil
	}
	if c := byName(modelContainers()...); c != nil {
		return c
	}
	if name := pod.Annotations[defaultContainer]; name != "" {
		if c := byName(name); c != nil {
			return c
		}
	}
	for i := range containers {
		if c := &containers[i]; !slices.Contains(sidecars(), c.Name) && slices.ContainsFunc(c.Ports, isTCP) {
			return c
		}
	}
	return &containers[0]
}

func isTCP(p corev1.ContainerPort) bool { return p.Protocol == "" || p.Protocol == corev1.ProtocolTCP }

// capture chooses the ports that are Friday's.
func capture(pod *corev1.PodTemplateSpec, o options) (list []captured, err error) {
	if port, ok := knativePort(pod); ok && !o.portsGiven {
		list = []captured{{port: corev1.ContainerPort{ContainerPort: port}}}
	} else if list, err = declared(pod, o); err != nil {
		return nil, err
	}
	if o.policy != "" && len(list) > 1 {
		return nil, fmt.Errorf("%s: goes with one port, and there are %s: name one in %s", policyKey, portsOf(list), portsKey)
	}
	if list, err = assign(pod, list); err == nil && o.policy != "" && len(list) == 1 && list[0].listen != FirstPort {
		err = fmt.Errorf("%s: a policy's sidecar listens on %d, which another container declares", policyKey, FirstPort)
	}
	return list, err
}

// declared are the ports of annotations and containers.
func declared(pod *corev1.PodTemplateSpec, o options) ([]captured, error) {
	var list []captured
	for _, c := range candidates(pod, o) {
		excluded := slices.ContainsFunc(o.exclude, func(r portRef) bool { return r.is(c.port) })
		if !excluded {
			list = append(list, c)
		}
	}
	for _, r := range o.ports {
		known := slices.ContainsFunc(candidates(pod, o), func(c captured) bool { return r.is(c.port) })
		switch {
		case known:
		case r.name != "":
			return nil, fmt.Errorf("%s: no container has a TCP port of the name %q", portsKey, r.name)
		case !slices.ContainsFunc(o.exclude, func(x portRef) bool { return x == r }):
			list = append(list, captured{port: corev1.ContainerPort{ContainerPort: r.number}})
		}
	}
	return list, nil
}

func portsOf(list []captured) string {
	numbers := make([]string, 0, len(list))
	for _, c := range list {
		numbers = append(numbers, strconv.Itoa(int(c.port.ContainerPort)))
	}
	return strings.Join(numbers, ", ")
}

func (r portRef) is(p corev1.ContainerPort) bool {
	return r.name != "" && r.name == p.Name || r.name == "" && r.number == p.ContainerPort
}

// candidates are the declared ports that are asked for: those of the annotation, of
// any container, else all of the model server's.
func candidates(pod *corev1.PodTemplateSpec, o options) []captured {
	var list []captured
	add := func(c *corev1.Container, wanted func(corev1.ContainerPort) bool) {
		for _, p := range c.Ports {
			twice := slices.ContainsFunc(list, func(x captured) bool { return x.port.ContainerPort == p.ContainerPort })
			if isTCP(p) && !twice && wanted(p) {
				list = append(list, captured{container: c.Name, port: p})
			}
		}
	}
	if !o.portsGiven {
		add(model(pod), func(corev1.ContainerPort) bool { return true })
		return list
	}
	for i := range pod.Spec.Containers {
		add(&pod.Spec.Containers[i], func(p corev1.ContainerPort) bool {
			return slices.ContainsFunc(o.ports, func(r portRef) bool { return r.is(p) })
		})
	}
	return list
}

// knativePort is where Knative's queue-proxy, through which everything comes, sends
// requests.
func knativePort(pod *corev1.PodTemplateSpec) (int32, bool) {
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if c.Name != queueProxy || e.Name != userPort {
				continue
			}
			if list, err := portList(e.Value); err == nil && len(list) == 1 && list[0].number > 0 {
				return list[0].number, true
			}
		}
	}
	return 0, false
}

// assign gives each captured port one of Friday's that no container declares.
func assign(pod *corev1.PodTemplateSpec, list []captured) ([]captured, error) {
	taken := map[int32]string{}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, p := range c.Ports {
			taken[p.ContainerPort] = c.Name
		}
	}
	for _, port := range []int32{AdminPort, StatusPort} {
		if name := taken[port]; name != "" {
			return nil, fmt.Errorf("container %q has the port %d, which is Friday's own", name, port)
		}
	}
	next := int32(FirstPort)
	for i := range list {
		for taken[next] != "" {
			next++
		}
		list[i].listen = next
		next++
	}
	return list, nil
}
