// Package accesslog writes the access logs that a configuration asks for: a line for each
// request, in the configuration's own format, to a file or to standard output. (The log
// in Friday's own format is proxy/telemetry's.)
package accesslog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/fridaymesh/friday/proxy/format"
)

// Config is one access log: exactly one of Text and JSON.
type Config struct {
	// Path is the file's, or /dev/stdout or /dev/stderr.
	Path string
	Text *format.Formatter
	JSON *format.JSON
	// When, where not nil, says which requests are logged.
	When func(*format.Facts) bool
}

// Log is an access log that is open.
type Log struct {
	Config

	file *File
}

// New makes a log that writes to file.
func New(c Config, file *File) *Log { return &Log{c, file} }

// Write writes the line of one request.
func (l *Log) Write(facts *format.Facts) {
	if l.When != nil && !l.When(facts) {
		return
	}
	line := lines.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	if l.JSON != nil {
		*line = l.JSON.Append((*line)[:0], facts)
	} else {
		*line = l.Text.Append((*line)[:0], facts)
	}
	l.file.write(*line)
	lines.Put(line)
}

var lines = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool is shared by nature

// flushAfter is how long a line may wait for others, buffered how much of them.
const (
	flushAfter = time.Second
	buffered   = 64 << 10
)

// File is what logs are written to. Lines are gathered for a second.
type File struct {
	mu     sync.Mutex
	out    io.Writer
	close  func() error
	buf    *bufio.Writer
	timer  *time.Timer // nil while nothing waits
	closed bool
}

// Open opens a file for appending, or one of the standard streams.
func Open(path string) (*File, error) {
	f := &File{close: func() error { return nil }}
	switch path {
	case "/dev/stdout":
		f.out = os.Stdout
	case "/dev/stderr":
		f.out = os.Stderr
	default:
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) // #nosec G302 G304 -- a log that people read, where the configuration says
		if err != nil {
			return nil, fmt.Errorf("access log: %w", err)
		}
		f.out, f.close = file, file.Close
	}
	f.buf = bufio.NewWriterSize(f.out, buffered)
	return f, nil
}

func (f *File) write(line []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed { // of a request that began under an older configuration
		return
	}
	if f.buf.Available() < len(line) {
		_ = f.buf.Flush() // the next line will fail as well
	}
	if _, err := f.buf.Write(line); err != nil {
		f.buf.Reset(f.out) // a full disk may have room again
		return
	}
	if f.timer == nil {
		f.timer = time.AfterFunc(flushAfter, f.flush)
	}
}

func (f *File) flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.timer = nil
	if !f.closed && f.buf.Flush() != nil {
		f.buf.Reset(f.out)
	}
}

// Close writes what waits.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
	return errors.Join(f.buf.Flush(), f.close())
}
