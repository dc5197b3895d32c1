package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"time"
)

// File is a file's description.
type File struct {
	ID, Purpose, Filename string
	Bytes                 int64
	SHA256                []byte
	Created, Expires      time.Time
}

const fileColumns = "id, purpose, filename, bytes, sha256, created_at, expires_at"

func scanFile(scan scan) (f File, err error) {
	var created, expires int64
	err = scan(&f.ID, &f.Purpose, &f.Filename, &f.Bytes, &f.SHA256, &created, &expires)
	f.Created, f.Expires = moment(created), moment(expires)
	return f, err
}

// File finds one that has not expired.
func (t Tenant) File(ctx context.Context, id string, now time.Time) (f File, err error) {
	q := t.of("SELECT "+fileColumns+" FROM files", nil, "id = ? AND expires_at > ?", "", id, millis(now))
	return scanFile(func(into ...any) error { return t.one(ctx, q, into...) })
}

// Files lists those that have not expired, of one purpose unless it is empty. more says
// that there are others after the page.
func (t Tenant) Files(ctx context.Context, purpose string, p Page, now time.Time) (files []File, more bool, err error) {
	condition, args := "expires_at > ?", []any{millis(now)}
	if purpose != "" {
		condition, args = "purpose = ? AND "+condition, append([]any{purpose}, args...)
	}
	err = t.page(ctx, fileColumns, "files", condition, args, p, func(scan scan) error {
		f, err := scanFile(scan)
		files = append(files, f)
		return err
	})
	if len(files) > p.Limit {
		return files[:p.Limit], true, err
	}
	return files, false, err
}

// DeleteFile forgets a file. Its content is cleared away later.
func (t Tenant) DeleteFile(ctx context.Context, id string, e Entry) error {
	return t.write(ctx, func(tx *tx) error {
		q := t.of("DELETE FROM files", nil, "id = ?", "", id)
		n, err := tx.exec(q.text, q.args...)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		if err := tx.doom(content, id); err != nil {
			return err
		}
		return tx.record(t.id, e)
	})
}

// chunkBytes is how much of a content stands in a row.
const chunkBytes = 256 << 10

// Upload is a content on its way in, under the id that its file will have. Write it, then
// call Finish or Abort, one goroutine at a time.
type Upload struct {
	t      Tenant
	ctx    context.Context //nolint:containedctx // of whoever uploads
	id     string
	buffer bytes.Buffer
	hash   hash.Hash
	bytes  int64
	n      int64
}

var _ io.Writer = (*Upload)(nil)

// Upload begins a content.
func (t Tenant) Upload(ctx context.Context, id string) *Upload {
	return &Upload{t: t, ctx: ctx, id: id, hash: sha256.New()}
}

// Bytes is how much has been written.
func (u *Upload) Bytes() int64 { return u.bytes }

// SHA256 is of what has been written.
func (u *Upload) SHA256() []byte { return u.hash.Sum(nil) }

// Write takes p in.
func (u *Upload) Write(p []byte) (int, error) {
	written := len(p)
	u.bytes += int64(written)
	u.hash.Write(p)
	for len(p) > 0 {
		n := min(len(p), chunkBytes-u.buffer.Len())
		u.buffer.Write(p[:n])
		p = p[n:]
		if u.buffer.Len() == chunkBytes {
			if err := u.flush(); err != nil {
				return 0, err
			}
		}
	}
	return written, nil
}

// flush writes a chunk of a content whose file is yet to come.
func (u *Upload) flush() error {
	return u.t.write(u.ctx, func(tx *tx) error {
		_, err := tx.exec("INSERT INTO uploads (content, touched_at) VALUES (?, ?) ON CONFLICT (content) DO UPDATE SET touched_at = excluded.touched_at", u.id, millis(time.Now()))
		if err != nil {
			return err
		}
		return u.last(tx)
	})
}

// last writes what is in the buffer.
func (u *Upload) last(tx *tx) error {
	if u.buffer.Len() == 0 {
		return nil
	}
	if _, err := tx.exec("INSERT INTO chunks (content, n, data) VALUES (?, ?, ?)", u.id, u.n, u.buffer.Bytes()); err != nil {
		return err
	}
	tx.then(func() {
		u.n++
		u.buffer.Reset()
	})
	return nil
}

// Abort gives the content up.
func (u *Upload) Abort(ctx context.Context) error {
	if u.n == 0 {
		return nil
	}
	return u.t.write(ctx, func(tx *tx) error { return tx.doom(content, u.id) })
}

// Twice is how a request that is sent twice is known.
type Twice struct {
	// Key is the caller's Idempotency-Key; empty: none.
	Key string
	// Digest is of the request.
	Digest []byte
	// Since is how old an equal one may be to be taken for this one; zero: none is.
	Since time.Time
}

// Finish makes the file, and returns it, or the one that an earlier request for the same
// has made.
func (u *Upload) Finish(ctx context.Context, f File, twice Twice, e Entry) (made File, err error) {
	f.ID, f.Bytes, f.SHA256 = u.id, u.bytes, u.SHA256()
	err = u.t.write(ctx, func(tx *tx) error {
		if err := tx.inTurn(u.t); err != nil {
			return err
		}
		made = f
		there, err := u.t.fileBefore(tx, f, twice)
		if err != nil {
			return err
		}
		if there.ID != "" {
			made = there
			return tx.doom(content, u.id)
		}
		if err := u.last(tx); err != nil {
			return err
		}
		if _, err := tx.exec("DELETE FROM uploads WHERE content = ?", u.id); err != nil {
			return err
		}
		if err := tx.insertFile(u.t.id, f); err != nil {
			return err
		}
		if err := tx.keep(u.t, twice, f.ID, f.Created); err != nil {
			return err
		}
		e.Object = f.ID
		return tx.record(u.t.id, e)
	})
	return made, err
}

// fileBefore is the file that an equal request has made; its id is empty: none has.
func (t Tenant) fileBefore(tx *tx, f File, twice Twice) (there File, err error) {
	id, err := tx.known(t, twice)
	if err != nil {
		return there, err
	}
	q := t.of("SELECT "+fileColumns+" FROM files", nil, "id = ? AND expires_at > ?", "", id, millis(f.Created))
	if id == "" {
		q = t.of("SELECT "+fileColumns+" FROM files", nil,
			"sha256 = ? AND purpose = ? AND filename = ? AND created_at > ? AND expires_at - created_at = ?", "ORDER BY seq DESC LIMIT 1",
			f.SHA256, f.Purpose, f.Filename, millis(twice.Since), f.Expires.Sub(f.Created).Milliseconds())
		if twice.Since.IsZero() {
			return there, nil
		}
	}
	there, err = scanFile(func(into ...any) error { return tx.oneOf(q, into...) })
	if Ours(err) {
		return File{}, nil
	}
	return there, err
}

func (t *tx) insertFile(tenant string, f File) error {
	_, err := t.exec("INSERT INTO files (id, tenant, purpose, filename, bytes, sha256, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		f.ID, tenant, f.Purpose, f.Filename, f.Bytes, f.SHA256, millis(f.Created), millis(f.Expires))
	return err
}
