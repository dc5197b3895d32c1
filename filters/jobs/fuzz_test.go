package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

// Whatever a file holds: a line is valid, or there is a problem with its number.
func FuzzInput(f *testing.F) {
	f.Add([]byte(lines(3)), "/v1/embeddings")
	f.Add([]byte("\xef\xbb\xbf{}\r\n[]\n\n\"x\"\nnull\n{\"custom_id\":1}"), "/x")
	f.Add([]byte(`{"custom_id":"a","method":"POST","url":"/x","body":{"a":1e400}}`+"\n"+`{"custom_id":"a","method":"POST","url":"/x","body":{}}`), "/x")
	f.Fuzz(func(t *testing.T, text []byte, endpoint string) {
		in := newInput(bytes.NewReader(text), endpoint)
		ids := map[string]bool{}
		for {
			l, ok, err := in.next()
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
			if !ok {
				continue
			}
			require.False(t, ids[l.CustomID])
			ids[l.CustomID] = true
			require.True(t, json.Valid(l.Body))
			require.Equal(t, byte('{'), l.Body[0])
		}
		require.LessOrEqual(t, in.number, int64(bytes.Count(text, []byte("\n"))+1))
		for _, p := range in.problems {
			require.NotEmpty(t, p.Code)
			require.NotEmpty(t, p.Message)
			require.Positive(t, *p.Line)
		}
		require.Equal(t, in.count, int64(len(ids)+len(in.problems)))
	})
}

// Whatever a server answers is one line of JSON in the end.
func FuzzOutput(f *testing.F) {
	f.Add([]byte("{\"a\": 1.50,\n \"b\": [1e400]}"), "id", 200)
	f.Add([]byte("data: x\n\n\xff"), "<script>\u2028", 500)
	f.Add([]byte(nil), "", 0)
	f.Fuzz(func(t *testing.T, body []byte, id string, status int) {
		out := outputLine(&store.Job{Seq: 7}, &store.Output{N: 3, CustomID: id, Result: &store.Result{N: 3, Status: status, Body: body}})
		require.Equal(t, 1, bytes.Count(out, []byte("\n")), "%q", out)
		require.True(t, json.Valid(out), "%q", out)
	})
}

// Whatever is asked for with a batch: it is taken, or refused in words.
func FuzzBatchRequest(f *testing.F) {
	f.Add([]byte(`{"input_file_id":"file-1","endpoint":"/v1/embeddings","completion_window":"24h","metadata":{"a":"b"},"output_expires_after":{"anchor":"created_at","seconds":3600}}`))
	f.Add([]byte(`{"input_file_id":1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := parseBatch(text)
		if err != nil {
			r, ok := errors.AsType[*refusal](err)
			require.True(t, ok)
			require.NotEmpty(t, r.message)
			require.Equal(t, 400, r.status)
			return
		}
		require.Equal(t, byte('/'), b.Endpoint[0])
		require.Equal(t, none, route([]byte(b.Endpoint)).kind, "lines must not come back here")
	})
}

// Whatever a path is: the API's, or nothing of it.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/v1/files", "/v1/files/a/content?x=1", "/v1/batches//cancel", "/v1/jobs/x/", "/v1/f", "*", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, uri []byte) {
		r := route(uri)
		if r.kind != none {
			require.True(t, bytes.HasPrefix(uri, []byte("/v1/")))
			require.Equal(t, r.kind != files && r.kind != batches, r.id != "")
			require.NotContains(t, r.id, "/")
		}
	})
}

type discard struct{ n int64 }

func (d *discard) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }
func (d *discard) Bytes() int64                { return d.n }

// Whatever is uploaded: a form with a file, or refused in words.
func FuzzForm(f *testing.F) {
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nabc\r\n--b--\r\n"))
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nabc"))
	f.Add("text/plain", []byte(""))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		req := filtertest.Request("/v1/files", "")
		req.Header.SetContentType(kind)
		req.Body = proxy.NewBytesBody(body)
		form, err := readForm(req, new(discard))
		if err != nil {
			_, ok := errors.AsType[*refusal](err)
			require.True(t, ok, "%v", err)
			return
		}
		require.Equal(t, "batch", form.purpose)
	})
}

// Whatever a server asks to wait is within bounds.
func FuzzRetryAfter(f *testing.F) {
	f.Add("3")
	f.Add("Fri, 31 Dec 1999 23:59:59 GMT")
	f.Add("-1")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, value string) {
		d := retryAfter(value, time.Now())
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, mostAsked)
	})
}

func TestPrefersAsync(t *testing.T) {
	for value, want := range map[string]bool{
		"respond-async": true, "Respond-Async, wait=10": true, "wait=10,respond-async; x=1": true, "return=minimal": false, "": false, "respond-asynchronously": false,
	} {
		require.Equal(t, want, prefersAsync(strings.Split(value, "|")), value)
	}
}
