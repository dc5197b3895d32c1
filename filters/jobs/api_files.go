package jobs

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// fileObject is a file in OpenAI's form. Times are seconds since 1970.
type fileObject struct {
	ID            string  `json:"id"`
	Object        string  `json:"object"`
	Bytes         int64   `json:"bytes"`
	CreatedAt     int64   `json:"created_at"`
	ExpiresAt     int64   `json:"expires_at"`
	Filename      string  `json:"filename"`
	Purpose       string  `json:"purpose"`
	Status        string  `json:"status"`
	StatusDetails *string `json:"status_details"`
}

func showFile(f store.File) fileObject {
	return fileObject{
		ID: f.ID, Object: "file", Bytes: f.Bytes, CreatedAt: f.Created.Unix(), ExpiresAt: f.Expires.Unix(),
		Filename: f.Filename, Purpose: f.Purpose, Status: "processed",
	}
}

func noFile(id string) *refusal {
	return refuse(http.StatusNotFound, "id", "", "No such File object: %s", brief(id))
}

const mostFiles = 10_000

func (c *call) listFiles(ctx context.Context) (*proxy.Response, error) {
	p, values, err := c.page(mostFiles, mostFiles)
	if err != nil {
		return nil, err
	}
	found, more, err := c.tenant.Files(ctx, values.Get("purpose"), p, c.now)
	if err != nil {
		return nil, err
	}
	shown := make([]fileObject, len(found))
	for i, f := range found {
		shown[i] = showFile(f)
	}
	return list(shown, func(f fileObject) string { return f.ID }, more), nil
}

// twiceWithin is how old an equal file may be to be taken for the one that is uploaded: the
// SDKs send a request once more where its answer was lost, without a key.
const twiceWithin = 10 * time.Minute

func (c *call) createFile(ctx context.Context) (*proxy.Response, error) {
	up := c.tenant.Upload(ctx, newID("file-"))
	form, err := readForm(c.req, up)
	f := store.File{Created: c.now}
	if err == nil {
		f.Expires, err = form.expires(c.now, c.config.Retention)
	}
	if err != nil {
		c.abort(ctx, up)
		return nil, err
	}
	f.Purpose, f.Filename = form.purpose, form.filename
	key, err := c.twice("file", up.SHA256(), []byte(f.Purpose), []byte(f.Filename))
	if err != nil {
		c.abort(ctx, up)
		return nil, err
	}
	key.Since = c.now.Add(-twiceWithin)
	f, err = up.Finish(ctx, f, key, c.entry("file.create", "", http.StatusOK))
	if err != nil {
		c.abort(ctx, up)
		return nil, err
	}
	return jsonResponse(http.StatusOK, showFile(f)), nil
}

// abort gives an upload up. Where that fails it is found later.
func (c *call) abort(ctx context.Context, up *store.Upload) {
	if err := up.Abort(context.WithoutCancel(ctx)); err != nil {
		c.state.failed("an upload cannot be given up", err)
	}
}

func (c *call) getFile(ctx context.Context) (*proxy.Response, error) {
	f, err := c.fileOf(ctx)
	if err != nil {
		return nil, err
	}
	return jsonResponse(http.StatusOK, showFile(f)), nil
}

func (c *call) fileOf(ctx context.Context) (store.File, error) {
	f, err := c.tenant.File(ctx, c.r.id, c.now)
	if errors.Is(err, store.ErrNotFound) {
		return f, noFile(c.r.id)
	}
	return f, err
}

func (c *call) deleteFile(ctx context.Context) (*proxy.Response, error) {
	err := c.tenant.DeleteFile(ctx, c.r.id, c.entry("file.delete", c.r.id, http.StatusOK))
	if errors.Is(err, store.ErrNotFound) {
		return nil, noFile(c.r.id)
	}
	if err != nil {
		return nil, err
	}
	return jsonResponse(http.StatusOK, struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Deleted bool   `json:"deleted"`
	}{c.r.id, "file", true}), nil
}

func (c *call) readFile(ctx context.Context) (*proxy.Response, error) {
	f, err := c.fileOf(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.tenant.Record(ctx, c.entry("file.read", f.ID, http.StatusOK)); err != nil {
		return nil, err
	}
	resp := proxy.NewResponse()
	resp.Header.SetStatusCode(http.StatusOK)
	resp.Header.SetContentType("application/octet-stream")
	resp.Body = &contentBody{r: c.tenant.Content(ctx, f), length: f.Bytes}
	return resp, nil
}

// contentBody is a file's content on its way to a caller.
type contentBody struct {
	r      *store.Content
	length int64
}

var _ proxy.Body = (*contentBody)(nil)

func (b *contentBody) Read(p []byte) (int, error)        { return b.r.Read(p) }
func (b *contentBody) Close() error                      { return nil }
func (b *contentBody) Len() int64                        { return b.length }
func (b *contentBody) Trailer() *fasthttp.ResponseHeader { return nil }

// limited reads at most so many bytes, and bears what reads nothing.
type limited struct {
	r    io.Reader
	left int
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.EOF
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
