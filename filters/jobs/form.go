package jobs

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/filters/jobs/store"
	"github.com/fridaymesh/friday/proxy"
)

const (
	// mostField bounds a field of a form, mostFields how many there are.
	mostField  = 4 << 10
	mostFields = 16
	// The least and the most that expires_after may say, in seconds.
	leastExpiry, mostExpiry = 3600, 2_592_000
)

// form is what is uploaded, without the file's content.
type form struct {
	purpose, filename string
	anchor, seconds   string
	file              bool
}

// upload is where a file's content goes.
type upload interface {
	io.Writer
	// Bytes is how much has been written.
	Bytes() int64
}

var _ upload = (*store.Upload)(nil)

// readForm reads an upload, the file's content into content.
func readForm(req *proxy.Request, content upload) (*form, error) {
	kind, params, err := mime.ParseMediaType(string(req.Header.ContentType()))
	if err != nil || kind != "multipart/form-data" || params["boundary"] == "" {
		return nil, refuse(http.StatusBadRequest, "", "invalid_content_type", "The Content-Type must be multipart/form-data with a boundary.")
	}
	if req.Body.Len() > mostBytes+1<<20 {
		return nil, tooLarge()
	}
	r := multipart.NewReader(req.Body, params["boundary"])
	f := new(form)
	for range mostFields {
		part, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return f, f.check()
		}
		if err != nil {
			return nil, malformed(err)
		}
		if err := f.read(part, content); err != nil {
			return nil, err
		}
	}
	return nil, refuse(http.StatusBadRequest, "", "invalid_form", "The form has more than %d parts.", mostFields)
}

// malformed tells a form that is none from one that did not come.
func malformed(err error) error {
	text := err.Error()
	if _, ours := errors.AsType[*proxy.Error](err); !ours && (strings.HasPrefix(text, "multipart: ") || strings.HasPrefix(text, "malformed MIME") || errors.Is(err, io.ErrUnexpectedEOF)) {
		return refuse(http.StatusBadRequest, "", "invalid_form", "The form cannot be read: %s.", brief(text))
	}
	return unread(err)
}

func tooLarge() *refusal {
	return refuse(http.StatusRequestEntityTooLarge, "file", "file_too_large", "The file is larger than %d bytes.", mostBytes)
}

func (f *form) read(part *multipart.Part, content upload) error {
	name := part.FormName()
	if name == "file" {
		if f.file {
			return refuse(http.StatusBadRequest, "file", "invalid_form", "One file at a time.")
		}
		f.file, f.filename = true, part.FileName()
		return f.readFile(part, content)
	}
	var value strings.Builder
	if _, err := io.Copy(&value, io.LimitReader(part, mostField+1)); err != nil {
		return malformed(err)
	}
	if value.Len() > mostField {
		return refuse(http.StatusBadRequest, brief(name), "invalid_form", "The field is longer than %d bytes.", mostField)
	}
	switch name {
	case "purpose":
		f.purpose = value.String()
	case "expires_after[anchor]":
		f.anchor = value.String()
	case "expires_after[seconds]":
		f.seconds = value.String()
	default:
		return refuse(http.StatusBadRequest, brief(name), "unknown_parameter", "Unknown parameter: '%s'.", brief(name))
	}
	return nil
}

func (f *form) readFile(part io.Reader, content upload) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := part.Read(buf)
		if content.Bytes()+int64(n) > mostBytes {
			return tooLarge()
		}
		if n > 0 {
			if _, err := content.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF { // Part's own; a body that is cut short ends otherwise
			return nil
		}
		if err != nil {
			return malformed(err)
		}
	}
}

func (f *form) check() error {
	switch {
	case !f.file:
		return refuse(http.StatusBadRequest, "file", "missing_required_parameter", "Missing required parameter: 'file'.")
	case f.purpose == "":
		return refuse(http.StatusBadRequest, "purpose", "missing_required_parameter", "Missing required parameter: 'purpose'.")
	case f.purpose != "batch":
		return refuse(http.StatusBadRequest, "purpose", "invalid_value", "Invalid value: '%s'. Supported values are: 'batch'.", brief(f.purpose))
	case len(f.filename) > 1024:
		return refuse(http.StatusBadRequest, "file", "invalid_value", "The filename is longer than 1024 bytes.")
	}
	return nil
}

// expires is when the file does.
func (f *form) expires(now time.Time, usual time.Duration) (time.Time, error) {
	if f.anchor == "" && f.seconds == "" {
		return now.Add(usual), nil
	}
	n, err := strconv.Atoi(f.seconds)
	return expiry(now, f.anchor, n, err == nil, "expires_after")
}

func expiry(now time.Time, anchor string, seconds int, ok bool, param string) (time.Time, error) {
	if anchor != "created_at" {
		return now, refuse(http.StatusBadRequest, param+".anchor", "invalid_value", "Invalid value: '%s'. Supported values are: 'created_at'.", brief(anchor))
	}
	if !ok || seconds < leastExpiry || seconds > mostExpiry {
		return now, refuse(http.StatusBadRequest, param+".seconds", "invalid_value", "It must be %d to %d.", leastExpiry, mostExpiry)
	}
	return now.Add(time.Duration(seconds) * time.Second), nil
}
