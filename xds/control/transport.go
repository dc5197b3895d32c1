package control

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
)

// Transport is how nodes are spoken to in TLS: the server's certificate and key,
// and, where ClientCA is set, the roots that a node's own certificate must lead to.
// All are PEM files. They are read anew for each connection, so that they may be
// replaced in place; while what is there makes no sense, what was read last holds.
type Transport struct {
	Cert, Key, ClientCA string

	log *zap.Logger

	mu   sync.Mutex
	last *tls.Config
	told string // the fault that was last logged
}

// NewTransport reads the files once, so that a fault is told at the start.
func NewTransport(cert, key, clientCA string, log *zap.Logger) (*Transport, error) {
	t := &Transport{Cert: cert, Key: key, ClientCA: clientCA, log: log}
	config, err := t.read()
	if err != nil {
		return nil, err
	}
	t.last = config
	return t, nil
}

// Credentials are for the gRPC server.
func (t *Transport) Credentials() credentials.TransportCredentials {
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return t.current(), nil
		},
	})
}

// certificate is the server's own, for a handshake.
func (t *Transport) certificate() (*tls.Certificate, error) { return &t.current().Certificates[0], nil }

// current is what the files say, or what they said when they last made sense.
func (t *Transport) current() *tls.Config {
	config, err := t.read()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.last, t.told = config, ""
		return config
	}
	if words := err.Error(); words != t.told {
		t.told = words
		t.log.Error("the certificates cannot be read, the last ones hold", zap.Error(err))
	}
	return t.last
}

func (t *Transport) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", t.Cert, t.Key, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
	if t.ClientCA == "" {
		return config, nil
	}
	text, err := os.ReadFile(t.ClientCA)
	if err != nil {
		return nil, err
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s: %w", t.ClientCA, errNoCertificate)
	}
	return config, nil
}

var errNoCertificate = errors.New("no certificate in it")
