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
	"time"

	"sigs.k8s.io/yaml"
)

func podsPath(namespace string) string { return "/api/v1/namespaces/" + namespace + "/pods" }

// pod is one that PodSecurity's level restricted takes.
func pod(name string) object {
	return object{
		"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": name},
		"spec": object{"containers": []any{object{
			"name": "model", "image": "model:1", "ports": []any{object{"name": "http", "containerPort": 8000}},
			"securityContext": object{
				"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": object{"drop": []any{"ALL"}}, "seccompProfile": object{"type": "RuntimeDefault"},
			},
		}}},
	}
}

func injected(pod object) bool { return at(pod, "metadata", "annotations", "friday.dev/status") != nil }

// namespaces makes those of the tests.
func namespaces(t *testing.T) {
	t.Helper()
	namespace(t, "enabled", object{"friday.dev/inject": "enabled"})
	namespace(t, "plain", object{})
	namespace(t, "strict", object{"friday.dev/inject": "enabled", "pod-security.kubernetes.io/enforce": "restricted"})
	namespace(t, "canary", object{"friday.dev/inject": "enabled", "friday.dev/rev": "canary"})
	namespace(t, "friday-system", object{})
}

// asPod is the pod of a manifest, whose name is not known yet; nil: there is none.
func asPod(manifest object) object {
	var template any
	switch manifest["kind"] {
	case "Pod":
		template = manifest
	case "CronJob":
		template = at(manifest, "spec", "jobTemplate", "spec", "template")
	default:
		template = at(manifest, "spec", "template")
	}
	t, ok := template.(object)
	if !ok || t["spec"] == nil {
		return nil
	}
	metadata := object{"generateName": "case-"}
	for _, key := range []string{"labels", "annotations"} {
		if v := at(t, "metadata", key); v != nil {
			metadata[key] = v
		}
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": t["spec"]}
}

// offline is what fridayctl inject makes of a pod, or what it says against it.
func offline(t *testing.T, pod object) (out object, words string) {
	t.Helper()
	text, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program("fridayctl"), "inject", "-f", "-", "--image", "friday:test")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, strings.TrimSpace(stderr.String())
	}
	if err := yaml.Unmarshal(stdout.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return out, stderr.String()
}

// What the API server stores of a pod that the webhook has seen is what it would store
// of what fridayctl inject makes of it; what the one refuses the other refuses in the
// same words.
func TestPodsInPodsOut(t *testing.T) {
	namespaces(t)
	fridayd(t)
	believed(t)
	failurePolicy(t, "Fail")
	files, _ := filepath.Glob(root("deploy", "inject", "testdata", "*.yaml"))
	cases := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		in, _, _ := strings.Cut(string(text), "=====\n")
		var manifest object
		if err := yaml.Unmarshal([]byte(in), &manifest); err != nil {
			t.Fatal(err)
		}
		p := asPod(manifest)
		if p == nil || strings.Contains(in, "#! ") {
			continue // no pod, or of other settings than these
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		switch name {
		case "no-containers", "not-a-pod":
			continue // which the API server refuses itself
		}
		cases++
		t.Run(name, func(t *testing.T) { compare(t, p) })
	}
	t.Logf("%d cases", cases)
	if cases < 30 {
		t.Fatalf("only %d cases", cases)
	}
}

func compare(t *testing.T, p object) {
	t.Helper()
	want, words := offline(t, clone(t, p))
	code, got, err := api.do(t.Context(), http.MethodPost, podsPath("enabled")+"?dryRun=All", p)
	if err != nil {
		t.Fatal(err)
	}
	if want == nil {
		first, _, _ := strings.Cut(words, "\n")
		_, reason, _ := strings.Cut(first, "pod/case-: ")
		if code != http.StatusUnprocessableEntity || !strings.Contains(fmt.Sprint(got["message"]), reason) {
			t.Fatalf("status %d: %v; fridayctl: %s", code, got["message"], words)
		}
		return
	}
	if code != http.StatusCreated {
		t.Fatalf("status %d: %v", code, got["message"])
	}
	// The other namespace is one that no webhook looks at.
	labels, _ := at(want, "metadata", "labels").(object)
	label := labels["friday.dev/inject"]
	delete(labels, "friday.dev/inject")
	stored := must(t, http.MethodPost, podsPath("plain")+"?dryRun=All", want, http.StatusCreated)
	if label != nil {
		stored["metadata"].(object)["labels"] = at(got, "metadata", "labels")
	}
	for _, o := range []object{got, stored} {
		for _, key := range []string{"name", "namespace", "uid", "creationTimestamp", "managedFields", "generation", "resourceVersion"} {
			delete(o["metadata"].(object), key)
		}
		delete(o, "warnings")
		delete(o, "status")
	}
	a, _ := yaml.Marshal(got)
	b, _ := yaml.Marshal(stored)
	if !bytes.Equal(a, b) {
		t.Fatalf("the webhook's:\n%s\nfridayctl's:\n%s", a, b)
	}
}

// What is not meant is not touched, by the selectors of the configuration.
func TestWhoIsInjected(t *testing.T) {
	namespaces(t)
	fridayd(t)
	believed(t)
	failurePolicy(t, "Fail")
	labelled := func(value string) object {
		p := pod("a")
		p["metadata"].(object)["labels"] = object{"friday.dev/inject": value}
		return p
	}
	revised := labelled("true")
	revised["metadata"].(object)["labels"].(object)["friday.dev/rev"] = "canary"
	for name, c := range map[string]struct {
		namespace string
		pod       object
		injected  bool
	}{
		"an enabled namespace":           {"enabled", pod("a"), true},
		"and a pod that will not":        {"enabled", labelled("false"), false},
		"another namespace":              {"plain", pod("a"), false},
		"and a pod that will":            {"plain", labelled("true"), true},
		"one of another revision":        {"canary", pod("a"), false},
		"a pod of another revision":      {"plain", revised, false},
		"Kubernetes' own namespace":      {"kube-system", labelled("true"), false},
		"Friday's own":                   {"friday-system", labelled("true"), false},
		"one that PodSecurity restricts": {"strict", pod("a"), true},
	} {
		t.Run(name, func(t *testing.T) {
			out := must(t, http.MethodPost, podsPath(c.namespace)+"?dryRun=All", c.pod, http.StatusCreated)
			if injected(out) != c.injected {
				t.Fatalf("injected: %v", injected(out))
			}
		})
	}
	t.Run("redirect, where PodSecurity restricts", func(t *testing.T) {
		p := pod("a")
		p["metadata"].(object)["annotations"] = object{"friday.dev/mode": "redirect"}
		out := must(t, http.MethodPost, podsPath("strict")+"?dryRun=All", p, http.StatusForbidden)
		if !strings.Contains(fmt.Sprint(out["message"]), "NET_ADMIN") {
			t.Fatal(out["message"])
		}
		must(t, http.MethodPost, podsPath("enabled")+"?dryRun=All", p, http.StatusCreated)
	})
	t.Run("a second time", func(t *testing.T) {
		out := must(t, http.MethodPost, podsPath("enabled")+"?dryRun=All", pod("a"), http.StatusCreated)
		again := object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "a", "annotations": at(out, "metadata", "annotations")}, "spec": out["spec"]}
		twice := must(t, http.MethodPost, podsPath("enabled")+"?dryRun=All", again, http.StatusCreated)
		a, _ := json.Marshal(out["spec"])
		b, _ := json.Marshal(twice["spec"])
		if !bytes.Equal(a, b) {
			t.Fatalf("%s\n%s", a, b)
		}
	})
	t.Run("a dry run makes nothing", func(t *testing.T) {
		must(t, http.MethodGet, podsPath("enabled")+"/a", nil, http.StatusNotFound)
		must(t, http.MethodPost, podsPath("enabled"), pod("kept"), http.StatusCreated)
		if out := must(t, http.MethodGet, podsPath("enabled")+"/kept", nil, http.StatusOK); !injected(out) {
			t.Fatal("not injected")
		}
		must(t, http.MethodDelete, podsPath("enabled")+"/kept?gracePeriodSeconds=0", nil, http.StatusOK)
	})
}

// While no fridayd answers, pods are made without Friday, or, where that is asked for,
// not at all; and an authority that is not believed is put right.
func TestWebhookAway(t *testing.T) {
	namespaces(t)
	stop := fridayd(t)
	believed(t)
	trial := func() (int, object) {
		code, out, err := api.do(t.Context(), http.MethodPost, podsPath("enabled")+"?dryRun=All", pod("away"))
		if err != nil {
			t.Fatal(err)
		}
		return code, out
	}
	stop()
	failurePolicy(t, "Ignore")
	eventually(t, "down, a pod is made as it is", func() string {
		if code, out := trial(); code != http.StatusCreated || injected(out) {
			return fmt.Sprint(code, out["message"])
		}
		return ""
	})
	failurePolicy(t, "Fail")
	eventually(t, "down, and needed, a pod is not made", func() string {
		if code, out := trial(); code != http.StatusInternalServerError || !strings.Contains(fmt.Sprint(out["message"]), "failed calling webhook") {
			return fmt.Sprint(code, out["message"])
		}
		return ""
	})
	// Somebody has the API server believe another authority.
	change(t, func(h object) { h["clientConfig"].(object)["caBundle"] = otherAuthority(t) })
	eventually(t, "the API server has heard of it", func() string {
		if code, _ := trial(); code != http.StatusInternalServerError {
			return fmt.Sprint(code)
		}
		return ""
	})
	fridayd(t)
	took := eventually(t, "fridayd puts it right", func() string {
		if code, out := trial(); code != http.StatusCreated || !injected(out) {
			return fmt.Sprint(code, out["message"])
		}
		return ""
	})
	t.Logf("a wrong authority was put right %s after fridayd was there", took)
}

// Authorities and certificates follow one another while pods are made, none of which
// is refused.
func TestRotation(t *testing.T) {
	namespaces(t)
	fridayd(t, "--webhook-ca-lifetime", "60s", "--webhook-cert-lifetime", "20s", "--webhook-ca-overlap", "5s")
	believed(t)
	failurePolicy(t, "Fail")
	secret := "/api/v1/namespaces/friday-system/secrets/fridayd-webhook"
	seen, authorities := map[any]bool{}, map[any]bool{}
	made := 0
	for began := time.Now(); len(authorities) < 3 || len(seen) < 4; made++ {
		if time.Since(began) > 4*time.Minute {
			t.Fatalf("%d certificates, %d sets of authorities", len(seen), len(authorities))
		}
		out := must(t, http.MethodPost, podsPath("enabled")+"?dryRun=All", pod("turning"), http.StatusCreated)
		if !injected(out) {
			t.Fatal("not injected")
		}
		held := must(t, http.MethodGet, secret, nil, http.StatusOK)
		seen[at(held, "data", "tls.crt")], authorities[at(held, "data", "ca.crt")] = true, true
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%d pods made over %d certificates of %d sets of authorities", made, len(seen), len(authorities))
}
