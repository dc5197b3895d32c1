package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
)

// OpenInference is the Open Inference Protocol with its model repository extension
// (https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md),
// as Triton and MLServer have it. Both load whatever versions of a model lie in the
// repository, and let go of those that do not lie there any more; a Triton model that is
// to have two at once needs the version policy "all".
type OpenInference struct{}

var _ API = OpenInference{}

// Name is OPEN_INFERENCE.
func (OpenInference) Name() string { return "OPEN_INFERENCE" }

// Versions is true.
func (OpenInference) Versions() bool { return true }

// Status asks for readiness, and of one that is not ready the index why.
func (OpenInference) Status(ctx context.Context, c *Client, m Model) (Report, error) {
	path := "/v2/models/" + url.PathEscape(m.Name)
	if m.Version != "" {
		path += "/versions/" + url.PathEscape(m.Version)
	}
	status, _, err := c.do(ctx, http.MethodGet, path+"/ready", nil)
	if err != nil {
		return Report{}, err
	}
	if status == http.StatusOK {
		return Report{State: Ready}, nil
	}
	status, answer, err := c.do(ctx, http.MethodPost, "/v2/repository/index", struct{}{})
	if err != nil {
		return Report{}, err
	}
	if status != http.StatusOK {
		return Report{State: Unloaded}, nil
	}
	return indexed(answer, m), nil
}

// indexed finds m in the repository's index.
func indexed(answer []byte, m Model) Report {
	var index []struct{ Name, Version, State, Reason string }
	if json.Unmarshal(answer, &index) != nil {
		return Report{State: Unloaded}
	}
	r := Report{State: Unloaded}
	for _, e := range index {
		if e.Name != m.Name || m.Version != "" && e.Version != "" && e.Version != m.Version {
			continue
		}
		switch e.State {
		case "LOADING":
			return Report{State: Loading}
		case "UNAVAILABLE":
			if e.Reason != "unloaded" {
				r.Reason = e.Reason
			}
		}
	}
	return r
}

// Load loads every version that lies in the repository.
func (OpenInference) Load(ctx context.Context, c *Client, m Model) error {
	return c.order(ctx, "/v2/repository/models/"+url.PathEscape(m.Name)+"/load", struct{}{})
}

// Unload unloads the model, or of a version whose source was fetched only that: what
// does not lie in the repository any more goes when the model is loaded again. A version
// that came otherwise stays.
func (o OpenInference) Unload(ctx context.Context, c *Client, m Model) error {
	switch {
	case m.Version == "":
		return c.order(ctx, "/v2/repository/models/"+url.PathEscape(m.Name)+"/unload", struct{}{})
	case m.Path == "":
		return nil
	}
	if err := os.RemoveAll(m.Path); err != nil {
		return err
	}
	return o.Load(ctx, c, m)
}
