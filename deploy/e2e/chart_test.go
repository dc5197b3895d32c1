package e2e_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write deploy/kubernetes/friday.yaml again")

const header = "# Made of the chart in deploy/helm/friday by `make manifests`. First: kubectl create namespace friday-system\n"

func template(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	return helm(t, append([]string{"template", "friday", root("deploy", "helm", "friday"), "--namespace", "friday-system"}, args...)...)
}

// The plain manifests are the chart's.
func TestPlainManifests(t *testing.T) {
	file := root("deploy", "kubernetes", "friday.yaml")
	text, err := template(t)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte("managed-by: Helm"), []byte("managed-by: kubectl"))
	text = append([]byte(header), text...)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	has, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, has) {
		t.Fatal("they are not: run make manifests")
	}
}

func TestLint(t *testing.T) {
	if _, err := helm(t, "lint", "--strict", root("deploy", "helm", "friday")); err != nil {
		t.Fatal(err)
	}
}

// Whatever value is set, the API server takes the objects; those of kinds that it does
// not know, cert-manager's and Prometheus', are only rendered.
func TestEveryValue(t *testing.T) {
	namespaces(t)
	for _, value := range []string{
		"revision=canary", "image.tag=v9,image.pullPolicy=Always", "imagePullSecrets[0].name=key", "install.crd=false", "replicas=1", "replicas=0",
		"autoscaling.enabled=true", "podDisruptionBudget.enabled=false", "podDisruptionBudget.minAvailable=50%", "watchNamespace=models", "logLevel=debug",
		"webhook.enabled=false", "webhook.failurePolicy=Fail", "webhook.timeoutSeconds=1", "webhook.namespaceSelector.matchLabels.team=a",
		"webhook.certificate.certManager=true", "webhook.certificate.certManager=true,webhook.certificate.issuer.name=own,webhook.certificate.issuer.kind=ClusterIssuer",
		"webhook.certificate.lifetime=48h,webhook.certificate.authorityLifetime=240h,webhook.certificate.authorityOverlap=30m",
		"inject.image.repository=r.example/friday,inject.image.tag=v8,inject.image.pullPolicy=Never", "inject.mode=redirect", "inject.nativeSidecars=never",
		"inject.resources.limits.cpu=1,inject.resources.requests.memory=1Gi", "resources.limits.cpu=2", "resources.limits=null",
		"replicas=1,history.persistentVolumeClaim=history", "networkPolicy.enabled=false",
		"networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring", "serviceMonitor.enabled=true", "serviceAccount.annotations.a=b",
		"podAnnotations.a=b", "podLabels.a=b", "nodeSelector.a=b", "tolerations[0].key=a,tolerations[0].operator=Exists",
		"affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1,affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=kubernetes.io/hostname",
		"topologySpreadConstraints[0].maxSkew=1,topologySpreadConstraints[0].topologyKey=zone,topologySpreadConstraints[0].whenUnsatisfiable=ScheduleAnyway,topologySpreadConstraints[0].labelSelector.matchLabels.a=b",
		"priorityClassName=system-cluster-critical",
	} {
		t.Run(value, func(t *testing.T) {
			text, err := template(t, "--set", value)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range documents(t, text) {
				path, ok := collection(t, o)
				if !ok {
					if api := fmt.Sprint(o["apiVersion"]); !strings.HasPrefix(api, "cert-manager.io/") && !strings.HasPrefix(api, "monitoring.coreos.com/") {
						t.Errorf("%v: not known here", o["kind"])
					}
					continue
				}
				name := fmt.Sprint(at(o, "metadata", "name"))
				code, out, err := api.do(t.Context(), http.MethodPost, path+"?dryRun=All&fieldValidation=Strict", o)
				if err != nil {
					t.Fatal(err)
				}
				if code != http.StatusCreated && code != http.StatusConflict { // another test has made it
					t.Errorf("%v %s: status %d: %v", o["kind"], name, code, out["message"])
				}
			}
		})
	}
}

// What cannot be is refused before it is anything.
func TestRefusedValues(t *testing.T) {
	for value, words := range map[string]string{
		"replica=2":                                  "replica",
		"inject.mode=tproxy":                         "mode",
		"webhook.failurePolicy=Never":                "failurePolicy",
		"webhook.certificate.lifetime=5":             "lifetime",
		"inject.resources.limits.gpu=1":              "gpu",
		"revision=Canary":                            "revision",
		"history.persistentVolumeClaim=h,replicas=2": "one fridayd at a time may write it",
	} {
		t.Run(value, func(t *testing.T) {
			if _, err := template(t, "--set", value); err == nil || !strings.Contains(err.Error(), words) {
				t.Fatal(err)
			}
		})
	}
}
