package inject

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// sidecar is Friday's container, but for its ports.
func (s Settings) sidecar(pod *corev1.PodTemplateSpec, o options, ports []captured) (*corev1.Container, error) {
	limits, err := requirements(o.resources)
	if err != nil {
		return nil, err
	}
	c := &corev1.Container{
		Name: Container, Image: s.Image, ImagePullPolicy: corev1.PullPolicy(s.PullPolicy),
		Args: s.args(pod, o, ports), Env: s.environment(o, limits), Resources: limits,
		VolumeMounts:    []corev1.VolumeMount{{Name: StateVolume, MountPath: stateDir}},
		StartupProbe:    probe("/live", 1, 60),
		LivenessProbe:   probe("/live", 10, 3),
		ReadinessProbe:  probe("/ready", 2, 2),
		Lifecycle:       &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/friday", "drain"}}}},
		SecurityContext: restricted(),
	}
	if s.Native {
		always := corev1.ContainerRestartPolicyAlways
		c.RestartPolicy = &always
	}
	if o.mode == ModeRedirect {
		// An address of its own among users: the rules know Friday's connections by it.
		user := int64(User)
		c.SecurityContext.RunAsUser, c.SecurityContext.RunAsGroup = &user, &user
	}
	return c, nil
}

// args are the command line. $(NAME) is filled in by the kubelet.
func (s Settings) args(pod *corev1.PodTemplateSpec, o options, ports []captured) []string {
	args := []string{"proxy"}
	if o.policy != "" {
		args = append(args, "--xds", cmp.Or(s.XDS, DefaultXDS), "--node-id", "$(POD_NAME).$(POD_NAMESPACE)",
			"--node-cluster", o.policy+".$(POD_NAMESPACE)")
	} else {
		args = append(args, straight(o.mode, ports)...)
	}
	delay, drain := drainTimes(pod)
	return append(args,
		"--status", fmt.Sprintf(":%d", StatusPort), "--state-dir", stateDir,
		"--drain-delay", delay.String(), "--drain-timeout", drain.String(), "--log-level", o.level)
}

// straight is the command line without a control plane.
func straight(mode Mode, ports []captured) []string {
	server := func(p captured) string { return fmt.Sprintf("127.0.0.1:%d", p.port.ContainerPort) }
	if mode == ModeRedirect {
		return []string{"--mode", "redirect", "--listen", fmt.Sprintf(":%d", ports[0].listen), "--upstream", server(ports[0])}
	}
	var listen, upstream []string
	for _, p := range ports {
		listen = append(listen, fmt.Sprintf(":%d", p.listen))
		upstream = append(upstream, server(p))
	}
	return []string{"--upstream", strings.Join(upstream, ","), "--listen", strings.Join(listen, ",")}
}

// drainTimes fit into the pod's grace period.
func drainTimes(pod *corev1.PodTemplateSpec) (delay, drain time.Duration) {
	grace := defaultGrace
	if s := pod.Spec.TerminationGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	delay = min(drainDelay, (grace / 4).Truncate(time.Second))
	return delay, max(grace-delay-margin, time.Second)
}

// environment tells the pod's name to a control plane and to a collector of spans, and Go
// how much memory there is.
func (s Settings) environment(o options, limits corev1.ResourceRequirements) []corev1.EnvVar {
	var env []corev1.EnvVar
	if o.policy != "" || s.OTLP != "" {
		field := func(name, path string) corev1.EnvVar {
			return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: path}}}
		}
		env = append(env, field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace"))
	}
	if s.OTLP != "" {
		env = append(env,
			corev1.EnvVar{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: s.OTLP},
			corev1.EnvVar{Name: "OTEL_RESOURCE_ATTRIBUTES", Value: "k8s.pod.name=$(POD_NAME),k8s.namespace.name=$(POD_NAMESPACE)"})
	}
	if m, ok := limits.Limits[corev1.ResourceMemory]; ok && m.Value() > 0 {
		// A tenth is left for what is not Go's heap.
		env = append(env, corev1.EnvVar{Name: "GOMEMLIMIT", Value: strconv.FormatInt(m.Value()/10*9, 10)})
	}
	return env
}

func requirements(values map[string]string) (corev1.ResourceRequirements, error) {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	for key, value := range values {
		kind, name, _ := strings.Cut(key, ".")
		q, err := resource.ParseQuantity(value)
		if err != nil {
			return r, fmt.Errorf("%s%s: %q is not a quantity", resourcesKey, key, value)
		}
		list := r.Requests
		if kind == "limits" {
			list = r.Limits
		}
		list[corev1.ResourceName(name)] = q
	}
	return r, nil
}

func probe(path string, period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
			Path: path, Port: intstr.FromInt32(StatusPort), Scheme: corev1.URISchemeHTTP,
		}},
		// The readiness asks the model server, for up to a second.
		PeriodSeconds: period, FailureThreshold: failures, TimeoutSeconds: 2, SuccessThreshold: 1,
	}
}

// restricted is what PodSecurity's level restricted asks for, and a root that
// cannot be written.
func restricted() *corev1.SecurityContext {
	yes, no := true, false
	return &corev1.SecurityContext{
		AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes, RunAsNonRoot: &yes,
		Capabilities:   &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// redirect is the init step that leads the ports to Friday. It is root with nothing but
// the two capabilities: to another user a container runtime gives added ones without
// effect (they are permitted and bounding, not ambient). It says so of itself, because
// what the pod says for all its containers, such as runAsNonRoot, would hold otherwise.
func (s Settings) redirect(ports []captured) *corev1.Container {
	c := &corev1.Container{
		Name: RedirectContainer, Image: s.Image, ImagePullPolicy: corev1.PullPolicy(s.PullPolicy),
		Args: redirectArgs(ports), SecurityContext: restricted(),
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("32Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
		},
	}
	root, no := int64(0), false
	c.SecurityContext.RunAsUser, c.SecurityContext.RunAsGroup = &root, &root
	c.SecurityContext.RunAsNonRoot = &no
	c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN", "NET_RAW"}
	return c
}

func redirectArgs(ports []captured) []string {
	numbers := make([]string, 0, len(ports))
	for _, p := range ports {
		numbers = append(numbers, strconv.Itoa(int(p.port.ContainerPort)))
	}
	return []string{
		"redirect", "--ports", strings.Join(numbers, ","), "--to", strconv.Itoa(int(ports[0].listen)),
		"--uid", strconv.Itoa(User), "--gid", strconv.Itoa(User),
	}
}
