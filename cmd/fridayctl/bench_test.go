package main

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/bench/standin"
	"github.com/fridaymesh/friday/cmd/internal/cli"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fridayctl does what the command line says.
func fridayctl(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = cli.Program{
		Name: "fridayctl", Version: "v0", Commands: commands(&o),
		Getenv: func(string) string { return "" }, Stdout: &o, Stderr: &e,
	}.Run(t.Context(), args)
	return code, o.String(), e.String()
}

func stand(t *testing.T) string {
	t.Helper()
	s, err := standin.New(standin.Config{})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		require.NoError(t, <-served)
	})
	return "http://" + ln.Addr().String()
}

func TestBenchTables(t *testing.T) {
	url := stand(t)
	for protocol, says := range map[string]string{
		"openai": "openai, 2 item(s) a request\n", "kserve_v1": "requests/s", "open_inference": "ratio",
		"chat": "streams of 3 tokens, 1ms apart",
	} {
		code, out, errs := fridayctl(t, "bench", "--target", url, "--direct", url, "--protocol", protocol,
			"--concurrency", "1,4", "--duration", "0", "-n", "9", "--items", "2", "--tokens", "3", "--gap", "1ms", "--header", "Authorization: x")
		require.Equal(t, 0, code, errs)
		require.Contains(t, out, says)
		require.Contains(t, out, "direct")
		require.Contains(t, out, "target")
		require.Contains(t, out, "×")
	}
}

func TestBenchJSON(t *testing.T) {
	code, out, errs := fridayctl(t, "bench", "--target", stand(t), "--duration", "0s", "-n", "10", "--concurrency", "2", "-o", "json", "--rate", "1000")
	require.Equal(t, 0, code, errs)
	var lines []struct {
		Concurrency int
		Way         string
		Result      struct {
			Requests, Wrong int
			RPS             float64
			P99             float64 `json:"p99_ms"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &lines))
	require.Len(t, lines, 1)
	require.Equal(t, "target", lines[0].Way)
	require.Equal(t, 2, lines[0].Concurrency)
	require.Equal(t, 10, lines[0].Result.Requests)
	require.Positive(t, lines[0].Result.P99)
}

// A server whose answers are not right fails the command, after the table.
func TestBenchFails(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"object":"list","model":"standin","data":[]}`))
	}))
	defer srv.Close()
	code, out, errs := fridayctl(t, "bench", "--target", srv.URL, "--duration", "0s", "-n", "3", "--concurrency", "1")
	require.Equal(t, 1, code)
	require.Contains(t, out, "callers")
	require.Contains(t, errs, "target with 1 callers: 3 wrong, first: request 0: ")
}

func TestBenchUsedWrongly(t *testing.T) {
	for says, args := range map[string][]string{
		"--target: is missing":                    {},
		`--concurrency: "0" is no number above 0`: {"--target", "h", "--concurrency", "0"},
		"nothing would be measured":               {"--target", "h", "--duration", "0s"},
		`protocol "soap" is none of`:              {"--target", "h", "--protocol", "soap"},
		"items: 0 is below 1":                     {"--target", "h", "--items", "0"},
		`the scheme "https" is not http`:          {"--target", "https://h"},
		"--direct: target":                        {"--target", "h", "--direct", "ftp://h"},
		"-o: \"yaml\"":                            {"--target", "h", "-o", "yaml"},
		"chat has no open loop":                   {"--target", "h", "--protocol", "chat", "--rate", "1"},
		"is not of the form":                      {"--target", "h", "--header", "nothing"},
		"too small":                               {"--target", "h", "--rounds", "0"},
	} {
		code, _, errs := fridayctl(t, append([]string{"bench"}, args...)...)
		require.Equal(t, 2, code, "%v: %s", args, errs)
		require.Contains(t, errs, says)
	}
}
