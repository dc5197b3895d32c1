package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// Probe finds out what a server is by asking it: the first of the signs that it shows
// counts. What shows none is Health. The error is that it could not be asked.
func Probe(ctx context.Context, c *Client) (API, error) {
	signs := [...]struct {
		path string
		is   func(answer []byte) API
	}{
		{"/v2", func(b []byte) API {
			if m := object(b); m["name"] != nil && (m["version"] != nil || m["extensions"] != nil) {
				return OpenInference{}
			}
			return nil
		}},
		{"/api/ps", func(b []byte) API {
			if _, ok := object(b)["models"].([]any); ok {
				return Ollama{}
			}
			return nil
		}},
		{"/v1/models", ownedBy("vllm", VLLM{})},
		{"/models", func(b []byte) API {
			list, _ := object(b)["data"].([]any)
			for _, e := range list {
				if m, ok := e.(map[string]any); ok && m["status"] != nil {
					return LlamaCpp{}
				}
			}
			return nil
		}},
	}
	for _, s := range signs {
		status, answer, err := c.do(ctx, http.MethodGet, s.path, nil)
		if err != nil {
			return nil, err
		}
		if status != http.StatusOK {
			continue
		}
		if found := s.is(answer); found != nil {
			return found, nil
		}
	}
	// TorchServe's inference port does not tell it from others; its management port does.
	if status, answer, err := c.manage(ctx, http.MethodGet, "/models"); err == nil && status == http.StatusOK {
		if _, ok := object(answer)["models"].([]any); ok {
			return TorchServe{}, nil
		}
	}
	return Health{}, ctx.Err()
}

func object(answer []byte) map[string]any {
	var m map[string]any
	if json.Unmarshal(answer, &m) != nil {
		return nil
	}
	return m
}

// ownedBy finds a server by whom its models are said to belong to.
func ownedBy(owner string, found API) func([]byte) API {
	return func(b []byte) API {
		list, _ := object(b)["data"].([]any)
		for _, e := range list {
			if m, ok := e.(map[string]any); ok {
				if s, _ := m["owned_by"].(string); strings.EqualFold(s, owner) {
					return found
				}
			}
		}
		return nil
	}
}

// Named is the API that a configuration names; nil: none.
func Named(name string) API {
	for _, a := range [...]API{OpenInference{}, TorchServe{}, Ollama{}, VLLM{}, LlamaCpp{}, Health{}} {
		if a.Name() == name {
			return a
		}
	}
	return nil
}
