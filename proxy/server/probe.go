package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/fridaymesh/friday/proxy/config"
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
		for _, e := range c.Endpoints {
			if err = p.ask(ctx, e.Address); err == nil {
				return nil
			}
		}
	}
	return err
}

func (p *Probe) ask(ctx context.Context, address string) error {
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
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
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
