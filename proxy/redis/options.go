package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// Options are how a server is reached.
type Options struct {
	// Address is host:port.
	Address string
	// Prefix is what keys begin with; for who writes them.
	Prefix string
	// Timeout is what a question may take.
	Timeout time.Duration
	// Username and PasswordFile are for logging in; may be empty. The file is read for
	// each connection, so that a password can change while connections live.
	Username, PasswordFile string
	Database               int
	// TLS is nil for none.
	TLS *TLS
}

// TLS is what a connection's handshake needs; files are read for each connection.
type TLS struct {
	// CAFile is empty for the system's roots, CertFile and KeyFile for no certificate of
	// our own, ServerName for the address's host.
	CAFile, CertFile, KeyFile, ServerName string
}

// String tells two Options apart.
func (o *Options) String() string {
	text := fmt.Sprintf("%q %q %v %q %q %d", o.Address, o.Prefix, o.Timeout, o.Username, o.PasswordFile, o.Database)
	if o.TLS != nil {
		text += fmt.Sprintf(" %q", *o.TLS)
	}
	return text
}

// Patience bounds connecting, handshakes and logging in, and what is asked before a
// connection is used.
const Patience = 2 * time.Second

// dial makes a connection, with TLS where it is asked for. It ends with life.
func (o *Options) dial(life, ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	stop := context.AfterFunc(life, cancel)
	defer stop()
	nc, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil || o.TLS == nil {
		return nc, err
	}
	config, err := o.TLS.config(address)
	if err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("TLS: %w", err), nc.Close())
	}
	return secure, nil
}

func (t *TLS) config(address string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if c.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		c.ServerName = host
	}
	if t.CAFile != "" {
		text, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("tls.ca_file: %s: no certificate in it", t.CAFile)
		}
	}
	if t.CertFile != "" {
		own, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert_file: %w", err)
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

// password is what the file says now; empty where there is none.
func (o *Options) password() (string, error) {
	if o.PasswordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(o.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("password_file: %w", err)
	}
	return strings.TrimRight(string(text), " \t\r\n"), nil
}
