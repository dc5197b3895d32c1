//go:build interop

package interop_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// moment is how long what Friday does by itself may take on a busy machine.
const moment = 10 * time.Minute

// shelf is a server of models' archives.
type shelf struct {
	url   string
	files map[string][]byte
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{files: map[string][]byte{}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

// put packs a trained model as MLServer's name and version, and returns the policy's words
// for where it is.
func (s *shelf) put(t *testing.T, name, version, trained string) string {
	t.Helper()
	weights, err := os.ReadFile(trained)
	require.NoError(t, err)
	settings := fmt.Appendf(nil, `{"name":%q,"implementation":"mlserver_sklearn.SKLearnModel","parameters":{"uri":"./model.joblib","version":%q}}`, name, version)
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	w := tar.NewWriter(z)
	for file, text := range map[string][]byte{"model-settings.json": settings, "model.joblib": weights} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: file, Size: int64(len(text)), Mode: 0o644, Typeflag: tar.TypeReg}))
		_, err := w.Write(text)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	file := name + "-" + version + ".tar.gz"
	s.files[file] = out.Bytes()
	sum := sha256.Sum256(out.Bytes())
	return fmt.Sprintf(`name: %s, version: %s, source: "%s/%s", sha256: %s`, name, version, s.url, file, hex.EncodeToString(sum[:]))
}

// examinee is asked about digits at address.
type examinee struct {
	address string
	digits  *realserver.Digits
	client  *http.Client
}

// ask asks about one digit, and says what it is and which version said so.
func (e *examinee) ask(model string, i int) (digit int64, version string, err error) {
	resp, err := e.client.Post("http://"+e.address+"/v2/models/"+model+"/infer", "application/json", bytes.NewReader(e.digits.Request(i%len(e.digits.Rows))))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, "", err
	}
	var answer struct {
		Version string `json:"model_version"`
		Outputs []struct{ Data []int64 }
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != 200 || len(answer.Outputs) != 1 || len(answer.Outputs[0].Data) != 1 {
		return 0, "", fmt.Errorf("status %d: %.300s", resp.StatusCode, body)
	}
	return answer.Outputs[0].Data[0], answer.Version, nil
}

// exam asks about all digits, and says how many of the answers are right.
func (e *examinee) exam(t *testing.T, model, version string) (answers []int64, accuracy float64) {
	t.Helper()
	right := 0
	for i, label := range e.digits.Labels {
		digit, got, err := e.ask(model, i)
		require.NoError(t, err)
		require.Equal(t, version, got)
		answers = append(answers, digit)
		if digit == int64(label) {
			right++
		}
	}
	return answers, float64(right) / float64(len(answers))
}

// asking has callers ask while do is done, and says how many answers of which version
// there were, and the first failures.
func (e *examinee) asking(model string, callers int, do func()) (got map[string]int, failures []string) {
	got = map[string]int{}
	ctx, stop := context.WithCancel(context.Background())
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; ctx.Err() == nil; i++ {
				_, version, err := e.ask(model, i)
				mu.Lock()
				if err != nil {
					failures = append(failures, err.Error())
				}
				got[version]++
				mu.Unlock()
			}
		})
	}
	do()
	stop()
	wg.Wait()
	return got, failures
}

// modelState is what the sidecar's admin door says of a version.
type modelState struct {
	Model, Version, State, Detail string
	LastError                     string `json:"last_error"`
	Serving                       bool
	Loads, Unloads                int
}

// mesh is fridayd and a sidecar of it before a server, with a policy that has models
// looked after.
type mesh struct {
	*house

	t                           *testing.T
	listen, xds, control, admin string
	file, text                  string
}

func (h *house) mesh(t *testing.T, server string, settings ...string) *mesh {
	t.Helper()
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	m := &mesh{
		house: h, t: t, listen: addresses[0], xds: addresses[1], control: addresses[2], admin: addresses[3],
		file: filepath.Join(t.TempDir(), "models.yaml"),
	}
	host, port, _ := strings.Cut(m.listen, ":")
	m.text = fmt.Sprintf(`apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: models}
spec:
  address: %s
  port: %s
  server: {endpoints: [%q]}
  filters:
    batch: {}
    models:
      hold_timeout: 10m
`, host, port, server)
	for _, s := range settings {
		m.text += "      " + s + "\n"
	}
	m.text += "      models:\n"
	return m
}

// policy has the models be those.
func (m *mesh) policy(models ...string) {
	m.t.Helper()
	text := m.text
	for _, model := range models {
		text += "      - {" + model + "}\n"
	}
	require.NoError(m.t, os.WriteFile(m.file, []byte(text), 0o600))
}

func (m *mesh) start() {
	m.t.Helper()
	_, err := sidecar.Control(m.ctx, m.group, m.bin, filepath.Dir(m.file), m.xds, m.control)
	require.NoError(m.t, err)
	_, err = sidecar.Meshed(m.ctx, m.group, m.bin, "n", m.xds, m.t.TempDir(), m.listen, m.admin)
	require.NoError(m.t, err)
}

// models are what the sidecar's admin door shows, by name and version.
func (m *mesh) models() map[string]modelState {
	m.t.Helper()
	text, err := process.Get(m.ctx, "http://"+m.admin+"/models")
	require.NoError(m.t, err)
	var all struct{ Models []modelState }
	require.NoError(m.t, json.Unmarshal(text, &all))
	out := map[string]modelState{}
	for _, s := range all.Models {
		out[strings.TrimSpace(s.Model+" "+s.Version)] = s
	}
	return out
}

func (m *mesh) await(what string, is func(modelState) bool) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return is(m.models()[what]) }, moment, 50*time.Millisecond, "%s: %+v", what, m.models())
}

// llama.cpp's server as a router of two models, of which one at a time has room: each is
// loaded when it is asked for, and answers as a server of it alone does.
func TestModelsLlamaRouter(t *testing.T) {
	needLlama(t)
	h := newHouse(t)
	llama, err := realserver.PrepareLlama(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := llama.StartRouter(h.ctx, h.group, t.TempDir(), "one", "two")
	require.NoError(t, err)
	m := h.mesh(t, server.Address, "memory_budget_bytes: 100", "min_residence: 1s")
	m.policy("name: one, bytes: 60", "name: two, bytes: 60, idle_ttl: 3s")
	m.start()

	client := &http.Client{Timeout: moment}
	defer client.CloseIdleConnections()
	embed := func(model string) (embedding []float64, err error) {
		resp, err := client.Post("http://"+m.listen+"/v1/embeddings", "application/json", strings.NewReader(fmt.Sprintf(`{"model":%q,"input":"a horse"}`, model)))
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return nil, err
		}
		var answer struct {
			Data []struct{ Embedding []float64 }
		}
		if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != 200 || len(answer.Data) != 1 {
			return nil, fmt.Errorf("status %d: %.300s", resp.StatusCode, body)
		}
		return answer.Data[0].Embedding, nil
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := embed("one"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, m.models()["one"].Loads)
	one, err := embed("one")
	require.NoError(t, err)
	two, err := embed("two") // takes the place of the other
	require.NoError(t, err)
	require.InDeltaSlice(t, one, two, 1e-5, "the same weights under another name")
	require.Equal(t, "unloaded", m.models()["one"].State)
	m.await("two", func(s modelState) bool { return s.State == "unloaded" }) // idle
	again, err := embed("one")
	require.NoError(t, err)
	require.InDeltaSlice(t, one, again, 1e-5)
	t.Logf("router: %+v", m.models())
}

// Two models of scikit-learn in a real MLServer: loaded on demand, unloaded when idle,
// switched under load, and kept from serving where they do not stand their warm-up.
func TestModelsMLServer(t *testing.T) {
	h := newHouse(t)
	assets, err := realserver.Prepare(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	repository := t.TempDir()
	server, err := assets.StartEmpty(h.ctx, h.group, t.TempDir(), repository)
	require.NoError(t, err)
	m := h.mesh(t, server.Address, "repository: "+repository, "keep_previous: 5s")
	policy, await := m.policy, m.await
	shelf := newShelf(t)
	forest, vector := assets.Trained(realserver.DigitsModel), assets.Trained(realserver.DigitsVectorModel)
	one, two, three := shelf.put(t, "digits", "v1", forest), shelf.put(t, "digits", "v2", vector), shelf.put(t, "digits", "v3", forest)
	other := shelf.put(t, "other", "v1", vector)
	warm := func(body string) string {
		return fmt.Sprintf(`, warmup: [{path: /v2/models/digits/infer, times: 3, body: '%s'}]`, body)
	}
	good := warm(string(assets.Digits.Request(0)))
	policy(one+good+", idle_ttl: 4s", other)
	m.start()
	models := m.models

	e := &examinee{m.listen, assets.Digits, &http.Client{Timeout: moment}}
	defer e.client.CloseIdleConnections()
	isReady := func(model string) bool {
		_, err := process.Get(h.ctx, "http://"+server.Address+"/v2/models/"+model+"/ready")
		return err == nil
	}

	// On demand: many at once, one load.
	require.False(t, isReady("digits"))
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, _, err := e.ask("digits", i); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("20 first requests at once were answered after %v, fetch, load and warm-up included", time.Since(began).Round(time.Millisecond))
	require.Equal(t, 1, models()["digits v1"].Loads)
	_, version, err := e.ask("other", 0)
	require.NoError(t, err)
	require.Equal(t, "v1", version)

	// Idle, it goes, and the other stays; asked for again, it comes.
	await("digits v1", func(s modelState) bool { return s.State == "unloaded" })
	require.False(t, isReady("digits"))
	require.True(t, isReady("other"))
	answersOfOne, ofOne := e.exam(t, "digits", "v1")

	// v1 to v2 under load.
	policy(one+good, other)
	got, failures := e.asking("digits", 8, func() {
		policy(two+good, other)
		await("digits v2", func(s modelState) bool { return s.Serving })
		await("digits v1", func(s modelState) bool { return s.State == "" }) // gone
	})
	require.Empty(t, failures)
	require.Positive(t, got["v2"])
	answersOfTwo, ofTwo := e.exam(t, "digits", "v2")
	t.Logf("switched under load: %d answers of v1, %d of v2, 0 of %d failed; accuracy %.4f, then %.4f", got["v1"], got["v2"], got["v1"]+got["v2"], ofOne, ofTwo)
	require.NotEqual(t, answersOfOne, answersOfTwo)
	direct, _ := (&examinee{server.Address, assets.Digits, e.client}).exam(t, "digits", "v2")
	require.Equal(t, direct, answersOfTwo)
	require.NoDirExists(t, filepath.Join(repository, "digits", "v1"))

	// v3 does not stand its warm-up: v2 goes on, and the state says why.
	policy(three+warm(`{"inputs":[{"name":"predict","shape":[1,3],"datatype":"FP32","data":[1,2,3]}]}`), other)
	got, failures = e.asking("digits", 4, func() {
		await("digits v3", func(s modelState) bool { return strings.Contains(s.LastError, "warmup[0]") })
		time.Sleep(2 * time.Second) // it is tried again
	})
	require.Empty(t, failures)
	require.Len(t, got, 1)
	require.Positive(t, got["v2"])
	t.Logf("the new version failed to warm up: %d answers of v2, none of v3: %s", got["v2"], models()["digits v3"].LastError)
	again, _ := e.exam(t, "digits", "v2")
	require.Equal(t, answersOfTwo, again)
}
