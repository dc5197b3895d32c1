package kube_test

import (
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"sigs.k8s.io/yaml"

	policyv1alpha1 "github.com/fridaymesh/friday/xds/api/friday/policy/v1alpha1"
	"github.com/fridaymesh/friday/xds/control/kube"
)

var update = flag.Bool("update", false, "write the CustomResourceDefinition again")

type object = map[string]any

// The definition is what the policies' proto says: `go test ./xds/control/kube
// -run TestCRD -update` writes it.
func TestCRD(t *testing.T) {
	text, err := yaml.Marshal(definition())
	require.NoError(t, err)
	text = append([]byte("# Generated from the policies' proto: go test ./xds/control/kube -run TestCRD -update\n"), text...)
	for _, folder := range []string{"kubernetes", filepath.Join("helm", "friday", "crds")} {
		file := filepath.Join("..", "..", "..", "deploy", folder, "crd.yaml")
		if *update {
			require.NoError(t, os.WriteFile(file, text, 0o600))
		}
		has, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, string(text), string(has), "write it again: -update")
	}
}

func definition() object {
	spec := schemaOf((&policyv1alpha1.InferencePolicySpec{}).ProtoReflect().Descriptor())
	properties := spec["properties"].(object)
	delete(properties, "selector") // a pod chooses its policy, not the other way round
	server := properties["server"].(object)
	servers := properties["servers"].(object)["additionalProperties"].(object)
	for _, s := range []object{server, servers} {
		s["properties"].(object)["service"] = object{
			"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
			"description": "NAME:PORT of a Service of the policy's namespace, whose ready endpoints are the replicas; the port's number or name. In place of endpoints.",
		}
		s["x-kubernetes-validations"] = []any{object{
			"rule": "has(self.endpoints) != has(self.service)", "message": "exactly one of endpoints and service",
		}}
	}
	spec["x-kubernetes-validations"] = []any{object{
		"rule": "has(self.server) != has(self.servers)", "message": "exactly one of server and servers",
	}}
	column := func(name, kind, path, description string) object {
		return object{"name": name, "type": kind, "jsonPath": path, "description": description}
	}
	condition := func(name string) string { return `.status.conditions[?(@.type=="` + name + `")].status` }
	return object{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": object{"name": kube.Plural + "." + kube.Group},
		"spec": object{
			"group": kube.Group, "scope": "Namespaced",
			"names": object{"kind": kube.Kind, "listKind": kube.Kind + "List", "plural": kube.Plural, "singular": "inferencepolicy", "shortNames": []any{"infpol"}, "categories": []any{"friday"}},
			"versions": []any{object{
				"name": kube.Version, "served": true, "storage": true,
				"subresources": object{"status": object{}},
				"additionalPrinterColumns": []any{
					column("Accepted", "string", condition(kube.ConditionAccepted), "Whether the policy is in order."),
					column("Programmed", "string", condition(kube.ConditionProgrammed), "Whether its sidecars run it."),
					column("Sidecars", "string", ".status.sidecars", "How many of its sidecars run it."),
					column("Version", "string", ".status.version", "What is served."),
					column("Age", "date", ".metadata.creationTimestamp", ""),
				},
				"schema": object{"openAPIV3Schema": object{
					"type": "object", "description": "InferencePolicy says what the sidecars of the pods that name it do, and for which model server.",
					"required": []any{"spec"},
					"properties": object{
						"apiVersion": object{"type": "string"}, "kind": object{"type": "string"},
						"metadata": object{"type": "object", "properties": object{"name": object{
							"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
						}}},
						"spec": spec, "status": statusSchema(),
					},
				}},
			}},
		},
	}
}

func statusSchema() object {
	text, whole := object{"type": "string"}, object{"type": "integer", "format": "int64"}
	moment := object{"type": "string", "format": "date-time"}
	return object{"type": "object", "properties": object{
		"observedGeneration": whole, "version": text, "sidecars": text,
		"conditions": object{
			"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"type"},
			"items": object{
				"type": "object", "required": []any{"type", "status", "reason", "message", "lastTransitionTime"},
				"properties": object{
					"type": text, "status": object{"type": "string", "enum": []any{"True", "False", "Unknown"}}, "reason": text, "message": text,
					"observedGeneration": whole, "lastTransitionTime": moment,
				},
			},
		},
		"reports": object{
			"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": []any{"name"},
			"items": object{
				"type": "object", "required": []any{"name"},
				"properties": object{"name": text, "time": moment, "connected": whole, "current": whole, "refused": whole, "words": text},
			},
		},
	}}
}

// schemaOf is a message's, with the fields' names as policies write them. A schema cannot
// refer to itself: a message within one of its own kind (in are those that it stands in) is
// left open, and fridayd alone checks it.
func schemaOf(md protoreflect.MessageDescriptor, in ...protoreflect.FullName) object {
	if slices.Contains(in, md.FullName()) {
		return object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	}
	in = append(slices.Clone(in), md.FullName())
	properties := object{}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		properties[fd.TextName()] = fieldSchema(fd, in)
	}
	return object{"type": "object", "properties": properties}
}

func fieldSchema(fd protoreflect.FieldDescriptor, in []protoreflect.FullName) object {
	switch {
	case fd.IsMap():
		return object{"type": "object", "additionalProperties": valueSchema(fd.MapValue(), in)}
	case fd.IsList():
		return object{"type": "array", "items": valueSchema(fd, in)}
	}
	return valueSchema(fd, in)
}

func valueSchema(fd protoreflect.FieldDescriptor, in []protoreflect.FullName) object {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		md := fd.Message()
		name := string(md.FullName())
		if name == "google.protobuf.Duration" {
			return object{"type": "string", "pattern": `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`}
		}
		if strings.HasPrefix(name, "google.protobuf.") && strings.HasSuffix(name, "Value") {
			return valueSchema(md.Fields().ByName("value"), in)
		}
		return schemaOf(md, in...)
	case protoreflect.EnumKind:
		var names []any
		for i := range fd.Enum().Values().Len() {
			if name := string(fd.Enum().Values().Get(i).Name()); !strings.HasSuffix(name, "_UNSPECIFIED") {
				names = append(names, name)
			}
		}
		return object{"type": "string", "enum": names}
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.Uint32Kind:
		return object{"type": "integer", "format": "int64", "minimum": 0, "maximum": int64(math.MaxUint32)}
	case protoreflect.Uint64Kind, protoreflect.Int64Kind, protoreflect.Int32Kind:
		return object{"type": "integer", "format": "int64", "minimum": 0}
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return object{"type": "number"}
	default:
		return object{"type": "string"}
	}
}
