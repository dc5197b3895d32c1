package kube

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fridaymesh/friday/xds/control/policy"
)

// serviceField stands in place of endpoints.
const serviceField = "service"

// document is the policy as a folder would have it: services are their endpoints.
func (s *Source) document(u *unstructured.Unstructured) (map[string]any, policy.Problems) {
	spec, _, _ := unstructured.NestedMap(u.Object, "spec") // the schema says that it is one
	doc := map[string]any{
		"apiVersion": policy.APIVersion, "kind": policy.Kind,
		"metadata": map[string]any{"name": u.GetName(), "namespace": u.GetNamespace()},
	}
	if spec != nil {
		doc["spec"] = spec
	}
	var problems policy.Problems
	resolve := func(path string, server any) {
		m, ok := server.(map[string]any)
		if !ok || m[serviceField] == nil {
			return
		}
		name, isText := m[serviceField].(string)
		fault := func(text string) {
			problems = append(problems, &policy.Problem{File: u.GetNamespace() + "/" + u.GetName(), Path: path + "." + serviceField, Text: text})
		}
		switch _, both := m["endpoints"]; {
		case !isText:
			fault("must be NAME:PORT of a Service")
			return
		case both:
			fault("must not stand beside endpoints")
			return
		}
		endpoints, err := s.endpoints(u.GetNamespace(), name)
		if err != nil {
			fault(fmt.Sprintf("%q: %v", name, err))
			return
		}
		delete(m, serviceField)
		m["endpoints"] = endpoints
	}
	resolve("spec.server", spec["server"])
	servers, _ := spec["servers"].(map[string]any) // nil where there are none
	for _, name := range slices.Sorted(maps.Keys(servers)) {
		resolve("spec.servers["+strconv.Quote(name)+"]", servers[name])
	}
	return doc, problems
}

// endpoints are the ready endpoints of NAME:PORT, where PORT is a Service's port or
// its name. Of two families IPv4 is taken: they are the same servers.
func (s *Source) endpoints(namespace, service string) ([]any, error) {
	name, port, ok := strings.Cut(service, ":")
	if !ok || name == "" || port == "" {
		return nil, fmt.Errorf("must be NAME:PORT, the port's number or name")
	}
	object, err := s.services.ByNamespace(namespace).Get(name)
	if err != nil {
		return nil, fmt.Errorf("there is no Service %s in the namespace %s", name, namespace)
	}
	var typed corev1.Service
	if err := into(object, &typed); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(typed.Spec.Ports, func(p corev1.ServicePort) bool {
		return p.Name == port || strconv.Itoa(int(p.Port)) == port
	})
	if i < 0 {
		return nil, fmt.Errorf("the Service has no port %s", port)
	}
	four, six, err := s.ready(namespace, name, typed.Spec.Ports[i].Name)
	if err != nil {
		return nil, err
	}
	list := four
	if len(list) == 0 {
		list = six
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("the Service has no ready endpoint")
	}
	out := make([]any, len(list))
	for i, address := range list {
		out[i] = address
	}
	return out, nil
}

// ready are the addresses that take requests, sorted, by family.
func (s *Source) ready(namespace, service, port string) (four, six []string, err error) {
	objects, err := s.slices.ByNamespace(namespace).List(labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service}))
	if err != nil {
		return nil, nil, err
	}
	for _, o := range objects {
		var slice discoveryv1.EndpointSlice
		if err := into(o, &slice); err != nil {
			return nil, nil, err
		}
		for _, p := range slice.Ports {
			if p.Port == nil || value(p.Name) != port {
				continue
			}
			for _, e := range slice.Endpoints {
				if len(e.Addresses) == 0 || e.Conditions.Ready != nil && !*e.Conditions.Ready {
					continue
				}
				ip, err := netip.ParseAddr(e.Addresses[0])
				if err != nil {
					continue // a name, of a kind of slices that Services do not have
				}
				address := netip.AddrPortFrom(ip, uint16(*p.Port)).String() // #nosec G115 -- the API server has checked it
				if ip.Is4() {
					four = append(four, address)
				} else {
					six = append(six, address)
				}
			}
		}
	}
	slices.Sort(four)
	slices.Sort(six)
	return slices.Compact(four), slices.Compact(six), nil
}

func into(object runtime.Object, typed any) error {
	u, ok := object.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("%T is not what was asked for", object)
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, typed)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
