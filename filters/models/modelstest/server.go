package modelstest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// API is how a Server is spoken to.
type API string

// The APIs, as the configuration names them.
const (
	OpenInference API = "OPEN_INFERENCE"
	TorchServe    API = "TORCHSERVE"
	Ollama        API = "OLLAMA"
	VLLM          API = "VLLM"
	LlamaCpp      API = "LLAMA_CPP"
	Health        API = "HEALTH"
)

// Server is a model server in memory. Its fields are set before it is used; those that
// are functions are called without locks held.
type Server struct {
	API API
	// LoadTime is how long loading takes.
	LoadTime time.Duration
	// Latency is how long an answer takes.
	Latency time.Duration
	// Repository, where not empty, has the versions of a model as folders: loading one
	// loads all that are there, and lets go of the others.
	Repository string
	// Refuse, where not nil, may answer what a server is told to do ("load m", "unload
	// m") or asked ("infer m") with a status of its own; 0: no.
	Refuse func(what string) int

	mu     sync.Mutex
	loaded map[string]bool // name, or name/version
	coming map[string]bool
	calls  []string // load and unload, in order
	infers map[string]int
	most   int // loaded at once
}

// Calls are what it was told to do: "load m", "unload m".
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// Count is how often it was told what.
func (s *Server) Count(what string) int {
	n := 0
	for _, c := range s.Calls() {
		if c == what {
			n++
		}
	}
	return n
}

// Answers is how many requests for a model were answered.
func (s *Server) Answers(model string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.infers[model]
}

// Most is how many models were loaded at once.
func (s *Server) Most() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

// Set has a model, or a version of one ("m/2"), loaded or not, as if it had come by itself.
func (s *Server) Set(model string, loaded bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(model, loaded)
}

func (s *Server) set(model string, loaded bool) {
	if s.loaded == nil {
		s.loaded, s.coming, s.infers = map[string]bool{}, map[string]bool{}, map[string]int{}
	}
	delete(s.coming, model)
	if s.loaded[model] = loaded; !loaded {
		delete(s.loaded, model)
	}
	s.most = max(s.most, len(s.loaded))
}

// ready says whether a model, or a version, is loaded.
func (s *Server) ready(model, version string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if version != "" {
		return s.loaded[model+"/"+version]
	}
	for name := range s.loaded {
		if name == model || strings.HasPrefix(name, model+"/") {
			return true
		}
	}
	return false
}

// note takes an order down; 0: it is to be followed.
func (s *Server) note(what string) int {
	s.mu.Lock()
	s.set("", false)
	s.calls = append(s.calls, what)
	s.mu.Unlock()
	if s.Refuse != nil {
		return s.Refuse(what)
	}
	return 0
}

// load loads a model, or all of its versions.
func (s *Server) load(ctx context.Context, model string) int {
	if status := s.note("load " + model); status != 0 {
		return status
	}
	names := []string{model}
	if s.Repository != "" {
		names = nil
		entries, _ := os.ReadDir(filepath.Join(s.Repository, model))
		for _, e := range entries {
			names = append(names, model+"/"+e.Name())
		}
		if len(names) == 0 {
			return http.StatusNotFound
		}
	}
	s.mu.Lock()
	for _, n := range names {
		if !s.loaded[n] {
			s.coming[n] = true
		}
	}
	s.mu.Unlock()
	sleep(ctx, s.LoadTime)
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.loaded {
		if strings.HasPrefix(n, model+"/") && !slices.Contains(names, n) {
			s.set(n, false)
		}
	}
	for _, n := range names {
		s.set(n, true)
	}
	return http.StatusOK
}

func (s *Server) unload(model string) int {
	if status := s.note("unload " + model); status != 0 {
		return status
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.loaded {
		if n == model || strings.HasPrefix(n, model+"/") {
			s.set(n, false)
		}
	}
	return http.StatusOK
}

// infer answers with what it was asked, and by which version; notReady is what this kind
// of server says where the model is not there.
func (s *Server) infer(w http.ResponseWriter, r *http.Request, model, version string, notReady int) {
	body, _ := io.ReadAll(r.Body)
	if s.Refuse != nil {
		if status := s.Refuse("infer " + strings.Trim(model+"/"+version, "/")); status != 0 {
			http.Error(w, "refused", status)
			return
		}
	}
	if !s.ready(model, version) {
		http.Error(w, fmt.Sprintf("model %s is not ready", model), notReady)
		return
	}
	sleep(r.Context(), s.Latency)
	s.mu.Lock()
	s.infers[model]++
	s.mu.Unlock()
	if strings.Contains(string(body), `"stream":true`) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: {\"model_name\":%q}\n\ndata: [DONE]\n\n", model) // #nosec G705 -- no browser reads it
		return
	}
	write(w, map[string]any{"model_name": model, "model_version": version, "echo": string(body)})
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func write(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// ServeHTTP answers in the server's API.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch s.API {
	case OpenInference:
		s.openInference(w, r)
	case TorchServe:
		s.torchServe(w, r)
	case Ollama:
		s.ollama(w, r)
	case VLLM:
		s.vllm(w, r)
	case LlamaCpp:
		s.llamaCpp(w, r)
	case Health:
		switch {
		case r.URL.Path == "/health" && s.ready("m", ""):
			_, _ = io.WriteString(w, "ok")
		case r.URL.Path == "/health":
			http.Error(w, "loading", http.StatusServiceUnavailable)
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			s.infer(w, r, "m", "", http.StatusServiceUnavailable)
		default:
			http.NotFound(w, r)
		}
	}
}
