package api

import (
	"context"
	"net/http"
)

// Health is for servers that load by themselves: their models are ready when they say
// that they are.
type Health struct{}

var _ API = Health{}

// Name is HEALTH.
func (Health) Name() string { return "HEALTH" }

// Versions is false.
func (Health) Versions() bool { return false }

// Status is Ready where the path is answered with 200, else Loading.
func (Health) Status(ctx context.Context, c *Client, _ Model) (Report, error) {
	status, answer, err := c.do(ctx, http.MethodGet, c.Health, nil)
	if err != nil {
		return Report{}, err
	}
	if status == http.StatusOK {
		return Report{State: Ready}, nil
	}
	return Report{State: Loading, Reason: refusal(http.MethodGet, c.Health, status, answer).Error()}, nil
}

// Load has nothing to do: the server loads by itself.
func (Health) Load(context.Context, *Client, Model) error { return nil }

// Unload is not to be had.
func (Health) Unload(context.Context, *Client, Model) error { return ErrCannot }
