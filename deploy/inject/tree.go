package inject

import (
	"encoding/json"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// tree is a JSON object.
type tree = map[string]any

// read gives a pod, or a pod template, its types. What is of another type is an
// error that names the field.
func read(pod tree) (*corev1.PodTemplateSpec, error) {
	out := &corev1.PodTemplateSpec{}
	part := tree{}
	for _, key := range []string{"metadata", "spec"} {
		if v, ok := pod[key]; ok && v != nil {
			part[key] = v
		}
	}
	words, err := json.Marshal(part)
	if err == nil {
		err = json.Unmarshal(words, out) // its errors name the field
	}
	if err != nil {
		return nil, fmt.Errorf("not a pod: %w", err)
	}
	if len(out.Spec.Containers) == 0 {
		return nil, fmt.Errorf("not a pod: spec.containers: missing")
	}
	return out, nil
}

// plain is the JSON of one of Kubernetes' types.
func plain(v any) (tree, error) {
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(v)
	if err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return out, nil
}

// child is the object at key; nil where there is none.
func child(m tree, keys ...string) tree {
	for _, key := range keys {
		next, ok := m[key].(tree)
		if !ok {
			return nil
		}
		m = next
	}
	return m
}

// grow is the object at key, made where there is none.
func grow(m tree, key string) tree {
	if c := child(m, key); c != nil {
		return c
	}
	c := tree{}
	m[key] = c
	return c
}

// objects are the objects of the list at key.
func objects(m tree, key string) []tree {
	list, _ := m[key].([]any) // nil where there is none
	var out []tree
	for _, item := range list {
		if o, ok := item.(tree); ok {
			out = append(out, o)
		}
	}
	return out
}

// push appends to the list at key.
func push(m tree, key string, item tree) {
	list, _ := m[key].([]any) // nil where there is none
	m[key] = append(slices.Clone(list), item)
}

// drop removes from the list at key what has one of the names.
func drop(m tree, key string, names []string) {
	list, ok := m[key].([]any)
	if !ok {
		return
	}
	list = slices.DeleteFunc(slices.Clone(list), func(item any) bool {
		o, ok := item.(tree)
		return ok && slices.Contains(names, text(o, "name"))
	})
	if m[key] = list; len(list) == 0 {
		delete(m, key)
	}
}

// text is the text at key; empty where there is none.
func text(m tree, key string) string {
	s, _ := m[key].(string) // empty where there is none
	return s
}

// number is the whole number at key; 0 where there is none.
func number(m tree, key string) int64 {
	switch n := m[key].(type) {
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

// containerOf is the container of that name; nil where there is none.
func containerOf(spec tree, name string) tree {
	for _, o := range objects(spec, "containers") {
		if text(o, "name") == name {
			return o
		}
	}
	return nil
}
