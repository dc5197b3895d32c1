package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// repository is a model server of the Open Inference Protocol with the extension for
// repositories, as Triton speaks it
// (https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_model_repository.html):
// it has the versions of a model that its folder has, or, of a model without a folder,
// one.
type repository struct {
	folder     string
	load, call time.Duration
	cold       atomic.Int64 // nanoseconds

	mu     sync.Mutex
	loaded map[string]bool          // model, or model/version: whether it was called since
	took   map[string]time.Duration // what loading a model took, the last time
}

func (s *repository) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	switch {
	case r.URL.Path == "/v2":
		write(w, `{"name":"repository","version":"1","extensions":["model_repository"]}`)
	case len(path) == 4 && path[0] == "repository" && path[3] == "load":
		s.take(path[2])
		write(w, `{}`)
	case len(path) == 4 && path[0] == "repository" && path[3] == "unload":
		s.drop(path[2])
		write(w, `{}`)
	case len(path) == 3 && path[0] == "models":
		s.asked(w, r, path[1], "", path[2])
	case len(path) == 5 && path[0] == "models" && path[2] == "versions":
		s.asked(w, r, path[1], path[3], path[4])
	case r.URL.Path == "/v2/repository/index":
		write(w, `[]`)
	case r.URL.Path == "/v2/health/ready":
		write(w, `{}`)
	default:
		http.NotFound(w, r)
	}
}

func write(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, text) // #nosec G705 -- no browser reads it
}

func id(model, version string) string { return strings.TrimSuffix(model+"/"+version, "/") }

// take loads a model.
func (s *repository) take(model string) {
	began := time.Now()
	time.Sleep(s.load)
	s.mu.Lock()
	defer s.mu.Unlock()
	names := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(s.folder, model))
	for _, e := range entries {
		names[id(model, e.Name())] = true
	}
	if err != nil {
		names[model] = true
	}
	for name := range s.loaded {
		if (name == model || strings.HasPrefix(name, model+"/")) && !names[name] {
			delete(s.loaded, name)
		}
	}
	for name := range names {
		if _, already := s.loaded[name]; !already {
			s.loaded[name] = false
		}
	}
	s.took[model] = time.Since(began)
}

func (s *repository) drop(model string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.loaded {
		if name == model || strings.HasPrefix(name, model+"/") {
			delete(s.loaded, name)
		}
	}
}

// loading is what loading a model took.
func (s *repository) loading(model string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took[model]
}

func (s *repository) asked(w http.ResponseWriter, r *http.Request, model, version, what string) {
	s.mu.Lock()
	called, ready := s.loaded[id(model, version)]
	if ready && what == "infer" {
		s.loaded[id(model, version)] = true
	}
	s.mu.Unlock()
	switch {
	case !ready:
		http.Error(w, `{"error":"not ready"}`, http.StatusBadRequest)
	case what == "ready":
	case what == "infer":
		_, _ = io.Copy(io.Discard, r.Body)
		if !called {
			time.Sleep(time.Duration(s.cold.Load()))
		}
		time.Sleep(s.call)
		write(w, fmt.Sprintf(`{"model_name":%q,"model_version":%q,"outputs":[]}`, model, version))
	default:
		http.NotFound(w, r)
	}
}
