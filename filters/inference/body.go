package inference

import (
	"errors"
	"io"
	"math"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// Whole returns req's whole body without a copy of its own where it is in memory
// already; nil where there is none, it is longer than limit or it has trailers.
// However much was read, req.Body begins at the start afterwards.
func Whole(req *proxy.Request, limit int64) ([]byte, error) { return readBody(req, limit) }

// readBody returns req's whole body; nil where there is none, it is longer than
// limit, it has trailers, or the bodies that are in memory take all that they may. However much was read, req.Body begins at the start
// afterwards; read whole, it is a *proxy.BytesBody, so that trailers would be lost.
func readBody(req *proxy.Request, limit int64) ([]byte, error) { return readInto(&held, req, limit) }

func readInto(m *memory, req *proxy.Request, limit int64) ([]byte, error) {
	if body, ok := req.Body.(*proxy.BytesBody); ok {
		body.Rewind()
		if body.Len() > limit || body.Len() == 0 {
			return nil, nil
		}
		return body.Bytes(), nil
	}
	if length := req.Body.Len(); length == 0 || length > limit {
		return nil, nil
	}
	share := m.share()
	if !share.grow(req.Body.Len() + 1) {
		return nil, nil
	}
	data, err := readUpTo(req.Body, limit, share)
	if !errors.Is(err, io.EOF) {
		share.release()
		req.Body = &replay{prefix: data, rest: req.Body, end: err}
		return nil, err
	}
	if req.Body.Trailer() != nil {
		share.release()
		req.Body = &replay{prefix: data, rest: req.Body, end: io.EOF}
		return nil, nil
	}
	_ = req.Body.Close() // at io.EOF: nothing is given up
	if share.bytes == 0 {
		req.Body = proxy.NewBytesBody(data)
	} else {
		req.Body = proxy.NewHeldBody(data, share.release)
	}
	if len(data) == 0 {
		return nil, nil
	}
	return data, nil
}

const (
	// firstRead bounds what a request's declared length alone may cost.
	firstRead = 64 << 10
	// unknownRead is room for a body whose length is not declared.
	unknownRead = 4 << 10
	// noProgress is how many empty reads in a row are borne.
	noProgress = 100
)

// readUpTo reads body to its end (io.EOF), until it holds more than limit bytes or until
// the share can grow no more (nil). Every other error is the body's. The data is what was read in each case.
func readUpTo(body proxy.Body, limit int64, s *share) ([]byte, error) {
	limit = min(limit, math.MaxInt64-1)
	room := int64(unknownRead)
	if n := body.Len(); n > 0 {
		room = min(n+1, firstRead) // one more, to read io.EOF without growing
	}
	data := make([]byte, 0, room)
	for empty := 0; int64(len(data)) <= limit; {
		if len(data) == cap(data) {
			room := min(int64(cap(data)), limit+1-int64(len(data)))
			if n := body.Len(); n >= int64(len(data)) {
				room = min(room, n+1-int64(len(data)))
			}
			if !s.grow(int64(len(data)) + room) {
				return data, nil
			}
			grown := make([]byte, len(data), int64(len(data))+room)
			copy(grown, data)
			data = grown
		}
		n, err := body.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err != nil {
			return data, err
		}
		if empty++; n > 0 {
			empty = 0
		}
		if empty == noProgress {
			return data, io.ErrNoProgress
		}
	}
	return data, nil
}

// replay is a body of which the first part has been read.
type replay struct {
	prefix []byte
	off    int
	rest   proxy.Body
	end    error // what reading rest ended with; nil: it goes on
}

var _ proxy.Body = (*replay)(nil)

func (r *replay) Read(p []byte) (int, error) {
	switch {
	case r.off < len(r.prefix):
		n := copy(p, r.prefix[r.off:])
		r.off += n
		return n, nil
	case r.end != nil:
		return 0, r.end
	}
	return r.rest.Read(p)
}

func (r *replay) Close() error { return r.rest.Close() }

func (r *replay) Len() int64 { return r.rest.Len() }

func (r *replay) Trailer() *fasthttp.ResponseHeader {
	if r.off < len(r.prefix) {
		return nil
	}
	return r.rest.Trailer()
}
