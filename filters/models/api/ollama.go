package api

import (
	"context"
	"strings"
)

// Ollama is Ollama's API (https://github.com/ollama/ollama/blob/main/docs/api.md): a
// generation without a prompt loads, and with keep_alive 0 unloads.
type Ollama struct{}

var _ API = Ollama{}

// Name is OLLAMA.
func (Ollama) Name() string { return "OLLAMA" }

// Versions is false: a tag is a part of the name.
func (Ollama) Versions() bool { return false }

// Status looks among the running ones.
func (Ollama) Status(ctx context.Context, c *Client, m Model) (Report, error) {
	var running struct {
		Models []struct{ Name, Model string }
	}
	status, err := c.get(ctx, "/api/ps", &running)
	if err != nil {
		return Report{}, err
	}
	if status != 200 {
		return Report{}, refusal("GET", "/api/ps", status, nil)
	}
	name := tagged(m.Name)
	for _, r := range running.Models {
		if tagged(r.Name) == name || tagged(r.Model) == name {
			return Report{State: Ready}, nil
		}
	}
	return Report{State: Unloaded}, nil
}

// tagged is a name with its tag.
func tagged(name string) string {
	if strings.LastIndexByte(name, ':') <= strings.LastIndexByte(name, '/') {
		return name + ":latest"
	}
	return name
}

type ollamaOrder struct {
	Model     string `json:"model"`
	KeepAlive int    `json:"keep_alive"`
	Stream    bool   `json:"stream"`
}

// Load loads it to stay.
func (Ollama) Load(ctx context.Context, c *Client, m Model) error {
	return c.order(ctx, "/api/generate", ollamaOrder{Model: m.Name, KeepAlive: -1})
}

// Unload unloads it.
func (Ollama) Unload(ctx context.Context, c *Client, m Model) error {
	return c.order(ctx, "/api/generate", ollamaOrder{Model: m.Name})
}
