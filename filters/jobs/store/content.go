package store

import (
	"context"
	"database/sql"
	"errors"
	"io"
)

// Content reads a file's content from its beginning.
func (t Tenant) Content(ctx context.Context, f File) *Content {
	return &Content{t: t, ctx: ctx, id: f.ID, left: f.Bytes}
}

// Content is what a file holds. It is not safe for concurrent use.
type Content struct {
	t    Tenant
	ctx  context.Context //nolint:containedctx // of whoever reads
	id   string
	n    int64
	left int64
	rest []byte
}

var _ io.Reader = (*Content)(nil)

// Read reads the next bytes. A content that is cleared away meanwhile ends early, with
// io.ErrUnexpectedEOF.
func (c *Content) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.left <= 0 {
			return 0, io.EOF
		}
		err := c.t.read(c.ctx, func(tx *tx) error {
			return tx.row("SELECT data FROM chunks WHERE content = ? AND n = ?", []any{c.id, c.n}, &c.rest)
		})
		if errors.Is(err, sql.ErrNoRows) {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		c.n++
		c.left -= int64(len(c.rest))
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
