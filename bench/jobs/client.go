package jobs

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Endpoint is where the lines go.
const Endpoint = "/v1/embeddings"

// Client speaks the Batch API to a sidecar. A request that is refused because the sidecar
// is away is sent again until the context ends, with the same Idempotency-Key.
type Client struct {
	// Address is host:port.
	Address string
	// Authorization, where not empty, says who it is.
	Authorization string
	HTTP          *http.Client
}

// Batch is what is looked at of a batch.
type Batch struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	OutputFileID string `json:"output_file_id"`
	ErrorFileID  string `json:"error_file_id"`
	Counts       struct {
		Total, Completed, Failed int
	} `json:"request_counts"`
}

// Lines are the input of n lines, of about 100 bytes each.
func Lines(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"custom_id":"%d","method":"POST","url":"`+Endpoint+`","body":{"model":"m","input":"text %d"}}`+"\n", i, i)
	}
	return b.Bytes()
}

// Upload sends a file and returns its id.
func (c *Client) Upload(ctx context.Context, content []byte, key string) (string, error) {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "lines.jsonl")
	if err != nil {
		return "", err
	}
	_, err = part.Write(content)
	if err = errors.Join(err, w.WriteField("purpose", "batch"), w.Close()); err != nil {
		return "", err
	}
	var f struct{ ID string }
	err = c.ask(ctx, http.MethodPost, "/v1/files", w.FormDataContentType(), form.Bytes(), key, &f)
	return f.ID, err
}

// Create makes a batch of a file. n tells it from others of that file.
func (c *Client) Create(ctx context.Context, file string, n int, key string) (b Batch, err error) {
	text := fmt.Sprintf(`{"input_file_id":%q,"endpoint":%q,"completion_window":"24h","metadata":{"n":%q}}`, file, Endpoint, strconv.Itoa(n))
	err = c.ask(ctx, http.MethodPost, "/v1/batches", "application/json", []byte(text), key, &b)
	return b, err
}

// Get asks how a batch is.
func (c *Client) Get(ctx context.Context, id string) (b Batch, err error) {
	err = c.ask(ctx, http.MethodGet, "/v1/batches/"+id, "", nil, "", &b)
	return b, err
}

// Await waits for a batch's end.
func (c *Client) Await(ctx context.Context, id string, poll time.Duration) (b Batch, err error) {
	for {
		if b, err = c.Get(ctx, id); err != nil {
			return b, err
		}
		switch b.Status {
		case "completed", "failed", "expired", "cancelled":
			return b, nil
		}
		if err := sleep(ctx, poll); err != nil {
			return b, fmt.Errorf("%s is %s, %d of %d done: %w", id, b.Status, b.Counts.Completed, b.Counts.Total, err)
		}
	}
}

// Results says how often each of n lines has a result in a file: once each is right.
func (c *Client) Results(ctx context.Context, file string, n int) (times []int, err error) {
	var content string
	if err := c.ask(ctx, http.MethodGet, "/v1/files/"+file+"/content", "", nil, "", &content); err != nil {
		return nil, err
	}
	times = make([]int, n)
	for s := bufio.NewScanner(strings.NewReader(content)); s.Scan(); {
		var line struct {
			CustomID string `json:"custom_id"`
			Response struct {
				Status int `json:"status_code"`
			} `json:"response"`
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%q: %w", s.Text(), err)
		}
		i, err := strconv.Atoi(line.CustomID)
		if err != nil || i < 0 || i >= n || line.Response.Status != http.StatusOK {
			return nil, fmt.Errorf("unexpected result %q", s.Text())
		}
		times[i]++
	}
	return times, nil
}

// ask gets an answer into value: JSON, or text where value is a *string.
func (c *Client) ask(ctx context.Context, method, path, kind string, body []byte, key string, value any) error {
	for {
		again, err := c.try(ctx, method, path, kind, body, key, value)
		if err == nil || !again {
			return err
		}
		if late := sleep(ctx, 20*time.Millisecond); late != nil {
			return errors.Join(late, err)
		}
	}
}

func (c *Client) try(ctx context.Context, method, path, kind string, body []byte, key string, value any) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.Address+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	for name, v := range map[string]string{"Content-Type": kind, "Idempotency-Key": key, "Authorization": c.Authorization} {
		if v != "" {
			req.Header.Set(name, v)
		}
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return ctx.Err() == nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return ctx.Err() == nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode == http.StatusServiceUnavailable, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, text)
	}
	if s, ok := value.(*string); ok {
		*s = string(text)
		return false, nil
	}
	return false, json.Unmarshal(text, value)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
