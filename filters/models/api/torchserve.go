package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// TorchServe is TorchServe's management API
// (https://pytorch.org/serve/management_api.html).
type TorchServe struct{}

var _ API = TorchServe{}

// Name is TORCHSERVE.
func (TorchServe) Name() string { return "TORCHSERVE" }

// Versions is true.
func (TorchServe) Versions() bool { return true }

func (TorchServe) path(m Model) string {
	path := "/models/" + url.PathEscape(m.Name)
	if m.Version != "" {
		path += "/" + url.PathEscape(m.Version)
	}
	return path
}

// Status is that of the workers: one that is ready is enough.
func (t TorchServe) Status(ctx context.Context, c *Client, m Model) (Report, error) {
	path := t.path(m)
	status, answer, err := c.manage(ctx, http.MethodGet, path)
	switch {
	case err != nil:
		return Report{}, err
	case status == http.StatusNotFound:
		return Report{State: Unloaded}, nil
	case status != http.StatusOK:
		return Report{}, refusal(http.MethodGet, path, status, answer)
	}
	var described []struct {
		Workers []struct{ Status string } `json:"workers"`
	}
	if err := json.Unmarshal(answer, &described); err != nil {
		return Report{}, refusal(http.MethodGet, path, status, answer)
	}
	workers := 0
	for _, d := range described {
		for _, w := range d.Workers {
			workers++
			if w.Status == "READY" {
				return Report{State: Ready}, nil
			}
		}
	}
	if workers == 0 {
		return Report{State: Unloaded, Reason: "registered without workers"}, nil
	}
	return Report{State: Loading}, nil
}

// Load registers the model, or gives one that is registered a worker.
func (t TorchServe) Load(ctx context.Context, c *Client, m Model) error {
	archive := m.Path
	if archive == "" {
		archive = m.Name + ".mar"
	}
	query := url.Values{"url": {archive}, "model_name": {m.Name}, "initial_workers": {"1"}, "synchronous": {"true"}}
	path := "/models?" + query.Encode()
	status, answer, err := c.manage(ctx, http.MethodPost, path)
	if err == nil && status == http.StatusConflict { // it is registered
		path = t.path(m) + "?min_worker=1&synchronous=true"
		status, answer, err = c.manage(ctx, http.MethodPut, path)
	}
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return refusal("managing", path, status, answer)
	}
	return nil
}

// Unload takes it out of the register. The default version can only go last.
func (t TorchServe) Unload(ctx context.Context, c *Client, m Model) error {
	path := t.path(m)
	status, answer, err := c.manage(ctx, http.MethodDelete, path)
	switch {
	case err != nil:
		return err
	case status == http.StatusNotFound:
		return nil
	case status < 200 || status > 299:
		return refusal(http.MethodDelete, path, status, answer)
	}
	return nil
}
