package inject

import (
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Result is what became of a pod.
type Result struct {
	// Pod is its JSON; the given one where nothing has changed.
	Pod map[string]any
	// Reason says why nothing has changed; empty: it has.
	Reason string
	// Warnings are for whoever made the pod.
	Warnings []string
}

// Pod puts Friday into a pod, or a pod template, whose JSON is as apimachinery reads
// it: whole numbers are int64. It does not change pod. An error says what of it is
// wrong, and names the field or the key of the annotation.
func (s Settings) Pod(pod map[string]any, at Place) (Result, error) {
	typed, err := read(pod)
	if err != nil {
		return Result{}, err
	}
	if _, done := typed.Annotations[StatusAnnotation]; done {
		return Result{Pod: pod, Reason: "it is injected already"}, nil
	}
	reason, err := s.wanted(typed, at)
	if err != nil || reason != "" {
		return Result{Pod: pod, Reason: reason}, err
	}
	o, err := s.parse(typed.Annotations)
	if err != nil {
		return Result{}, err
	}
	if err := taken(typed); err != nil {
		return Result{}, err
	}
	ports, err := capture(typed, o)
	if err != nil {
		return Result{}, err
	}
	if len(ports) == 0 {
		return Result{Pod: pod, Reason: fmt.Sprintf("no TCP port is left: container %q declares none (%s can name some)", model(typed).Name, portsKey)}, nil
	}
	i := &injection{settings: s, pod: runtime.DeepCopyJSON(pod), typed: typed, options: o, ports: ports}
	if err := i.do(); err != nil {
		return Result{}, err
	}
	return Result{Pod: i.pod, Warnings: i.warnings}, nil
}

// injection is one pod on its way.
type injection struct {
	settings Settings
	typed    *corev1.PodTemplateSpec // as it was
	options  options
	ports    []captured

	pod      tree // as it becomes
	record   record
	warnings []string
}

func (i *injection) do() error {
	spec := child(i.pod, "spec")
	sidecar, err := i.settings.sidecar(i.typed, i.options, i.ports)
	if err != nil {
		return err
	}
	if i.options.mode == ModePort {
		sidecar.Ports = i.move(spec)
	} else {
		sidecar.Ports = plainPorts(i.ports[:1]) // all come to one
		step, err := plain(i.settings.redirect(i.ports))
		if err != nil {
			return err
		}
		push(spec, "initContainers", step)
	}
	sidecar.Ports = append(sidecar.Ports, corev1.ContainerPort{Name: "friday-status", ContainerPort: StatusPort, Protocol: corev1.ProtocolTCP})
	container, err := plain(sidecar)
	if err != nil {
		return err
	}
	key := "containers"
	if i.settings.Native {
		key = "initContainers"
	}
	push(spec, key, container)
	volume, err := plain(i.volume())
	if err != nil {
		return err
	}
	push(spec, "volumes", volume)
	if i.settings.Sleep {
		i.hold(spec)
	}
	return i.sign()
}

// volume is where Friday keeps what it must find again: gone with the pod, unless a
// claim is named.
func (i *injection) volume() *corev1.Volume {
	v := &corev1.Volume{Name: StateVolume}
	if i.options.claim != "" {
		v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: i.options.claim}
		return v
	}
	v.EmptyDir = &corev1.EmptyDirVolumeSource{}
	return v
}

// plainPorts declare where Friday listens.
func plainPorts(ports []captured) []corev1.ContainerPort {
	list := make([]corev1.ContainerPort, 0, len(ports)+1)
	for n, p := range ports {
		list = append(list, corev1.ContainerPort{Name: friday(n), ContainerPort: p.listen, Protocol: corev1.ProtocolTCP})
	}
	return list
}

// friday is the name of Friday's n-th port where it takes over none.
func friday(n int) string {
	if n == 0 {
		return "friday"
	}
	return fmt.Sprintf("friday-%d", n+1)
}

// hold has containers wait at the pod's end for as long as requests still come.
// Those that have a hook of their own have had it thought of.
func (i *injection) hold(spec tree) {
	delay, _ := drainTimes(i.typed)
	if delay == 0 {
		return
	}
	holders := map[string]bool{model(i.typed).Name: true}
	for _, p := range i.ports {
		holders[p.container] = true
	}
	for _, c := range objects(spec, "containers") {
		name := text(c, "name")
		if _, own := child(c, "lifecycle")["preStop"]; own || !holders[name] {
			continue
		}
		grow(c, "lifecycle")["preStop"] = tree{"sleep": tree{"seconds": int64(delay.Seconds())}}
		i.record.PreStop = append(i.record.PreStop, name)
	}
}

// sign writes the record into the annotation.
func (i *injection) sign() error {
	i.record.Version = recordVersion
	words, err := json.Marshal(i.record)
	if err != nil {
		return errors.Join(errors.New("write the record"), err)
	}
	grow(grow(i.pod, "metadata"), "annotations")[StatusAnnotation] = string(words)
	return nil
}
