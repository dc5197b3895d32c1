package inject

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// move gives Friday the names and host ports of the ports in front of which it
// stands, and returns its own ports.
func (i *injection) move(spec tree) []corev1.ContainerPort {
	if port, ok := knativePort(i.typed); ok && len(i.ports) == 1 && i.ports[0].port.ContainerPort == port && i.ports[0].container == "" {
		i.knative(spec)
		return plainPorts(i.ports)
	}
	list := plainPorts(i.ports)
	for n, p := range i.ports {
		declared := declaration(containerOf(spec, p.container), p.port.ContainerPort)
		if p.port.Name == "" {
			i.warnings = append(i.warnings, fmt.Sprintf(
				"port %d has no name that could lead to Friday: a Service must have the targetPort %d, or this port a name and the Service that name", p.port.ContainerPort, p.listen))
		}
		if declared == nil {
			continue
		}
		was := movedPort{Container: p.container, Port: p.port.ContainerPort, Name: p.port.Name, HostPort: p.port.HostPort, HostIP: p.port.HostIP}
		if was.Name == "" && was.HostPort == 0 {
			continue
		}
		if was.Name != "" {
			list[n].Name = was.Name
		}
		list[n].HostPort, list[n].HostIP = was.HostPort, was.HostIP
		for _, key := range []string{"name", "hostPort", "hostIP"} {
			delete(declared, key)
		}
		i.record.Ports = append(i.record.Ports, was)
		i.number(containerOf(spec, p.container), was)
	}
	return list
}

// declaration is the TCP port of that number in a container.
func declaration(container tree, port int32) tree {
	for _, p := range objects(container, "ports") {
		if protocol := text(p, "protocol"); number(p, "containerPort") == int64(port) && (protocol == "" || protocol == "TCP") {
			return p
		}
	}
	return nil
}

// number writes the number of a port wherever the container's own probes and hooks
// go by its name.
func (i *injection) number(container tree, port movedPort) {
	if port.Name == "" {
		return
	}
	for _, at := range asking() {
		for _, how := range []string{"httpGet", "tcpSocket"} {
			action := child(container, append(append([]string{}, at...), how)...)
			if action == nil || text(action, "port") != port.Name {
				continue
			}
			action["port"] = int64(port.Port)
			i.record.Names = append(i.record.Names, namedPort{Container: port.Container, Path: append(append([]string{}, at...), how), Name: port.Name})
		}
	}
}

// asking is where a container has the kubelet ask it something.
func asking() [][]string {
	return [][]string{{"livenessProbe"}, {"readinessProbe"}, {"startupProbe"}, {"lifecycle", "postStart"}, {"lifecycle", "preStop"}}
}

// knative has the queue-proxy send requests to Friday. What it asks the model server
// about its readiness it asks as before: that is another variable.
func (i *injection) knative(spec tree) {
	for _, e := range objects(containerOf(spec, queueProxy), "env") {
		if text(e, "name") == userPort {
			i.record.UserPort = text(e, "value")
			e["value"] = fmt.Sprint(i.ports[0].listen)
		}
	}
}
