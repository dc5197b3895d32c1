package api

import (
	"context"
	"fmt"
	"net/http"
)

// LlamaCpp is llama.cpp's server as a router
// (https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md).
type LlamaCpp struct{}

var _ API = LlamaCpp{}

// Name is LLAMA_CPP.
func (LlamaCpp) Name() string { return "LLAMA_CPP" }

// Versions is false.
func (LlamaCpp) Versions() bool { return false }

// Status looks into the router's list.
func (LlamaCpp) Status(ctx context.Context, c *Client, m Model) (Report, error) {
	list, err := c.routed(ctx)
	if err != nil {
		return Report{}, err
	}
	for _, d := range list {
		if d.ID != m.Name {
			continue
		}
		switch {
		case d.Status == nil:
			return Report{State: Ready}, nil // a server of one model
		case d.Status.Value == "loaded":
			return Report{State: Ready}, nil
		case d.Status.Value == "loading":
			return Report{State: Loading}, nil
		case d.Status.Failed:
			return Report{State: Failed, Reason: fmt.Sprintf("its process has ended with code %d", d.Status.ExitCode)}, nil
		}
		return Report{State: Unloaded}, nil
	}
	return Report{State: Unloaded, Reason: "the router has no such model"}, nil
}

type routed struct {
	ID     string
	Status *struct {
		Value    string
		Failed   bool
		ExitCode int `json:"exit_code"`
	}
}

func (c *Client) routed(ctx context.Context) ([]routed, error) {
	var list struct{ Data []routed }
	status, err := c.get(ctx, "/models", &list)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, refusal(http.MethodGet, "/models", status, nil)
	}
	return list.Data, nil
}

type routerOrder struct {
	Model string `json:"model"`
}

// Load starts a process for the model; it returns at once.
func (LlamaCpp) Load(ctx context.Context, c *Client, m Model) error {
	return c.order(ctx, "/models/load", routerOrder{m.Name})
}

// Unload ends the model's process.
func (LlamaCpp) Unload(ctx context.Context, c *Client, m Model) error {
	return c.order(ctx, "/models/unload", routerOrder{m.Name})
}
