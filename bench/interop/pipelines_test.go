//go:build interop

package interop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// guesses asks a real model three times: what the first answers is what the second is
// called, and so on.
const guesses = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: guesses}
spec:
  address: %s
  port: %s
  server: {endpoints: [%q]}
  filters:
    batch: {}
    jobs:
      pipelines:
      - name: guesses
        steps:
        - {name: one, call: {path: /v2/models/%[4]s/infer, body: '{"id": "first", "inputs": {{.input.inputs}}}'}}
        - {name: two, call: {path: /v2/models/%[4]s/infer, body: '{"id": {{printf "%%v" (index (index .steps.one.outputs 0).data 0)}}, "inputs": {{.input.inputs}}}'}}
        - {name: three, call: {path: /v2/models/%[4]s/infer, body: '{"id": {{printf "%%s then %%v" .steps.two.id (index (index .steps.two.outputs 0).data 0)}}, "inputs": {{.input.inputs}}}'}}
`

// Runs of three steps before a real MLServer, while the sidecar is killed again and again:
// each has the answer that it would have had, and goes on where it was.
func TestPipelinesAreResumed(t *testing.T) {
	h := newHouse(t)
	assets, err := realserver.Prepare(h.ctx, func(s string) { t.Log(s) })
	require.NoError(t, err)
	server, err := assets.Start(h.ctx, h.group, t.TempDir())
	require.NoError(t, err)
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(addresses[0])
	require.NoError(t, err)
	policies, state := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(policies, "guesses.yaml"), fmt.Appendf(nil, guesses, host, port, server.Address, realserver.DigitsModel), 0o600))
	_, err = sidecar.Control(h.ctx, h.group, h.bin, policies, addresses[1], addresses[2])
	require.NoError(t, err)
	start := func() *sidecar.Sidecar {
		s, err := sidecar.Meshed(h.ctx, h.group, h.bin, "n", addresses[1], state, addresses[0], addresses[3])
		require.NoError(t, err)
		return s
	}
	friday := start()
	direct := &examinee{server.Address, assets.Digits, http.DefaultClient}

	// While the caller waits.
	resp, err := http.Post("http://"+friday.Listen+"/pipelines/guesses", "application/json", strings.NewReader(string(assets.Digits.Request(3))))
	require.NoError(t, err)
	digit, _, err := direct.ask(realserver.DigitsModel, 3)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%d then %d", digit, digit), idOf(t, resp))

	// As lines of a batch, with kills.
	const runs = 300
	var file strings.Builder
	for i := range runs {
		fmt.Fprintf(&file, `{"custom_id": "%d", "method": "POST", "url": "/pipelines/guesses", "body": %s}`+"\n", i, assets.Digits.Request(i%len(assets.Digits.Rows)))
	}
	id := field(t, post(t, friday.Listen, "/v1/batches", fmt.Sprintf(`{"input_file_id": %q, "endpoint": "/pipelines/guesses", "completion_window": "24h"}`, uploaded(t, friday.Listen, file.String()))), "id")
	var batch struct {
		Status string
		Output string                                 `json:"output_file_id"`
		Counts struct{ Total, Completed, Failed int } `json:"request_counts"`
	}
	look := func() {
		text, err := process.Get(h.ctx, "http://"+friday.Listen+"/v1/batches/"+id)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &batch), "%s", text)
	}
	kills := 0
	for done := 0; kills < 5; {
		require.Eventually(t, func() bool { look(); return batch.Counts.Completed > done || batch.Status == "completed" }, 5*time.Minute, 20*time.Millisecond)
		if done = batch.Counts.Completed + 20; batch.Status == "completed" {
			break
		}
		friday.Kill()
		<-friday.Done()
		kills++
		friday = start()
	}
	require.Eventually(t, func() bool { look(); return batch.Status == "completed" }, 5*time.Minute, 50*time.Millisecond)
	require.Equal(t, runs, batch.Counts.Completed)
	require.Zero(t, batch.Counts.Failed)
	require.Positive(t, kills)
	text, err := process.Get(h.ctx, "http://"+friday.Listen+"/v1/files/"+batch.Output+"/content")
	require.NoError(t, err)
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var l struct {
			CustomID string `json:"custom_id"`
			Response struct{ Body struct{ ID string } }
		}
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		require.False(t, seen[l.CustomID], "twice")
		seen[l.CustomID] = true
		var i int
		_, err := fmt.Sscan(l.CustomID, &i)
		require.NoError(t, err)
		digit, _, err := direct.ask(realserver.DigitsModel, i)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%d then %d", digit, digit), l.Response.Body.ID, l.CustomID)
	}
	require.Len(t, seen, runs)
	t.Logf("%d runs of three steps, the sidecar killed %d times: none missing, none doubled", runs, kills)
}

// Three kinds of real models, one after the other: a text is embedded by llama.cpp, the
// embedding is put to a classifier in MLServer, and llama.cpp's chat is told. The sidecar
// is killed meanwhile.
func TestAPipelineOfThreeModels(t *testing.T) {
	needLlama(t)
	h := newHouse(t)
	say := func(s string) { t.Log(s) }
	llama, err := realserver.PrepareLlama(h.ctx, say)
	require.NoError(t, err)
	embed, err := llama.Start(h.ctx, h.group)
	require.NoError(t, err)
	smol, err := realserver.PrepareChat(h.ctx, say)
	require.NoError(t, err)
	chat, err := smol.Start(h.ctx, h.group)
	require.NoError(t, err)
	assets, err := realserver.Prepare(h.ctx, say)
	require.NoError(t, err)
	classify, err := assets.Start(h.ctx, h.group, t.TempDir())
	require.NoError(t, err)
	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(addresses[0])
	require.NoError(t, err)
	policies, state := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(policies, "three.yaml"), fmt.Appendf(nil, `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: three}
spec:
  address: %s
  port: %s
  servers:
    embed: {endpoints: [%q]}
    classify: {endpoints: [%q]}
    chat: {endpoints: [%q]}
  weights: {chat: 100}
  routes:
  - {prefix: /v1/embeddings, weights: {embed: 100}}
  - {prefix: /v2/, weights: {classify: 100}}
  filters:
    batch: {}
    jobs:
      pipelines:
      - name: three
        steps:
        - {name: embed, call: {path: /v1/embeddings, body: '{"model": %q, "input": {{.input.text}}}'}}
        - name: classify
          call:
            path: /v2/models/%s/infer
            body: '{"inputs": [{"name": "predict", "shape": [1, 64], "datatype": "FP32", "data": {{slice (index .steps.embed.data 0).embedding 0 64}}}]}'
        - name: chat
          call:
            path: /v1/chat/completions
            body: '{"model": %q, "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": {{printf "%%s (%%v)" .input.text (index (index .steps.classify.outputs 0).data 0)}}}]}'
        output: '{"digit": {{index (index .steps.classify.outputs 0).data 0}}, "said": {{(index .steps.chat.choices 0).message.content}}}'
`, host, port, embed.Address, classify.Address, chat.Address, realserver.MiniLMModel, realserver.DigitsModel, realserver.SmolLMModel), 0o600))
	_, err = sidecar.Control(h.ctx, h.group, h.bin, policies, addresses[1], addresses[2])
	require.NoError(t, err)
	start := func() *sidecar.Sidecar {
		s, err := sidecar.Meshed(h.ctx, h.group, h.bin, "n", addresses[1], state, addresses[0], addresses[3])
		require.NoError(t, err)
		return s
	}
	friday := start()
	began := time.Now()
	once := string(post(t, friday.Listen, "/pipelines/three", `{"text": "The sky is blue."}`))
	t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), once)

	req, err := http.NewRequestWithContext(h.ctx, http.MethodPost, "http://"+friday.Listen+"/pipelines/three", strings.NewReader(`{"text": "The sky is blue."}`))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "respond-async")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusAccepted, resp.StatusCode)
	for range 2 {
		time.Sleep(100 * time.Millisecond) // somewhere in the run
		friday.Kill()
		<-friday.Done()
		friday = start()
	}
	var text []byte
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + friday.Listen + resp.Header.Get("Location"))
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode == http.StatusOK
	}, 5*time.Minute, 50*time.Millisecond)
	require.JSONEq(t, once, string(text))
}

func idOf(t *testing.T, resp *http.Response) string {
	t.Helper()
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	return field(t, text, "id")
}

func field(t *testing.T, text []byte, name string) string {
	t.Helper()
	all := map[string]any{}
	require.NoError(t, json.Unmarshal(text, &all), "%s", text)
	s, _ := all[name].(string)
	return s
}

func post(t *testing.T, address, path, body string) []byte {
	t.Helper()
	resp, err := http.Post("http://"+address+path, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	return text
}

// uploaded sends a batch's file, and returns its id.
func uploaded(t *testing.T, address, content string) string {
	t.Helper()
	var form strings.Builder
	w := multipart.NewWriter(&form)
	require.NoError(t, w.WriteField("purpose", "batch"))
	part, err := w.CreateFormFile("file", "lines.jsonl")
	require.NoError(t, err)
	_, err = io.WriteString(part, content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	resp, err := http.Post("http://"+address+"/v1/files", w.FormDataContentType(), strings.NewReader(form.String()))
	require.NoError(t, err)
	return idOf(t, resp)
}
