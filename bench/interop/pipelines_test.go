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
