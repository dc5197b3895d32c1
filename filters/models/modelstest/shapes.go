package modelstest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// done is the answer to an order.
func done(w http.ResponseWriter, status int) {
	if status >= http.StatusBadRequest {
		http.Error(w, `{"error":"refused"}`, status)
		return
	}
	write(w, map[string]any{"success": true})
}

func (s *Server) openInference(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/v2":
		write(w, map[string]any{"name": "standin", "version": "1", "extensions": []string{"model_repository"}})
	case r.URL.Path == "/v2/repository/index":
		write(w, []any{})
	case len(path) == 5 && path[1] == "repository" && path[4] == "load":
		done(w, s.load(r.Context(), path[3]))
	case len(path) == 5 && path[1] == "repository" && path[4] == "unload":
		done(w, s.unload(path[3]))
	case len(path) == 4 && path[3] == "ready":
		s.isReady(w, path[2], "")
	case len(path) == 6 && path[5] == "ready":
		s.isReady(w, path[2], path[4])
	case len(path) == 4 && path[3] == "infer":
		s.infer(w, r, path[2], "", http.StatusBadRequest)
	case len(path) == 6 && path[5] == "infer":
		s.infer(w, r, path[2], path[4], http.StatusNotFound)
	default:
		http.NotFound(w, r)
	}
}

func (s *Server) isReady(w http.ResponseWriter, model, version string) {
	if !s.ready(model, version) {
		http.Error(w, "", http.StatusNotFound)
	}
}

func (s *Server) torchServe(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	name := strings.Join(path[1:], "/")
	switch {
	case path[0] == "predictions":
		s.infer(w, r, path[1], strings.Join(path[2:], "/"), http.StatusNotFound)
	case path[0] != "models":
		http.NotFound(w, r)
	case r.Method == http.MethodPost:
		done(w, s.load(r.Context(), r.URL.Query().Get("model_name")))
	case r.Method == http.MethodDelete:
		done(w, s.unload(name))
	case name == "":
		write(w, map[string]any{"models": []any{}})
	case s.ready(path[1], strings.Join(path[2:], "/")):
		write(w, []any{map[string]any{"modelName": name, "workers": []any{map[string]any{"status": "READY"}}}})
	default:
		http.Error(w, `{"code":404,"type":"ModelNotFoundException"}`, http.StatusNotFound)
	}
}

// named is the body's model.
func named(r *http.Request) (model string, body []byte) {
	body, _ = io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var m struct{ Model string }
	_ = json.Unmarshal(body, &m)
	return m.Model, body
}

func (s *Server) ollama(w http.ResponseWriter, r *http.Request) {
	model, body := named(r)
	model = strings.TrimSuffix(model, ":latest")
	var order struct {
		Prompt    *string
		KeepAlive *int `json:"keep_alive"`
	}
	_ = json.Unmarshal(body, &order)
	switch {
	case r.URL.Path == "/api/ps":
		write(w, map[string]any{"models": s.list("name", ":latest")})
	case r.URL.Path == "/api/generate" && order.Prompt == nil && order.KeepAlive != nil && *order.KeepAlive == 0:
		done(w, s.unload(model))
	case r.URL.Path == "/api/generate" && order.Prompt == nil:
		done(w, s.load(r.Context(), model))
	case strings.HasPrefix(r.URL.Path, "/api/"):
		s.infer(w, r, model, "", http.StatusNotFound)
	default:
		http.NotFound(w, r)
	}
}

// list are the loaded models as JSON objects.
func (s *Server) list(member, suffix string) []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]any, 0, len(s.loaded))
	for name := range s.loaded {
		all = append(all, map[string]any{member: name + suffix, "owned_by": "vllm"})
	}
	return all
}

// vllm was started with the model "base", which is loaded while it is awake.
func (s *Server) vllm(w http.ResponseWriter, r *http.Request) {
	model, body := named(r)
	var adapter struct {
		Name string `json:"lora_name"`
	}
	_ = json.Unmarshal(body, &adapter)
	switch r.URL.Path {
	case "/v1/models":
		all := []any{map[string]any{"id": "base", "owned_by": "vllm"}}
		for _, e := range s.list("id", "") {
			if e.(map[string]any)["id"] != "base" { //nolint:forcetypeassert // made by list
				all = append(all, e)
			}
		}
		write(w, map[string]any{"data": all})
	case "/is_sleeping":
		write(w, map[string]any{"is_sleeping": !s.ready("base", "")})
	case "/wake_up":
		done(w, s.load(r.Context(), "base"))
	case "/sleep":
		done(w, s.unload("base"))
	case "/v1/load_lora_adapter":
		done(w, s.load(r.Context(), adapter.Name))
	case "/v1/unload_lora_adapter":
		done(w, s.unload(adapter.Name))
	case "/v1/chat/completions":
		s.infer(w, r, model, "", http.StatusNotFound)
	default:
		http.NotFound(w, r)
	}
}

// llamaCpp agrees to load at once, and has loaded later. It knows the models a and b.
func (s *Server) llamaCpp(w http.ResponseWriter, r *http.Request) {
	model, _ := named(r)
	switch r.URL.Path {
	case "/models":
		all := make([]any, 0, 2)
		for _, name := range []string{"a", "b"} {
			value := "unloaded"
			s.mu.Lock()
			switch {
			case s.loaded[name]:
				value = "loaded"
			case s.coming[name]:
				value = "loading"
			}
			s.mu.Unlock()
			all = append(all, map[string]any{"id": name, "status": map[string]any{"value": value}})
		}
		write(w, map[string]any{"data": all})
	case "/models/load":
		if model != "a" && model != "b" {
			http.Error(w, `{"error":{"message":"model not found"}}`, http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.set("", false)
		s.coming[model] = true
		s.mu.Unlock()
		go s.load(context.WithoutCancel(r.Context()), model)
		done(w, http.StatusOK)
	case "/models/unload":
		done(w, s.unload(model))
	case "/v1/chat/completions":
		s.infer(w, r, model, "", http.StatusServiceUnavailable)
	default:
		http.NotFound(w, r)
	}
}
