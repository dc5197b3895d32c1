package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestControlUsedWrongly(t *testing.T) {
	for says, args := range map[string][]string{
		`-o: "yaml"`:                                       {"history", "-o", "yaml"},
		`--control: "http://x"`:                            {"history", "--control", "http://x"},
		"at most two versions":                             {"diff", "1", "2", "3"},
		`"x" is not the number of a version`:               {"diff", "x"},
		"--to VERSION or --release":                        {"rollback", "--to", "1", "--release"},
		"one node at a time":                               {"dump", "a", "b"},
		"one route at a time":                              {"shift", "a", "b"},
		"--abort and --to exclude each other":              {"shift", "a", "--abort", "--to", "b=1"},
		"the sidecar's --node-id is needed":                {"token"},
		"a route is needed":                                {"shift", "--to", "b=1"},
		"--to is missing":                                  {"shift", "a"},
		`"b" is not SERVER=PERCENT`:                        {"shift", "a", "--to", "b"},
		"whole number from 0 to 100":                       {"shift", "a", "--to", "b=101"},
		`"b" is named twice`:                               {"shift", "a", "--to", "b=1,b=2"},
		`--max-errors: "2": must be 0% to 100%`:            {"shift", "a", "--to", "b=1", "--max-errors", "2"},
		"what: list, backup FILE, restore FILE or migrate": {"jobs"},
		`unknown: ["list" "x"]`:                            {"jobs", "list", "x"},
		`-o: "xml"`:                                        {"jobs", "list", "-o", "xml"},
		"--limit 0: must be at least 1":                    {"jobs", "list", "--limit", "0"},
		"--store /none: no such file":                      {"jobs", "list", "--store", "/none"},
		"restore /none: no such file":                      {"jobs", "restore", "/none"},
		"migrate needs --postgres-dsn-file":                {"jobs", "migrate"},
		"what: verify":                                     {"audit", "sign"},
		"--over 1s, --steps 0, --max-p99 0s: mus":          {"shift", "a", "--to", "b=1", "--over", "1s", "--steps", "0"},
	} {
		code, _, errs := fridayctl(t, args...)
		require.Equal(t, 2, code, "%v: %s", args, errs)
		require.Contains(t, errs, says)
	}
}

// What fridayd makes for a new sidecar is printed as its files want it.
func TestTokenAndRoots(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.Method + " " + r.URL.Path + " " + string(body) {
		case `POST /token {"node":"pod-1","node_cluster":"vision","life_seconds":60}`:
			_, _ = w.Write([]byte(`{"token": "friday-x", "expires": "2030-01-01T00:00:00Z"}`))
		case "GET /roots ":
			_, _ = w.Write([]byte("-----BEGIN CERTIFICATE-----\n"))
		default:
			http.Error(w, "what is "+string(body), http.StatusBadRequest)
		}
	}))
	defer srv.Close()
	for want, args := range map[string][]string{
		"friday-x\n":                    {"token", "pod-1", "--node-cluster", "vision", "--life", "1m"},
		`"expires": "2030-01-01`:        {"token", "pod-1", "--node-cluster", "vision", "--life", "1m", "-o", "json"},
		"-----BEGIN CERTIFICATE-----\n": {"roots"},
	} {
		code, out, errs := fridayctl(t, append(args, "--control", hostOf(srv.URL))...)
		require.Equal(t, 0, code, errs)
		require.Contains(t, out, want)
	}
}

func TestControlCannotBeAsked(t *testing.T) {
	code, _, errs := fridayctl(t, "history", "--control", "127.0.0.1:1")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "fridayd at 127.0.0.1:1 cannot be asked: ")

	for says, answer := range map[string]http.HandlerFunc{
		"is not fridayd's answer": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"is it fridayd's admin door": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not found; there are\n/ready", http.StatusNotFound)
		},
		"version 9: is not kept": func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("X-Friday-User"), "@") {
				t.Error("nobody asks")
			}
			http.Error(w, "version 9: is not kept", http.StatusNotFound)
		},
	} {
		srv := httptest.NewServer(answer)
		code, _, errs := fridayctl(t, "rollback", "--to", "9", "--control", hostOf(srv.URL))
		srv.Close()
		require.Equal(t, 1, code)
		require.Contains(t, errs, says)
	}
}
