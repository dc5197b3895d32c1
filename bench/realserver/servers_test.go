package realserver

import (
	"archive/zip"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExecuted(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/metrics", r.URL.Path)
		_, _ = w.Write([]byte("nv_inference_count{model=\"mlp\",version=\"1\"} 30\n" +
			"nv_inference_exec_count{model=\"mlp\",version=\"1\"} 4\nnv_inference_exec_count{model=\"mlp_dyn\",version=\"1\"} 9\n"))
	}))
	defer srv.Close()
	s := &Server{Metrics: srv.Listener.Addr().String()}
	executed, err := s.Executed(t.Context(), PerceptronModel)
	require.NoError(t, err)
	require.InDelta(t, 7.5, executed.Mean(), 0)
	srv.Close()
	_, err = s.Executed(t.Context(), PerceptronModel)
	require.Error(t, err)
}

// site makes what PyTriton has of Triton, without content.
func site(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range []string{
		"bin/tritonserver", "backends/python/libtriton_python.so", "backends/python/triton_python_backend_utils.py",
		"python_backend_stubs/3.11/triton_python_backend_stub",
	} {
		path := filepath.Join(dir, "pytriton", "tritonserver", file)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(file), 0o600))
	}
	return dir
}

func TestTritonIsArranged(t *testing.T) {
	triton := &Triton{site: site(t), dir: t.TempDir()}
	require.NoError(t, triton.arrange("3.11"))
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{triton.dir}, path...)...))
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, "backends/python/libtriton_python.so", read("engines", "python", "libtriton_python.so"))
	stub, err := os.Stat(filepath.Join(triton.dir, "engines", "python", "triton_python_backend_stub"))
	require.NoError(t, err)
	require.NotZero(t, stub.Mode()&0o100, "it is run")
	require.Equal(t, perceptron, read("models", "mlp", "1", "model.py"))
	require.NotContains(t, read("models", "mlp", "config.pbtxt"), "dynamic_batching")
	require.Contains(t, read("models", "mlp_dyn", "config.pbtxt"), `name: "mlp_dyn"`)
	require.Contains(t, read("models", "mlp_dyn", "config.pbtxt"), "dynamic_batching")

	err = (&Triton{site: triton.site, dir: t.TempDir()}).arrange("3.99")
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "no stub for Python 3.99")
}

// venvOf is an environment whose python answers as the script says.
func venvOf(t *testing.T, script string) *Venv {
	t.Helper()
	v := &Venv{Dir: t.TempDir()}
	require.NoError(t, os.MkdirAll(filepath.Dir(v.Bin("python")), 0o750))
	require.NoError(t, os.WriteFile(v.Bin("python"), []byte("#!/bin/sh\n"+script), 0o700)) // #nosec G306 -- a program
	return v
}

func TestTritonNeedsPythonsLibrary(t *testing.T) {
	packages := site(t)
	says := func(library string) string {
		return "printf '3.11\\n" + packages + "\\n/opt/python\\n" + library + "\\nlibpython3.11.so.1.0\\n'"
	}
	triton := &Triton{venv: venvOf(t, says("/opt/python/lib"))}
	version, err := triton.inspect(t.Context())
	require.NoError(t, err)
	require.Equal(t, "3.11", version)
	require.Equal(t, "/opt/python/lib", triton.library)

	_, err = (&Triton{venv: venvOf(t, says(""))}).inspect(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "Triton needs Python's shared library libpython3.11.so.1.0, which /opt/python does not have")

	require.NoError(t, os.Remove(triton.program()))
	_, err = triton.inspect(t.Context())
	require.ErrorIs(t, err, ErrUnavailable)
	_, err = (&Triton{venv: venvOf(t, "echo something else")}).inspect(t.Context())
	require.ErrorContains(t, err, "something else")
}

// The script that asks the Python says as many lines as are read.
func TestInterpreterScript(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	out, err := exec.CommandContext(t.Context(), python, "-c", interpreter).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Len(t, strings.Split(strings.TrimSpace(string(out)), "\n"), 5)
}

func TestFetchUnpacks(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "thing-1-py3-none-any.whl"))
	require.NoError(t, err)
	z := zip.NewWriter(f)
	w, err := z.Create("thing/content")
	require.NoError(t, err)
	_, err = w.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	out, err := exec.CommandContext(t.Context(), python, "-c", unpack, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.FileExists(t, filepath.Join(dir, "thing", "content"))
	require.NoFileExists(t, filepath.Join(dir, "thing-1-py3-none-any.whl"))

	err = fetch(t.Context(), venvOf(t, "echo no such package; exit 1"), "thing==1", dir, quiet)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "thing==1: python -m pip: exit status 1: no such package")
}

func TestLlamaSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv(CacheEnv, filepath.Join(dir, "cache"))
	require.False(t, LlamaBuilt())
	_, err := PrepareLlama(t.Context(), quiet)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "none of cc, gcc, clang; none of c++, g++, clang++; none of nice on the PATH")
	for _, name := range []string{"gcc", "g++", "nice"} {
		fakePython(t, dir, name, "", 0)
	}
	require.NoError(t, needCompiler())
	_, err = PrepareLlama(t.Context(), quiet)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "no python3")
}

func TestJobs(t *testing.T) {
	t.Setenv(JobsEnv, "3")
	require.Equal(t, 3, jobs())
	t.Setenv(JobsEnv, "many")
	require.Positive(t, jobs())
}
