package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	// headTimeout and callerTimeout bound what an API server may take: it gives up after
	// 30 s at most.
	headTimeout   = 10 * time.Second
	callerTimeout = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	endTimeout    = 5 * time.Second
)

// Serve answers on l, in TLS, until ctx ends; then it finishes what it has begun. It
// closes l.
func Serve(ctx context.Context, l net.Listener, h http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headTimeout, ReadTimeout: callerTimeout, WriteTimeout: callerTimeout, IdleTimeout: idleTimeout,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate},
	}
	done := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(done)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		if s.Shutdown(end) != nil {
			_ = s.Close() // the time is up
		}
	})
	if err := s.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the webhook: %w", err)
	}
	<-done
	return nil
}
