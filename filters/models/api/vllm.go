package api

import (
	"context"
	"net/http"
)

// VLLM is vLLM's: a LoRA adapter has a path and is loaded and unloaded
// (https://docs.vllm.ai/en/latest/features/lora/); the model that the server was started
// with sleeps and wakes up (https://docs.vllm.ai/en/latest/features/sleep_mode/), where
// its development mode is on, and is always awake where not.
type VLLM struct{}

var _ API = VLLM{}

// Name is VLLM.
func (VLLM) Name() string { return "VLLM" }

// Versions is false.
func (VLLM) Versions() bool { return false }

// Status asks whether it is among the models, and whether the server sleeps.
func (VLLM) Status(ctx context.Context, c *Client, m Model) (Report, error) {
	listed, err := c.listed(ctx, "/v1/models", m.Name)
	if err != nil {
		return Report{}, err
	}
	if !listed {
		return Report{State: Unloaded}, nil
	}
	sleeps, err := c.sleeps(ctx)
	if err != nil {
		return Report{}, err
	}
	if sleeps {
		return Report{State: Unloaded, Reason: "sleeping"}, nil
	}
	return Report{State: Ready}, nil
}

// sleeps says whether the server sleeps; one whose development mode is off does not.
func (c *Client) sleeps(ctx context.Context) (bool, error) {
	var sleep struct {
		Sleeping bool `json:"is_sleeping"`
	}
	status, err := c.get(ctx, "/is_sleeping", &sleep)
	return err == nil && status == http.StatusOK && sleep.Sleeping, err
}

// listed says whether a model stands in an OpenAI list of models.
func (c *Client) listed(ctx context.Context, path, name string) (bool, error) {
	var list struct {
		Data []struct{ ID string }
	}
	status, err := c.get(ctx, path, &list)
	if err != nil {
		return false, err
	}
	if status != http.StatusOK {
		return false, refusal(http.MethodGet, path, status, nil)
	}
	for _, d := range list.Data {
		if d.ID == name {
			return true, nil
		}
	}
	return false, nil
}

type adapter struct {
	Name string `json:"lora_name"`
	Path string `json:"lora_path,omitempty"`
}

// Load wakes the server up, and loads an adapter that it does not have.
func (VLLM) Load(ctx context.Context, c *Client, m Model) error {
	sleeps, err := c.sleeps(ctx)
	if err == nil && sleeps {
		err = c.order(ctx, "/wake_up", nil)
	}
	if err != nil || m.Path == "" {
		return err
	}
	listed, err := c.listed(ctx, "/v1/models", m.Name)
	if err != nil || listed {
		return err
	}
	return c.order(ctx, "/v1/load_lora_adapter", adapter{m.Name, m.Path})
}

// Unload has the server sleep, its weights in the host's memory, or unloads an adapter.
func (VLLM) Unload(ctx context.Context, c *Client, m Model) error {
	if m.Path == "" {
		return c.order(ctx, "/sleep?level=1", nil)
	}
	return c.order(ctx, "/v1/unload_lora_adapter", adapter{Name: m.Name})
}
