package realserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/process"
)

//go:embed python/mlp.py
var perceptron string

// TritonRequirements are what Triton comes from: NVIDIA's PyTriton carries the
// server itself, with the engine for models in Python and no other.
const TritonRequirements = "nvidia-pytriton==0.7.0\nnumpy==1.26.4\n"

// The names that Triton has for the perceptron: as it is, one request at a time, and
// behind Triton's own dynamic batching (8 or 16 rows, waiting at most 2 ms).
const (
	PerceptronModel         = "mlp"
	PerceptronBatchingModel = "mlp_dyn"
)

// The perceptron's tensors: FP32 of [rows, PerceptronInputs] in, and out.
const (
	PerceptronInput   = "x"
	PerceptronOutput  = "y"
	PerceptronInputs  = 64
	PerceptronOutputs = 10
)

// settings of a model (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/model_configuration.md):
// its name, and what is particular to it.
const settings = `name: "%s"
backend: "python"
max_batch_size: 32
input [ { name: "x" data_type: TYPE_FP32 dims: [ 64 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 10 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
%s
`

const dynamic = `dynamic_batching { preferred_batch_size: [ 8, 16 ] max_queue_delay_microseconds: 2000 }`

// Triton is what a Triton server is started from.
type Triton struct {
	venv *Venv
	dir  string // with models/ and engines/
	site string // the venv's packages
	// python is where the Python is installed that the model runs in, library the
	// folder with its shared library.
	python, library string
}

// PrepareTriton sees to Triton and its models. The first time takes about a minute and
// 420 MB. progress gets lines for a person. The error is ErrUnavailable where it
// cannot be done, and errors.ErrUnsupported as well where this machine is not of the
// kind that Triton is built for.
func PrepareTriton(ctx context.Context, progress func(string)) (*Triton, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return nil, fmt.Errorf("%w: %w: Triton comes for linux/amd64, this is %s/%s",
			ErrUnavailable, errors.ErrUnsupported, runtime.GOOS, runtime.GOARCH)
	}
	venv, err := PrepareVenv(ctx, "Triton", TritonRequirements, progress)
	if err != nil {
		return nil, err
	}
	t := &Triton{
		venv: venv,
		dir:  filepath.Join(filepath.Dir(venv.Dir), "triton-"+Key(perceptron, settings, dynamic, filepath.Base(venv.Dir))),
	}
	version, err := t.inspect(ctx)
	if err != nil {
		return nil, err
	}
	return t, once(ctx, t.dir, progress, func(context.Context) error {
		return t.arrange(version)
	})
}

// interpreter prints what must be known of the Python, a line each.
const interpreter = `import os, sys, sysconfig
library = "libpython%d.%d.so.1.0" % sys.version_info[:2]
places = (sysconfig.get_config_var("LIBDIR"), "/usr/lib/" + (sysconfig.get_config_var("MULTIARCH") or ""))
print("%d.%d" % sys.version_info[:2])
print(sysconfig.get_path("purelib"))
print(sys.base_prefix)
print(next((p for p in places if p and os.path.exists(os.path.join(p, library))), ""))
print(library)`

// inspect finds the folders, and returns the Python's version.
func (t *Triton) inspect(ctx context.Context) (version string, err error) {
	out, err := exec.CommandContext(ctx, t.venv.Bin("python"), "-c", interpreter).Output() // #nosec G204 -- in our own cache
	if err != nil {
		return "", fmt.Errorf("python: %w", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 5 {
		return "", fmt.Errorf("python: says %q", out)
	}
	t.site, t.python, t.library = lines[1], lines[2], lines[3]
	if t.library == "" {
		return "", fmt.Errorf("%w: %w: Triton needs Python's shared library %s, which %s does not have (Debian: apt install libpython3-dev)",
			ErrUnavailable, errors.ErrUnsupported, lines[4], t.python)
	}
	if _, err := os.Stat(t.program()); err != nil {
		return "", fmt.Errorf("%w: no tritonserver in %s", ErrUnavailable, t.site)
	}
	return lines[0], nil
}

func (t *Triton) server(path ...string) string {
	return filepath.Join(append([]string{t.site, "pytriton", "tritonserver"}, path...)...)
}

func (t *Triton) program() string { return t.server("bin", "tritonserver") }

// arrange makes the folder of models, and that of engines, where the stub for this
// Python has to lie beside the engine.
func (t *Triton) arrange(version string) error {
	engine := filepath.Join(t.dir, "engines", "python")
	if err := os.MkdirAll(filepath.Dir(engine), 0o750); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	if err := os.CopyFS(engine, os.DirFS(t.server("backends", "python"))); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	const stub = "triton_python_backend_stub"
	program, err := os.ReadFile(t.server("python_backend_stubs", version, stub))
	if err != nil {
		return fmt.Errorf("%w: %w: Triton has no stub for Python %s: %w", ErrUnavailable, errors.ErrUnsupported, version, err)
	}
	if err := os.WriteFile(filepath.Join(engine, stub), program, 0o700); err != nil { // #nosec G306 G703 -- a program, in our own cache
		return fmt.Errorf("engine: %w", err)
	}
	for name, more := range map[string]string{PerceptronModel: "", PerceptronBatchingModel: dynamic} {
		model := filepath.Join(t.dir, "models", name)
		if err := os.MkdirAll(filepath.Join(model, "1"), 0o750); err != nil {
			return fmt.Errorf("model: %w", err)
		}
		for file, text := range map[string]string{
			"config.pbtxt": fmt.Sprintf(settings, name, more), filepath.Join("1", "model.py"): perceptron,
		} {
			if err := os.WriteFile(filepath.Join(model, file), []byte(text), 0o600); err != nil {
				return fmt.Errorf("model: %w", err)
			}
		}
	}
	return nil
}

// Start runs Triton on free loopback ports and returns when its models are ready.
// Each model has one instance, which computes on one core.
func (t *Triton) Start(ctx context.Context, g *process.Group) (*Server, error) {
	addresses, ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	libraries := []string{t.library, filepath.Join(t.site, "nvidia_pytriton.libs")}
	if more := os.Getenv("LD_LIBRARY_PATH"); more != "" {
		libraries = append(libraries, more)
	}
	env := []string{
		// The model's Python is the stub's own, which has to be told where it lives; for
		// its packages Triton asks the python3 that it finds.
		"PYTHONHOME=" + t.python,
		"PATH=" + filepath.Dir(t.venv.Bin("python3")) + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"LD_LIBRARY_PATH=" + strings.Join(libraries, string(filepath.ListSeparator)),
		"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1",
	}
	const host = "127.0.0.1"
	p, err := g.Start("tritonserver", env, t.program(),
		"--model-repository="+filepath.Join(t.dir, "models"), "--backend-directory="+filepath.Join(t.dir, "engines"),
		"--http-address="+host, "--http-port="+ports[0],
		"--grpc-address="+host, "--grpc-port="+ports[1],
		"--metrics-address="+host, "--metrics-port="+ports[2])
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Address: addresses[0], GRPC: addresses[1], Metrics: addresses[2]}
	if err := s.ready(ctx, modelPaths(PerceptronModel, PerceptronBatchingModel)...); err != nil {
		return nil, err
	}
	return s, s.Await(ctx, time.Minute, process.Listening(s.GRPC))
}
