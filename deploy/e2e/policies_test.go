package e2e_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const policiesPath = "/apis/friday.dev/v1alpha1/namespaces/enabled/inferencepolicies"

func policy(spec object) object {
	return object{"apiVersion": "friday.dev/v1alpha1", "kind": "InferencePolicy", "metadata": object{"name": "chat"}, "spec": spec}
}

// condition is STATUS REASON: MESSAGE.
func condition(t *testing.T, kind string) string {
	t.Helper()
	out := must(t, http.MethodGet, policiesPath+"/chat", nil, http.StatusOK)
	list, _ := at(out, "status", "conditions").([]any)
	for _, c := range list {
		if at(c, "type") == kind && at(c, "observedGeneration") == at(out, "metadata", "generation") {
			return fmt.Sprintf("%v %v: %v", at(c, "status"), at(c, "reason"), at(c, "message"))
		}
	}
	return "none"
}

func awaitCondition(t *testing.T, kind, begin, holds string) {
	t.Helper()
	took := eventually(t, kind+" "+begin, func() string {
		if c := condition(t, kind); !strings.HasPrefix(c, begin) || !strings.Contains(c, holds) {
			return c
		}
		return ""
	})
	t.Logf("%s %s after %s: %s", kind, begin, took.Round(time.Millisecond), condition(t, kind))
}

// sidecar starts one of the policy, as injection has it, and returns its admin door.
func sidecar(t *testing.T, name string) (admin string) {
	t.Helper()
	p := ports()
	admin = fmt.Sprintf("127.0.0.1:%d", port())
	stop, err := launch(api.dir, name, program("friday"), "proxy", "--xds", fmt.Sprintf("127.0.0.1:%d", p.xds),
		"--node-id", name+".enabled", "--node-cluster", "chat.enabled", "--admin", admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	eventually(t, "the sidecar's door is open", func() string {
		if !listening(admin) {
			return "closed"
		}
		return ""
	})
	return admin
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// runs waits until the sidecar's configuration has some text, or has it no more.
func runs(t *testing.T, admin, text string, has bool) time.Duration {
	t.Helper()
	return eventually(t, fmt.Sprintf("the sidecar runs %q: %v", text, has), func() string {
		if strings.Contains(get(t, "http://"+admin+"/config_dump"), text) != has {
			return "not yet"
		}
		return ""
	})
}

// A policy is made, changed, broken, refused by a sidecar, put right and removed; a
// running sidecar follows, and the status says what it says.
func TestPolicies(t *testing.T) {
	namespaces(t)
	fridayd(t)
	must(t, http.MethodDelete, policiesPath+"/chat", nil, http.StatusOK, http.StatusNotFound)
	listen := port()
	spec := func(timeout string) object {
		return object{"port": listen, "server": object{"endpoints": []any{"127.0.0.1:8000"}}, "timeout": timeout}
	}
	made := time.Now()
	must(t, http.MethodPost, policiesPath, policy(spec("11s")), http.StatusCreated)
	awaitCondition(t, "Accepted", "True Valid", "")
	awaitCondition(t, "Programmed", "Unknown NoSidecars", "friday.dev/policy: chat")
	t.Logf("both conditions %s after the policy was made", time.Since(made).Round(time.Millisecond))

	admin := sidecar(t, "chat-0")
	runs(t, admin, `"11s"`, true)
	awaitCondition(t, "Programmed", "True Acknowledged", "1 of 1")

	must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": spec("12s")}, http.StatusOK)
	took := runs(t, admin, `"12s"`, true)
	t.Logf("a change is in a running sidecar after %s", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("a change took %s", took)
	}
	awaitCondition(t, "Programmed", "True Acknowledged", "1 of 1")

	t.Run("what the schema refuses", func(t *testing.T) {
		for words, patch := range map[string]object{
			"spec.server.load_balancing": {"server": object{"load_balancing": "RANDOM"}},
			"spec.port":                  {"port": "http"},
			"spec.timeout":               {"timeout": "soon"},
			"exactly one of endpoints":   {"server": object{"service": "a:80"}},
		} {
			out := must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": patch}, http.StatusUnprocessableEntity)
			if !strings.Contains(fmt.Sprint(out["message"]), words) {
				t.Error(out["message"])
			}
		}
		out := must(t, http.MethodPatch, policiesPath+"/chat?fieldValidation=Strict", object{"spec": object{"filters": object{"batch": object{"max_batch_sizes": 3}}}}, http.StatusBadRequest)
		if !strings.Contains(fmt.Sprint(out["message"]), `unknown field "spec.filters.batch.max_batch_sizes"`) {
			t.Error(out["message"])
		}
	})

	broken := spec("13s")
	broken["server"] = object{"endpoints": []any{"127.0.0.1:99999"}}
	must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": broken}, http.StatusOK)
	awaitCondition(t, "Accepted", "False Invalid", `spec.server.endpoints[0]: "127.0.0.1:99999": must be IP:port`)
	awaitCondition(t, "Programmed", "False Invalid", "the last good version is served; 1 of 1")
	runs(t, admin, `"12s"`, true)

	// In order, but this sidecar cannot: somebody else has the port.
	taken, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	refused := spec("14s")
	refused["port"] = taken.Addr().(*net.TCPAddr).Port
	must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": refused}, http.StatusOK)
	awaitCondition(t, "Accepted", "True Valid", "")
	awaitCondition(t, "Programmed", "False Refused", "address already in use")
	runs(t, admin, `"12s"`, true)

	must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": spec("15s")}, http.StatusOK)
	runs(t, admin, `"15s"`, true)
	awaitCondition(t, "Programmed", "True Acknowledged", "1 of 1")

	must(t, http.MethodDelete, policiesPath+"/chat", nil, http.StatusOK)
	runs(t, admin, "chat.enabled\"", false)
}

// A Service stands for its ready endpoints, and a sidecar hears when they change.
func TestService(t *testing.T) {
	namespaces(t)
	fridayd(t)
	must(t, http.MethodDelete, policiesPath+"/chat", nil, http.StatusOK, http.StatusNotFound)
	must(t, http.MethodPost, "/api/v1/namespaces/enabled/services", object{
		"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "models"},
		"spec": object{"ports": []any{object{"name": "http", "port": 80, "targetPort": 8000}, object{"name": "grpc", "port": 81, "targetPort": 8001}}},
	}, http.StatusCreated)
	slices := "/apis/discovery.k8s.io/v1/namespaces/enabled/endpointslices"
	endpoint := func(address string, ready bool) object {
		return object{"addresses": []any{address}, "conditions": object{"ready": ready}}
	}
	slice := func(endpoints ...any) object {
		return object{
			"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
			"metadata":    object{"name": "models-1", "labels": object{"kubernetes.io/service-name": "models"}},
			"addressType": "IPv4", "endpoints": endpoints,
			"ports": []any{object{"name": "http", "port": 8000, "protocol": "TCP"}, object{"name": "grpc", "port": 8001, "protocol": "TCP"}},
		}
	}
	must(t, http.MethodPost, slices, slice(endpoint("10.9.0.1", true), endpoint("10.9.0.2", false)), http.StatusCreated)
	must(t, http.MethodPost, policiesPath, policy(object{"port": port(), "server": object{"service": "models:grpc"}}), http.StatusCreated)
	awaitCondition(t, "Accepted", "True Valid", "")
	admin := sidecar(t, "chat-0")
	has := func(addresses string) {
		t.Helper()
		took := eventually(t, "the endpoints are "+addresses, func() string {
			text := get(t, "http://"+admin+"/clusters")
			var list []string
			for _, a := range []string{"10.9.0.1:8001", "10.9.0.2:8001", "10.9.0.3:8001"} {
				if strings.Contains(text, a) {
					list = append(list, a[7:8])
				}
			}
			if got := strings.Join(list, " "); got != addresses {
				return got
			}
			return ""
		})
		t.Logf("endpoints %s after %s", addresses, took.Round(time.Millisecond))
	}
	has("1")
	must(t, http.MethodPut, slices+"/models-1", slice(endpoint("10.9.0.1", true), endpoint("10.9.0.2", true), endpoint("10.9.0.3", true)), http.StatusOK)
	has("1 2 3")
	must(t, http.MethodPut, slices+"/models-1", slice(endpoint("10.9.0.3", true)), http.StatusOK)
	has("3")
	must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": object{"server": object{"service": "models:metrics"}}}, http.StatusOK)
	awaitCondition(t, "Accepted", "False Invalid", `spec.server.service: "models:metrics": the Service has no port metrics`)
	must(t, http.MethodPatch, policiesPath+"/chat", object{"spec": object{"server": object{"service": "others:80"}}}, http.StatusOK)
	awaitCondition(t, "Accepted", "False Invalid", "there is no Service others in the namespace enabled")
	has("3")
	must(t, http.MethodDelete, policiesPath+"/chat", nil, http.StatusOK)
}
