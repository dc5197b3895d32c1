package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// plural is a kind's collection, and whether it is in namespaces.
type plural struct {
	path, name string
	namespaced bool
}

func plurals() map[string]plural {
	return map[string]plural{
		"Namespace":                    {"/api/v1", "namespaces", false},
		"ServiceAccount":               {"/api/v1", "serviceaccounts", true},
		"Secret":                       {"/api/v1", "secrets", true},
		"Service":                      {"/api/v1", "services", true},
		"Deployment":                   {"/apis/apps/v1", "deployments", true},
		"ClusterRole":                  {"/apis/rbac.authorization.k8s.io/v1", "clusterroles", false},
		"ClusterRoleBinding":           {"/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", false},
		"Role":                         {"/apis/rbac.authorization.k8s.io/v1", "roles", true},
		"RoleBinding":                  {"/apis/rbac.authorization.k8s.io/v1", "rolebindings", true},
		"CustomResourceDefinition":     {"/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", false},
		"MutatingWebhookConfiguration": {"/apis/admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations", false},
		"PodDisruptionBudget":          {"/apis/policy/v1", "poddisruptionbudgets", true},
		"HorizontalPodAutoscaler":      {"/apis/autoscaling/v2", "horizontalpodautoscalers", true},
		"NetworkPolicy":                {"/apis/networking.k8s.io/v1", "networkpolicies", true},
	}
}

// collection is where objects of its kind are made.
func collection(t *testing.T, o object) (string, bool) {
	t.Helper()
	p, ok := plurals()[fmt.Sprint(o["kind"])]
	if !ok {
		return "", false
	}
	path := p.path
	if p.namespaced {
		path += "/namespaces/" + fmt.Sprint(at(o, "metadata", "namespace"))
	}
	return path + "/" + p.name, true
}

// documents are the objects of a stream of YAML.
func documents(t *testing.T, text []byte) (list []object) {
	t.Helper()
	for _, doc := range bytes.Split(append([]byte("\n"), text...), []byte("\n---")) {
		var o object
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatalf("%v:\n%s", err, doc)
		}
		if o != nil {
			list = append(list, o)
		}
	}
	return list
}

// root is the repository's.
func root(parts ...string) string { return filepath.Join(append([]string{"..", ".."}, parts...)...) }

// helm runs Helm, or skips the test where it could not be built.
func helm(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	if _, err := os.Stat(program("helm")); err != nil {
		t.Skipf("SKIPPED: there is no helm: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), program("helm"), args...)
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("helm %s: %w: %s%s", strings.Join(args, " "), err, out.String(), words.String())
	}
	return out.Bytes(), nil
}

// install makes the plain manifests, with the webhook at an address of this host in
// place of a Service, which nobody would answer.
func install(t *testing.T, url string) {
	t.Helper()
	text, err := os.ReadFile(root("deploy", "kubernetes", "friday.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range documents(t, text) {
		if o["kind"] == "MutatingWebhookConfiguration" {
			for _, h := range o["webhooks"].([]any) {
				service := at(h, "clientConfig", "service").(object)
				h.(object)["clientConfig"] = object{"url": url + fmt.Sprint(service["path"])}
			}
		}
		path, ok := collection(t, o)
		if !ok {
			t.Fatalf("%v: not known here", o["kind"])
		}
		must(t, http.MethodPost, path, o, http.StatusCreated, http.StatusConflict)
	}
}

func clone(t *testing.T, o object) (out object) {
	t.Helper()
	text, err := json.Marshal(o)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}
