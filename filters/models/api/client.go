package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// maxAnswer is how much of a server's answer is read.
const maxAnswer = 4 << 20

// Client speaks to one server.
type Client struct {
	// Endpoint is the server. What is asked goes over the cluster's own connections.
	Endpoint *proxy.Endpoint
	// Management is the port of TorchServe's management API, on the same host.
	Management uint32
	// Health is the path that tells whether a server of no other kind is ready.
	Health string
}

// do sends a request, with a body of JSON where value is not nil, and reads the answer.
// The error is that there was none.
func (c *Client) do(ctx context.Context, method, path string, value any) (status int, answer []byte, err error) {
	var body []byte
	if value != nil {
		if body, err = json.Marshal(value); err != nil {
			return 0, nil, err
		}
	}
	return c.Send(ctx, method, path, "application/json", body)
}

// Send sends a request and reads the answer, up to some MiB. The error is that there was
// none.
func (c *Client) Send(ctx context.Context, method, path, contentType string, body []byte) (status int, answer []byte, err error) {
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(method)
	h.SetRequestURI(path)
	h.SetHost(c.Endpoint.Address)
	h.Set("accept-encoding", "identity")
	h.Set("user-agent", "friday")
	req := &proxy.Request{
		Header: h, Body: proxy.NoBody, Protocol: "http1", Start: time.Now(),
		Cluster: c.Endpoint.Cluster, Endpoint: c.Endpoint,
	}
	if body != nil {
		h.SetContentType(contentType)
		h.SetContentLength(len(body))
		req.Body = proxy.NewBytesBody(body)
	} else if method == http.MethodPost {
		h.SetContentLength(0)
	}
	resp, err := c.Endpoint.Handler.Handle(ctx, req)
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Close() //nolint:errcheck // read to the end, or given up
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
	}
	if len(answer) == maxAnswer { // the rest is of no interest, but has to come
		if _, err = io.Copy(io.Discard, resp.Body); err != nil {
			return 0, nil, fmt.Errorf("%s %s: reading the answer: %w", method, path, err)
		}
	}
	return resp.Header.StatusCode(), answer, nil
}

// get asks for JSON.
func (c *Client) get(ctx context.Context, path string, into any) (status int, err error) {
	status, answer, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return 0, err
	}
	if status == http.StatusOK {
		if err := json.Unmarshal(answer, into); err != nil {
			return 0, fmt.Errorf("GET %s: not JSON: %w", path, err)
		}
	}
	return status, nil
}

// order has the server do something, and is nil where it says that it does.
func (c *Client) order(ctx context.Context, path string, value any) error {
	status, answer, err := c.do(ctx, http.MethodPost, path, value)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return refusal(http.MethodPost, path, status, answer)
	}
	return nil
}

// manage speaks to the management port. It is another address than the cluster's, and
// seldom called, so it has connections of its own.
func (c *Client) manage(ctx context.Context, method, path string) (status int, answer []byte, err error) {
	host, _, err := net.SplitHostPort(c.Endpoint.Address)
	if err != nil {
		return 0, nil, err
	}
	url := "http://" + net.JoinHostPort(host, strconv.FormatUint(uint64(c.Management), 10)) + path
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(nil))
	if err != nil {
		return 0, nil, err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, answer, err
}
