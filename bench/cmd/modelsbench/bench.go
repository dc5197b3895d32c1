package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/report"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// bench is one run: a server, a control plane and a sidecar of it.
type bench struct {
	*options
	bin, dir string
	group    *process.Group
	out      io.Writer

	server     *repository
	http       *http.Server
	client     *http.Client
	listen     string
	admin      string
	upstream   string
	policyFile string
}

func (b *bench) say(format string, args ...any) { _, _ = fmt.Fprintf(b.out, format+"\n", args...) }

func (b *bench) begin(ctx context.Context) error {
	policies, models := filepath.Join(b.dir, "policies"), filepath.Join(b.dir, "models")
	for _, dir := range []string{policies, models} {
		if err := os.Mkdir(dir, 0o755); err != nil { // #nosec G301 -- what is measured, not a secret
			return err
		}
	}
	b.policyFile = filepath.Join(policies, "models.yaml")
	b.server = &repository{folder: models, load: b.load, call: b.call, loaded: map[string]bool{}, took: map[string]time.Duration{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.http = &http.Server{Handler: b.server, ReadHeaderTimeout: time.Minute}
	go func() { _ = b.http.Serve(l) }()
	b.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: b.callers}}

	addresses, err := process.FreeAddresses(0, 0, 0, 0)
	if err != nil {
		return err
	}
	b.listen, b.admin = addresses[0], addresses[1]
	b.upstream = l.Addr().String()
	if err := b.policy(1); err != nil {
		return err
	}
	if _, err := sidecar.Control(ctx, b.group, b.bin, policies, addresses[2], addresses[3]); err != nil {
		return err
	}
	_, err = sidecar.Meshed(ctx, b.group, b.bin, "sidecar", addresses[2], filepath.Join(b.dir, "state"), b.listen, b.admin)
	return err
}

func (b *bench) end() {
	b.client.CloseIdleConnections()
	_ = b.http.Close()
}

// policy has models be looked after: those of the first table, and a version of that of
// the second, which stands its warm-up before it serves.
func (b *bench) policy(version int) error {
	host, port, err := net.SplitHostPort(b.listen)
	if err != nil {
		return err
	}
	var text strings.Builder
	_, _ = fmt.Fprintf(&text, `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata: {name: models}
spec:
  address: %s
  port: %s
  server: {endpoints: [%q]}
  filters:
    models:
      hold_timeout: 10m
      keep_previous: 1s
      repository: %q
      models:
`, host, port, b.upstream, b.server.folder)
	for i := range b.rounds {
		_, _ = fmt.Fprintf(&text, "      - {name: %s}\n      - {name: %s}\n", one(i), many(i))
	}
	source := filepath.Join(b.dir, "source")
	if err := os.MkdirAll(source, 0o755); err != nil { // #nosec G301 -- as above
		return err
	}
	if err := os.WriteFile(filepath.Join(source, "weights"), []byte("weights"), 0o600); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(&text, "      - {name: %s, version: %q, source: %q, preload: true, warmup: [{path: /v2/models/%s/infer, times: 3, body: '%s'}]}\n",
		switched, strconv.Itoa(version), "file://"+source, switched, question)
	return os.WriteFile(b.policyFile, []byte(text.String()), 0o600)
}

// The models.
const switched = "switched"

func one(round int) string  { return "one-" + strconv.Itoa(round) }
func many(round int) string { return "many-" + strconv.Itoa(round) }

const question = `{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}`

// ask asks a model at address, and says which version answered and how long that took.
func (b *bench) ask(ctx context.Context, address, model string) (version string, took time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v2/models/"+model+"/infer", strings.NewReader(question))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := b.client.Do(req)
	if err != nil {
		return "", 0, err
	}
	body, err := io.ReadAll(resp.Body)
	took = time.Since(began)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return "", 0, err
	}
	var answer struct {
		Model   string `json:"model_name"`
		Version string `json:"model_version"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK || answer.Model != model {
		return "", 0, fmt.Errorf("%s: status %d: %.300s", model, resp.StatusCode, body)
	}
	return answer.Version, took, nil
}

// first asks for models that are not loaded.
func (b *bench) first(ctx context.Context) error {
	t := &report.Table{
		Title: fmt.Sprintf("\nFirst requests for a model that is not loaded; loading takes %v, a call %v; %d rounds", b.load, b.call, b.rounds),
		Head:  []string{"callers", "answer", "beyond the server's own loading: median ms", "most ms"},
	}
	var alone, first, last []float64
	for i := range b.rounds {
		_, took, err := b.ask(ctx, b.listen, one(i))
		if err != nil {
			return err
		}
		alone = append(alone, float64(took-b.server.loading(one(i))))

		all, err := b.atOnce(ctx, many(i))
		if err != nil {
			return err
		}
		first = append(first, float64(slices.Min(all)-b.server.loading(many(i))))
		last = append(last, float64(slices.Max(all)-b.server.loading(many(i))))
	}
	for _, row := range []struct {
		callers int
		answer  string
		beyond  []float64
	}{{1, "the only", alone}, {b.callers, "the first", first}, {b.callers, "the last", last}} {
		t.Row(strconv.Itoa(row.callers), row.answer, report.Millis(time.Duration(report.Median(row.beyond))), report.Millis(time.Duration(slices.Max(row.beyond))))
	}
	b.say("%s", t)
	return nil
}

// atOnce has all callers ask for a model.
func (b *bench) atOnce(ctx context.Context, model string) ([]time.Duration, error) {
	took, errs := make([]time.Duration, b.callers), make([]error, b.callers)
	var running sync.WaitGroup
	for i := range b.callers {
		running.Go(func() { _, took[i], errs[i] = b.ask(ctx, b.listen, model) })
	}
	running.Wait()
	return took, errors.Join(errs...)
}

// settled is how many answers of a version are waited for before the next is asked for.
const settled = 200

// switches has one caller ask without a pause while versions change.
func (b *bench) switches(ctx context.Context) error {
	b.server.cold.Store(int64(b.cold))
	var warm, firsts, ratios []float64
	answers := 0
	var last []float64 // of the version that serves
	serving := ""
	for version := 1; version <= b.rounds+1; {
		got, took, err := b.ask(ctx, b.listen, switched)
		if err != nil {
			return err
		}
		answers++
		if got != serving {
			if serving != "" {
				firsts = append(firsts, float64(took))
				warm = append(warm, report.Median(last))
				ratios = append(ratios, float64(took)/report.Median(last))
			}
			serving, last = got, nil
			continue
		}
		if last = append(last, float64(took)); len(last) == settled && got == strconv.Itoa(version) {
			if version++; version <= b.rounds+1 {
				if err := b.policy(version); err != nil {
					return err
				}
			}
		}
	}
	t := &report.Table{
		Title: fmt.Sprintf("\n%d switches from version to version under %d requests, 0 failed; the first call of a version takes the server %v more", len(firsts), answers, b.cold),
		Head:  []string{"", "median ms", "most ms"},
	}
	for _, row := range []struct {
		name string
		of   []float64
	}{{"a warm answer, p50", warm}, {"the first of a new version", firsts}} {
		t.Row(row.name, report.Millis(time.Duration(report.Median(row.of))), report.Millis(time.Duration(slices.Max(row.of))))
	}
	b.say("%s\nfirst to warm: median %.3f, most %.3f", t, report.Median(ratios), slices.Max(ratios))
	return nil
}
