package inject

import (
	"maps"
	"strings"
)

// templates is where each kind has its pod template; of a Pod it is itself.
func templates() map[string][]string {
	template := []string{"spec", "template"}
	return map[string][]string{
		"v1/Pod":                       nil,
		"v1/PodTemplate":               {"template"},
		"v1/ReplicationController":     template,
		"apps/v1/Deployment":           template,
		"apps/v1/StatefulSet":          template,
		"apps/v1/DaemonSet":            template,
		"apps/v1/ReplicaSet":           template,
		"batch/v1/Job":                 template,
		"batch/v1/CronJob":             {"spec", "jobTemplate", "spec", "template"},
		"argoproj.io/v1alpha1/Rollout": template,
	}
}

// Change is what is done to each pod of a manifest: [Settings.Pod] or [Remove].
type Change func(pod map[string]any, at Place) (Result, error)

// Manifest does it to the pod, or to the pod template, of any object. Objects of
// other kinds have none, which the reason says.
func Manifest(object map[string]any, change Change) (Result, error) {
	kind := text(object, "apiVersion") + "/" + text(object, "kind")
	path, ok := templates()[kind]
	if !ok {
		return Result{Pod: object, Reason: other(object)}, nil
	}
	at := Place{Namespace: text(child(object, "metadata"), "namespace"), Selected: true}
	if len(path) == 0 {
		return change(object, at)
	}
	pod := child(object, path...)
	if pod == nil {
		return Result{Pod: object, Reason: "it has no " + strings.Join(path, ".")}, nil
	}
	r, err := change(pod, at)
	if err != nil || r.Reason != "" {
		r.Pod = object
		return r, err
	}
	r.Pod = with(object, path, r.Pod)
	return r, nil
}

// with is object with another value at path.
func with(object tree, path []string, value tree) tree {
	out := maps.Clone(object)
	if len(path) == 1 {
		out[path[0]] = value
		return out
	}
	out[path[0]] = with(child(object, path[0]), path[1:], value)
	return out
}

// other says why an object that is no pod is left as it is.
func other(object tree) string {
	group, _, _ := strings.Cut(text(object, "apiVersion"), "/")
	switch group {
	case "serving.kserve.io", "serving.knative.dev":
		return "its pods are made in the cluster: label its namespace, or its pods' metadata, for the webhook"
	default:
		return "it has no pods"
	}
}
