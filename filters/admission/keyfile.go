package admission

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// lookEvery is how often the key file is looked at, where there are requests.
const lookEvery = time.Second

// keyFile is a file of API keys, read again when it changes. A file that cannot be read or
// is not right leaves the keys as they were.
type keyFile struct {
	// Set once.
	path  string
	log   *zap.Logger
	reads func(result string)
	epoch time.Time

	keys atomic.Pointer[Keys]
	due  atomic.Int64 // nanoseconds since epoch; while the file is looked at, never

	// Of who looks at the file, which is one at a time.
	seen   os.FileInfo
	failed string
}

var _ io.Closer = (*keyFile)(nil)

func openKeys(path string, env proxy.Env) (*keyFile, error) {
	reads := telemetry.New(env.Metrics).AdmissionKeyReads
	f := &keyFile{
		path: path, log: env.Log.Named("admission"), epoch: time.Now(),
		reads: func(result string) { reads.WithLabelValues(result).Inc() },
	}
	if err := f.read(); err != nil {
		return nil, err
	}
	f.due.Store(int64(lookEvery))
	return f, nil
}

// current are the keys in force.
func (f *keyFile) current() *Keys {
	now, due := int64(time.Since(f.epoch)), f.due.Load()
	if now >= due && f.due.CompareAndSwap(due, int64(never)) {
		f.look()
		f.due.Store(int64(time.Since(f.epoch) + lookEvery))
	}
	return f.keys.Load()
}

const never = time.Duration(1<<63 - 1)

// look reads the file again where it is another one.
func (f *keyFile) look() {
	info, err := os.Stat(f.path)
	if err == nil && f.failed == "" && os.SameFile(info, f.seen) && info.ModTime().Equal(f.seen.ModTime()) && info.Size() == f.seen.Size() {
		return
	}
	if err == nil {
		err = f.read()
	}
	switch {
	case err == nil:
		f.failed = ""
		f.reads("read")
		f.log.Info("API keys read again", zap.String("key_file", f.path), zap.Int("keys", f.keys.Load().count))
	case err.Error() != f.failed:
		f.failed = err.Error()
		f.reads("failed")
		f.log.Error("API keys stay as they were", zap.String("key_file", f.path), zap.Error(err))
	}
}

func (f *keyFile) read() (err error) {
	file, err := os.Open(f.path)
	if err != nil {
		return fmt.Errorf("key_file: %w", err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("key_file: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return fmt.Errorf("key_file: %w", err)
	}
	keys, err := ParseKeys(data)
	if err != nil {
		return fmt.Errorf("key_file: %s: %w", f.path, err)
	}
	f.seen = info
	f.keys.Store(keys)
	return nil
}

// Close does nothing: no file stays open.
func (f *keyFile) Close() error { return nil }
