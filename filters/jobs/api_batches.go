package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// batchObject is a batch in OpenAI's form. Times are seconds since 1970.
type batchObject struct {
	ID               string          `json:"id"`
	Object           string          `json:"object"`
	Endpoint         string          `json:"endpoint"`
	Errors           *batchErrors    `json:"errors"`
	InputFileID      string          `json:"input_file_id"`
	CompletionWindow string          `json:"completion_window"`
	Status           store.Status    `json:"status"`
	OutputFileID     *string         `json:"output_file_id"`
	ErrorFileID      *string         `json:"error_file_id"`
	CreatedAt        int64           `json:"created_at"`
	InProgressAt     *int64          `json:"in_progress_at"`
	ExpiresAt        *int64          `json:"expires_at"`
	FinalizingAt     *int64          `json:"finalizing_at"`
	CompletedAt      *int64          `json:"completed_at"`
	FailedAt         *int64          `json:"failed_at"`
	ExpiredAt        *int64          `json:"expired_at"`
	CancellingAt     *int64          `json:"cancelling_at"`
	CancelledAt      *int64          `json:"cancelled_at"`
	RequestCounts    requestCounts   `json:"request_counts"`
	Metadata         json.RawMessage `json:"metadata"`
}

type batchErrors struct {
	Object string          `json:"object"`
	Data   json.RawMessage `json:"data"`
}

type requestCounts struct {
	Total     int64 `json:"total"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
}

const window = "24h"

func showBatch(j store.Job) batchObject {
	at := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		n := t.Unix()
		return &n
	}
	named := func(id string) *string {
		if id == "" {
			return nil
		}
		return &id
	}
	b := batchObject{
		ID: j.ID, Object: "batch", Endpoint: j.Endpoint, InputFileID: j.Input, CompletionWindow: window, Status: j.Status,
		OutputFileID: named(j.Output), ErrorFileID: named(j.ErrorFile), CreatedAt: j.Created.Unix(), InProgressAt: at(j.InProgress),
		ExpiresAt: at(j.Expires), FinalizingAt: at(j.Finalizing), CancellingAt: at(j.Cancelling),
		RequestCounts: requestCounts{j.Total, j.Completed, j.Failed}, Metadata: j.Metadata,
	}
	switch j.Status {
	case store.Completed:
		b.CompletedAt = at(j.Ended)
	case store.Failed:
		b.FailedAt = at(j.Ended)
	case store.Expired:
		b.ExpiredAt = at(j.Ended)
	case store.Cancelled:
		b.CancelledAt = at(j.Ended)
	default:
	}
	if len(j.Errors) > 0 {
		b.Errors = &batchErrors{"list", j.Errors}
	}
	return b
}

func noBatch(id string) *refusal {
	return refuse(http.StatusNotFound, "id", "", "No batch found with id '%s'.", brief(id))
}

func (c *call) listBatches(ctx context.Context) (*proxy.Response, error) {
	p, _, err := c.page(20, 100)
	if err != nil {
		return nil, err
	}
	found, more, err := c.tenant.Jobs(ctx, store.Batch, p)
	if err != nil {
		return nil, err
	}
	shown := make([]batchObject, len(found))
	for i, j := range found {
		shown[i] = showBatch(j)
	}
	return list(shown, func(b batchObject) string { return b.ID }, more), nil
}

// batchRequest is what a batch is created with.
type batchRequest struct {
	InputFileID      string            `json:"input_file_id"`
	Endpoint         string            `json:"endpoint"`
	CompletionWindow string            `json:"completion_window"`
	Metadata         map[string]string `json:"metadata"`
	OutputExpires    *struct {
		Anchor  string `json:"anchor"`
		Seconds int    `json:"seconds"`
	} `json:"output_expires_after"`
}

// parseBatch reads and checks the body of a request to create a batch.
func parseBatch(text []byte) (*batchRequest, error) {
	b := new(batchRequest)
	if err := json.Unmarshal(text, b); err != nil {
		return nil, refuse(http.StatusBadRequest, "", "invalid_json", "The body cannot be read: %s.", brief(reasonOf(err)))
	}
	missing := func(name string) error {
		return refuse(http.StatusBadRequest, name, "missing_required_parameter", "Missing required parameter: '%s'.", name)
	}
	switch {
	case b.InputFileID == "":
		return nil, missing("input_file_id")
	case b.Endpoint == "":
		return nil, missing("endpoint")
	case b.CompletionWindow == "":
		return nil, missing("completion_window")
	case b.CompletionWindow != window:
		return nil, refuse(http.StatusBadRequest, "completion_window", "invalid_value", "Invalid value: '%s'. Supported values are: '24h'.", brief(b.CompletionWindow))
	case !sendable(b.Endpoint):
		return nil, refuse(http.StatusBadRequest, "endpoint", "invalid_value", "Invalid value: '%s'. It must be the path of an endpoint of the server, such as '/v1/embeddings'.", brief(b.Endpoint))
	case len(b.Metadata) > 16:
		return nil, refuse(http.StatusBadRequest, "metadata", "too_many_properties", "Invalid 'metadata': more than 16 properties.")
	}
	for k, v := range b.Metadata {
		if len(k) > 64 || len(v) > 512 {
			return nil, refuse(http.StatusBadRequest, "metadata", "string_above_max_length", "Invalid 'metadata': keys have at most 64 bytes, values 512.")
		}
	}
	if e := b.OutputExpires; e != nil {
		if _, err := expiry(time.Time{}, e.Anchor, e.Seconds, true, "output_expires_after"); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// sendable says that lines can be sent to a path: to none of the API itself, and to none
// that is another once it is normalised, for lines do not pass the listener's edge.
func sendable(path string) bool {
	if len(path) > 512 || path[0] != '/' || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`#?%\;`, r) }) {
		return false
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(path[1:], "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return route([]byte(path)).kind == none
}

func (c *call) createBatch(ctx context.Context) (*proxy.Response, error) {
	text, err := c.readBody(1 << 20)
	if err != nil {
		return nil, err
	}
	b, err := parseBatch(text)
	if err != nil {
		return nil, err
	}
	if _, err := c.tenant.File(ctx, b.InputFileID, c.now); errors.Is(err, store.ErrNotFound) {
		return nil, refuse(http.StatusNotFound, "input_file_id", "", "No such File object: %s", brief(b.InputFileID))
	} else if err != nil {
		return nil, err
	}
	metadata, err := json.Marshal(b.Metadata)
	if err != nil {
		return nil, err
	}
	retention := c.config.Retention
	if e := b.OutputExpires; e != nil {
		retention = time.Duration(e.Seconds) * time.Second
	}
	key, err := c.twice("batch", []byte(c.origin), []byte(b.InputFileID), []byte(b.Endpoint), metadata, []byte(retention.String()))
	if err != nil {
		return nil, err
	}
	j, err := c.tenant.Create(ctx, store.Job{
		ID: newID("batch_"), Kind: store.Batch, Origin: c.origin, Endpoint: b.Endpoint, Input: b.InputFileID, Metadata: metadata,
		Headers: c.credentials(), Digest: key.Digest, MaxAttempts: c.config.MaxAttempts, Retention: retention,
		Status: store.Validating, Created: c.now, Expires: c.now.Add(c.state.window), Creator: c.req.Span.Traceparent(),
	}, nil, key, c.entry("batch.create", "", http.StatusOK))
	if err != nil {
		return nil, err
	}
	c.state.wake(c.origin)
	return jsonResponse(http.StatusOK, showBatch(j)), nil
}

// credentials are what the lines of a batch are sent with.
func (c *call) credentials() (out [][2]string) {
	out = append(out, [2]string{"host", string(c.req.Header.Host())})
	names := append(settings.CredentialHeaders(), c.config.TenantHeader)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, v := range proxy.FieldValues(c.req.Header, name) {
			out = append(out, [2]string{name, v})
		}
	}
	return out
}

// mostKey bounds an Idempotency-Key.
const mostKey = 255

// twice is how the request is known if it comes twice: by the caller's key and what it
// asks for.
func (c *call) twice(kind string, parts ...[]byte) (store.Twice, error) {
	h := sha256.New()
	for _, b := range append(parts, []byte(kind)) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	t := store.Twice{Digest: h.Sum(nil)}
	t.Key, _ = proxy.FieldValue(c.req.Header, "idempotency-key")
	if len(t.Key) > mostKey {
		return t, refuse(http.StatusBadRequest, "Idempotency-Key", "invalid_value", "The Idempotency-Key is longer than %d bytes.", mostKey)
	}
	return t, nil
}

func (c *call) getBatch(ctx context.Context) (*proxy.Response, error) {
	j, err := c.tenant.Job(ctx, store.Batch, c.r.id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noBatch(c.r.id)
	}
	if err != nil {
		return nil, err
	}
	return jsonResponse(http.StatusOK, showBatch(j)), nil
}

func (c *call) cancelBatch(ctx context.Context) (*proxy.Response, error) {
	j, err := c.tenant.Cancel(ctx, store.Batch, c.r.id, c.entry("batch.cancel", c.r.id, http.StatusOK))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, noBatch(c.r.id)
	case errors.Is(err, store.ErrEnded): // 409 would have the SDKs ask again
		return nil, refuse(http.StatusBadRequest, "", "invalid_state", "Cannot cancel a batch with status '%s'.", j.Status)
	case err != nil:
		return nil, err
	}
	c.state.dropped(j.Origin, j.Seq)
	return jsonResponse(http.StatusOK, showBatch(j)), nil
}
