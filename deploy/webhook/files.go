package webhook

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// Files is a certificate that somebody else renews, such as cert-manager, in files.
type Files struct {
	cert, key string

	mu     sync.Mutex
	loaded *tls.Certificate
	at     time.Time // the newer of the two files' times
}

// NewFiles reads both files, which must be there.
func NewFiles(cert, key string) (*Files, error) {
	f := &Files{cert: cert, key: key}
	return f, f.load()
}

// load reads the files where they have changed. Where that fails, as between the
// writing of one and the other, what was read stays.
func (f *Files) load() error {
	var at time.Time
	for _, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	if f.loaded != nil && at.Equal(f.at) {
		return nil
	}
	c, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("%s, %s: %w", f.cert, f.key, err)
	}
	f.loaded, f.at = &c, at
	return nil
}

// GetCertificate is for tls.Config: the files are looked at for each connection, of
// which an API server opens few.
func (f *Files) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil && f.loaded == nil {
		return nil, err
	}
	return f.loaded, nil
}
