package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// never are Kubernetes' own namespaces.
func never() []string { return []string{"kube-system", "kube-public", "kube-node-lease"} }

// Place is where a pod is, as far as it is known.
type Place struct {
	// Namespace is empty where it is not known.
	Namespace string
	// Selected says that the namespace is enabled, or that a person asked for it.
	Selected bool
}

// wanted says why a pod is not injected; empty where it is. A label that is neither
// true nor false is an error.
func (s Settings) wanted(pod *corev1.PodTemplateSpec, at Place) (reason string, err error) {
	asked := at.Selected
	if value, ok := pod.Labels[Label]; ok {
		switch value {
		case "true":
			asked = true
		case "false":
			return fmt.Sprintf("its label %s is false", Label), nil
		default:
			return "", fmt.Errorf("%s: %q is neither true nor false", Label, value)
		}
	}
	spec := &pod.Spec
	switch {
	case slices.Contains(never(), at.Namespace):
		return fmt.Sprintf("the namespace %s is Kubernetes' own", at.Namespace), nil
	case at.Namespace != "" && slices.Contains(s.Namespaces, at.Namespace):
		return fmt.Sprintf("the namespace %s is left alone", at.Namespace), nil
	case !asked:
		return fmt.Sprintf("neither it nor its namespace asks for it (%s)", Label), nil
	case spec.HostNetwork:
		return "it is in the node's network (hostNetwork)", nil
	case spec.OS != nil && spec.OS.Name == corev1.Windows:
		return "it is for Windows", nil
	case !s.Native && spec.RestartPolicy != "" && spec.RestartPolicy != corev1.RestartPolicyAlways:
		return "it is to end, and with an ordinary container beside it it never would: that takes native sidecars (Kubernetes 1.29)", nil
	}
	return "", nil
}

// taken says whether the pod has a container or volume of our names that is not
// ours.
func taken(pod *corev1.PodTemplateSpec) error {
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		if c.Name == Container || c.Name == RedirectContainer {
			return fmt.Errorf("it has a container %q of its own", c.Name)
		}
	}
	for _, v := range pod.Spec.Volumes {
		if v.Name == StateVolume {
			return fmt.Errorf("it has a volume %q of its own", v.Name)
		}
	}
	return nil
}
