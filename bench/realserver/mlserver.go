package realserver

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fridaymesh/friday/bench/process"
)

//go:embed python/train.py
var training string

// The names that MLServer has for its models: the forest, the same forest behind
// MLServer's own batching (max_batch_size 16, max_batch_time 10 ms), and a support
// vector machine.
const (
	DigitsModel         = "digits-rf"
	DigitsBatchingModel = "digits-rf-ab"
	DigitsVectorModel   = "digits-svc"
)

// Assets are what a server is started from.
type Assets struct {
	Venv   *Venv
	Digits *Digits
	// DigitsFile is where Digits were read from, for clients that are not in Go.
	DigitsFile string
	// Host is the address that the server listens on; empty: 127.0.0.1, where it must
	// answer in any case.
	Host string

	models string
}

// Prepare sees to the server's environment, the trained model and the digits that
// it has not seen. The first time takes about a minute and 550 MB. progress gets
// lines for a person. The error is ErrUnavailable where it cannot be done.
func Prepare(ctx context.Context, progress func(string)) (*Assets, error) {
	venv, err := PrepareVenv(ctx, "MLServer and scikit-learn", ServerRequirements, progress)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(filepath.Dir(venv.Dir), "digits-"+Key(training, filepath.Base(venv.Dir)))
	err = once(ctx, dir, progress, func(ctx context.Context) error {
		progress("training the models (once, some seconds)")
		script := filepath.Join(dir, "train.py")
		if err := os.WriteFile(script, []byte(training), 0o600); err != nil {
			return fmt.Errorf("training: %w", err)
		}
		return patiently(ctx, progress, venv.Bin("python"), script, dir)
	})
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "digits.json")
	digits, err := ReadDigits(file)
	if err != nil {
		return nil, err
	}
	return &Assets{Venv: venv, Digits: digits, DigitsFile: file, models: filepath.Join(dir, "models")}, nil
}

// Trained is the file of a trained model.
func (a *Assets) Trained(model string) string { return filepath.Join(a.models, model, "model.joblib") }

// Start runs MLServer on free loopback ports, in one process, with scratch for
// what it writes, and returns when every model is ready.
func (a *Assets) Start(ctx context.Context, g *process.Group, scratch string) (*Server, error) {
	return a.start(ctx, g, scratch, a.models, nil, modelPaths(DigitsModel, DigitsBatchingModel, DigitsVectorModel)...)
}

// StartEmpty is Start over a repository from which models are loaded only when it is told
// to.
func (a *Assets) StartEmpty(ctx context.Context, g *process.Group, scratch, repository string) (*Server, error) {
	return a.start(ctx, g, scratch, repository, []string{"MLSERVER_LOAD_MODELS_AT_STARTUP=false"}, "/v2/health/live")
}

func (a *Assets) start(ctx context.Context, g *process.Group, scratch, repository string, more []string, paths ...string) (*Server, error) {
	addresses, ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	env := []string{
		"MLSERVER_HOST=" + cmp.Or(a.Host, loopback),
		"MLSERVER_HTTP_PORT=" + ports[0],
		"MLSERVER_GRPC_PORT=" + ports[1],
		"MLSERVER_METRICS_PORT=" + ports[2],
		"MLSERVER_METRICS_DIR=" + filepath.Join(scratch, "metrics"),
		"MLSERVER_ENVIRONMENTS_DIR=" + filepath.Join(scratch, "environments"),
		"MLSERVER_PARALLEL_WORKERS=0",
		"MLSERVER_DEBUG=false",
		"PYTHONUNBUFFERED=1",
	}
	p, err := g.Start("mlserver", append(env, more...), a.Venv.Bin("mlserver"), "start", repository)
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Address: addresses[0], GRPC: addresses[1], Metrics: addresses[2]}
	if err := s.ready(ctx, paths...); err != nil {
		return nil, err
	}
	return s, s.Await(ctx, time.Minute, process.Listening(s.GRPC))
}

// modelPaths are where the Open Inference Protocol tells that a model is ready.
func modelPaths(models ...string) []string {
	paths := make([]string, len(models))
	for i, m := range models {
		paths[i] = "/v2/models/" + m + "/ready"
	}
	return paths
}
