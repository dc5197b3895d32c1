package artefact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// silence is how long a server may send nothing.
const silence = time.Minute

// validator tells the versions of a file apart (RFC 9110 section 8.8).
type validator struct {
	// Tag is a strong ETag or, where there is none, Last-Modified.
	Tag  string `json:"tag"`
	Size int64  `json:"size"` // 0: not known
}

// download gets the file; of one that it has a part of, the rest.
func (s *Source) download(ctx context.Context, w *workshop, p *Progress) error {
	have, known := w.part()
	if known.Size > 0 && have == known.Size {
		p.Size.Store(have)
		p.Done.Store(have)
		return nil // fetched before, and not installed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(silence, func() { cancel(fmt.Errorf("nothing has come for %s", silence)) })
	defer quiet.Stop()
	resp, err := s.ask(ctx, have, known)
	if err != nil {
		return because(ctx, s, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to the end, or given up
	switch resp.StatusCode {
	case http.StatusOK:
		have = 0
	case http.StatusPartialContent:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(have, 10)+"-") {
			w.discard()
			return fmt.Errorf("source: %s: another range than was asked for: %q", s, resp.Header.Get("Content-Range"))
		}
	case http.StatusRequestedRangeNotSatisfiable:
		w.discard()
		return fmt.Errorf("source: %s: the file has changed; it is fetched anew", s)
	default:
		return fmt.Errorf("source: %s: status %s", s, resp.Status)
	}
	v := validator{Tag: tag(resp.Header), Size: max(0, resp.ContentLength+have)}
	if resp.ContentLength < 0 {
		v.Size = 0
	}
	if err := room(w.dir, 2*v.Size-have); err != nil {
		return err
	}
	if err := w.note(v); err != nil {
		return fmt.Errorf("repository: %w", err)
	}
	p.Size.Store(v.Size)
	p.Done.Store(have)
	return because(ctx, s, s.write(ctx, w, have, resp.Body, quiet, p))
}

// because is err with why ctx has ended, where it has.
func because(ctx context.Context, s *Source, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("source: %s: %w", s, err)
}

func (s *Source) ask(ctx context.Context, have int64, known validator) (*http.Response, error) {
	address, err := s.address(ctx)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "friday")
	if have > 0 && known.Tag != "" {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(have, 10)+"-")
		req.Header.Set("If-Range", known.Tag)
	}
	resp, err := http.DefaultClient.Do(req)
	if cause := errors.Unwrap(err); cause != nil {
		err = cause // without the address, whose query may hold secrets
	}
	return resp, err
}

// write writes the rest of the file behind what is there.
func (s *Source) write(ctx context.Context, w *workshop, have int64, body io.Reader, quiet *time.Timer, p *Progress) (err error) {
	f, err := os.OpenFile(w.path("part"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(have); err != nil {
		return err
	}
	if _, err := f.Seek(have, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(f, &counted{ctx: ctx, r: &heard{body, quiet}, p: p})
	return err
}

// heard puts the timer off whenever something comes.
type heard struct {
	io.Reader

	quiet *time.Timer
}

func (h *heard) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	if n > 0 {
		h.quiet.Reset(silence)
	}
	return n, err
}

// tag is what tells that a file is still the same.
func tag(h http.Header) string {
	if e := h.Get("ETag"); e != "" && !strings.HasPrefix(e, "W/") {
		return e
	}
	return h.Get("Last-Modified")
}

// part is how much there is of the file, and of which.
func (w *workshop) part() (have int64, known validator) {
	b, err := os.ReadFile(w.path("json"))
	if err != nil || json.Unmarshal(b, &known) != nil {
		return 0, validator{}
	}
	info, err := os.Stat(w.path("part"))
	if err != nil {
		return 0, known
	}
	return info.Size(), known
}

func (w *workshop) note(v validator) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(w.path("json"), b, 0o600)
}
