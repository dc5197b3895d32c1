package webhook_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/fridaymesh/friday/deploy/inject"
	"github.com/fridaymesh/friday/deploy/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const pod = `{"metadata":{"generateName":"model-"},"spec":{"containers":[{"name":"model","image":"model:1","ports":[{"name":"http","containerPort":8000}]}]}}`

func handler() *webhook.Handler {
	return &webhook.Handler{Settings: inject.Defaults("friday:test"), Log: zap.NewNop(), Metrics: webhook.NewMetrics(prometheus.NewRegistry())}
}

// review is a question about an object.
func review(object string, change ...string) string {
	text := `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"CREATE","namespace":"models",` +
		`"kind":{"group":"","version":"v1","kind":"Pod"},"resource":{"group":"","version":"v1","resource":"pods"},"dryRun":true,"object":` + object + `}}`
	return strings.NewReplacer(change...).Replace(text)
}

func ask(t *testing.T, url, path, body string) (int, *admissionv1.AdmissionResponse, string) {
	t.Helper()
	resp, err := http.Post(url+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var answer admissionv1.AdmissionReview
	if resp.StatusCode == http.StatusOK {
		require.NoError(t, json.Unmarshal(text, &answer))
		require.NotNil(t, answer.Response)
		require.EqualValues(t, "u-1", answer.Response.UID)
		require.Nil(t, answer.Request)
	}
	return resp.StatusCode, answer.Response, string(text)
}

func TestReview(t *testing.T) {
	h := handler()
	s := httptest.NewServer(h.Routes())
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	labelled := strings.Replace(pod, `"generateName"`, `"labels":{"friday.dev/inject":"true"},"generateName"`, 1)
	for name, c := range map[string]struct {
		path, body string
		patched    bool
		refused    string
	}{
		"of an enabled namespace": {webhook.NamespacePath, review(pod), true, ""},
		"that does not ask":       {webhook.PodPath, review(pod), false, ""},
		"that asks":               {webhook.PodPath, review(labelled), true, ""},
		"an update":               {webhook.NamespacePath, review(pod, "CREATE", "UPDATE"), false, ""},
		"no pod":                  {webhook.NamespacePath, review(pod, `"Pod"`, `"Job"`), false, ""},
		"of Kubernetes' own":      {webhook.NamespacePath, review(pod, `"models"`, `"kube-system"`), false, ""},
		"a wrong annotation": {
			webhook.NamespacePath, review(strings.Replace(pod, `"generateName"`, `"annotations":{"friday.dev/mode":"x","friday.dev/ports":"0"},"generateName"`, 1)), false,
			`friday: friday.dev/mode: "x" is neither port nor redirect; friday.dev/ports: 0: must be 1 to 65535`,
		},
		"not a pod": {webhook.NamespacePath, review(`{"spec":{"containers":{}}}`), false, "friday: not a pod: json: cannot unmarshal object into"},
		"not JSON":  {webhook.NamespacePath, review(`"x"`), false, "friday: not a pod: "},
	} {
		t.Run(name, func(t *testing.T) {
			code, answer, text := ask(t, s.URL, c.path, c.body)
			require.Equal(t, http.StatusOK, code, text)
			require.Equal(t, c.refused == "", answer.Allowed)
			require.Equal(t, c.patched, answer.Patch != nil)
			if c.refused != "" {
				require.Contains(t, answer.Result.Message, c.refused)
				require.EqualValues(t, http.StatusUnprocessableEntity, answer.Result.Code)
			}
		})
	}
	require.InDelta(t, 2, testutil.ToFloat64(h.Metrics.Reviews.WithLabelValues("injected")), 0)
	require.InDelta(t, 3, testutil.ToFloat64(h.Metrics.Reviews.WithLabelValues("refused")), 0)

	for name, c := range map[string]struct {
		body string
		code int
	}{
		"empty":         {"", http.StatusBadRequest},
		"another kind":  {`{"apiVersion":"v1","kind":"Pod"}`, http.StatusBadRequest},
		"another form":  {review(pod, "admission.k8s.io/v1", "admission.k8s.io/v1beta1"), http.StatusBadRequest},
		"no request":    {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, http.StatusBadRequest},
		"far too large": {strings.Repeat(" ", 9<<20), http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, text := ask(t, s.URL, webhook.NamespacePath, c.body)
			require.Equal(t, c.code, code, text)
		})
	}
	require.InDelta(t, 5, testutil.ToFloat64(h.Metrics.Reviews.WithLabelValues("bad")), 0)
}

func TestWarnings(t *testing.T) {
	s := httptest.NewServer(handler().Routes())
	defer s.Close()
	defer http.DefaultClient.CloseIdleConnections()
	_, answer, _ := ask(t, s.URL, webhook.NamespacePath, review(strings.Replace(pod, `"name":"http",`, "", 1)))
	require.Len(t, answer.Warnings, 1)
	require.Contains(t, answer.Warnings[0], "friday: port 8000 has no name")
	require.LessOrEqual(t, len(answer.Warnings[0]), 256)
}

// Nothing that somebody sends ends in anything but an answer.
func FuzzReview(f *testing.F) {
	f.Add([]byte(review(pod)))
	f.Add([]byte(review(`{"metadata":{"annotations":{"friday.dev/ports":"8000"}},"spec":{"containers":[{"name":"a","env":[{"name":"USER_PORT","value":"1"}]}]}}`)))
	routes := handler().Routes()
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{webhook.NamespacePath, webhook.PodPath} {
			w := httptest.NewRecorder()
			routes.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
			require.Contains(t, []int{http.StatusOK, http.StatusBadRequest}, w.Code)
		}
	})
}
