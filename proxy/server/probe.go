package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// Probe asks, when it is asked, whether a model server is there. It costs nothing
// while nobody asks.
type Probe struct {
	// Resources name the endpoints; one that is there is enough.
	Resources *config.Resources
	// Path must be answered with 200; empty: the server must accept a connection.
	Path string
}

// probeTimeout is how long a server may take.
const probeTimeout = time.Second

// Check returns why the server is not ready.
func (p *Probe) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := fmt.Errorf("no endpoint")
	for _, c := range p.Resources.Clusters {
		for i := range c.Endpoints {
			if err = p.ask(ctx, c, &c.Endpoints[i]); err == nil {
				return nil
			}
		}
	}
	return err
}

func (p *Probe) ask(ctx context.Context, c *cluster.Config, e *cluster.EndpointConfig) error {
	address := e.Address
	if p.Path == "" {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+p.Path, http.NoBody)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if u := c.SocketOf(e); u != nil {
		// net/http takes TLS for cleartext: it has been spoken already.
		t := tlscontext.NewClient(u, e.Hostname, new(tlscontext.Store))
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			secure, err := t.Handshake(ctx, nc, t.Protocols(false)...)
			if err != nil {
				return nil, errors.Join(err, nc.Close())
			}
			return secure, nil
		}
		if u.SNI != "" {
			req.Host = u.SNI
		}
	}
	client := http.Client{Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s%s: status %d", address, p.Path, resp.StatusCode)
	}
	return nil
}
