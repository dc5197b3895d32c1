package inject

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// recordVersion is of the form of the record.
const recordVersion = 1

// record is what cannot be seen from what was added: what stood in places that were
// changed.
type record struct {
	Version  int         `json:"version"`
	Ports    []movedPort `json:"ports,omitempty"`
	Names    []namedPort `json:"names,omitempty"`
	PreStop  []string    `json:"preStop,omitempty"`
	UserPort string      `json:"userPort,omitempty"`
}

type movedPort struct {
	Container string `json:"container"`
	Port      int32  `json:"port"`
	Name      string `json:"name,omitempty"`
	HostPort  int32  `json:"hostPort,omitempty"`
	HostIP    string `json:"hostIP,omitempty"`
}

// namedPort is a probe or hook that went by a port's name.
type namedPort struct {
	Container string   `json:"container"`
	Path      []string `json:"path"`
	Name      string   `json:"name"`
}

// Remove takes Friday out of a pod or a pod template, which is then as it was. It
// does not change pod.
func Remove(pod map[string]any) (Result, error) {
	words := text(child(pod, "metadata", "annotations"), StatusAnnotation)
	if words == "" {
		return Result{Pod: pod, Reason: "it is not injected"}, nil
	}
	var r record
	if err := json.Unmarshal([]byte(words), &r); err != nil {
		return Result{}, fmt.Errorf("metadata.annotations[%s]: not what an injection writes: %w", StatusAnnotation, err)
	}
	if r.Version != recordVersion {
		return Result{}, fmt.Errorf("metadata.annotations[%s]: version %d: this program knows %d", StatusAnnotation, r.Version, recordVersion)
	}
	out := runtime.DeepCopyJSON(pod)
	spec := grow(out, "spec")
	ours := []string{Container, RedirectContainer}
	drop(spec, "initContainers", ours)
	drop(spec, "containers", ours)
	drop(spec, "volumes", []string{StateVolume})
	r.restore(spec)
	forget(out)
	return Result{Pod: out}, nil
}

func (r *record) restore(spec tree) {
	for _, p := range r.Ports {
		declared := declaration(containerOf(spec, p.Container), p.Port)
		if declared == nil {
			continue
		}
		if p.Name != "" {
			declared["name"] = p.Name
		}
		if p.HostPort != 0 {
			declared["hostPort"] = int64(p.HostPort)
		}
		if p.HostIP != "" {
			declared["hostIP"] = p.HostIP
		}
	}
	for _, n := range r.Names {
		if action := child(containerOf(spec, n.Container), n.Path...); action != nil {
			action["port"] = n.Name
		}
	}
	for _, name := range r.PreStop {
		c := containerOf(spec, name)
		if lifecycle := child(c, "lifecycle"); lifecycle != nil {
			if delete(lifecycle, "preStop"); len(lifecycle) == 0 {
				delete(c, "lifecycle")
			}
		}
	}
	if r.UserPort == "" {
		return
	}
	for _, e := range objects(containerOf(spec, queueProxy), "env") {
		if text(e, "name") == userPort {
			e["value"] = r.UserPort
		}
	}
}

// forget removes the annotation, and what was made for it.
func forget(pod tree) {
	metadata := child(pod, "metadata")
	annotations := child(metadata, "annotations")
	if delete(annotations, StatusAnnotation); len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	if len(metadata) == 0 {
		delete(pod, "metadata")
	}
}
