package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/admin"
	"github.com/fridaymesh/friday/xds/client"
)

// The doors of a sidecar: admin is for operators on this host, status for whoever
// asks whether it is well.
const (
	adminDoorName  = "admin"
	statusDoorName = "status"
)

// opening is a door and the socket that it is opened on.
type opening struct {
	name, address string
	server        *http.Server
	ln            net.Listener
	inherited     bool // from the predecessor
}

// open opens the doors, or inherits their sockets.
func (l *life) open(ctx context.Context, quit func()) error {
	options := l.admin(l.s, l.xds, quit) //nolint:contextcheck // the probe has a timeout of its own
	l.doors = []*opening{{name: adminDoorName, address: l.Bootstrap.AdminAddress, server: adminDoor(admin.New(options), l.xds)}}
	if l.StatusAddress != "" {
		l.doors = append(l.doors, &opening{
			name: statusDoorName, address: l.StatusAddress,
			server: &http.Server{Handler: admin.Public(options), ReadHeaderTimeout: headTimeout},
		})
	}
	for i, d := range l.doors {
		if err := l.listen(ctx, d); err != nil {
			for _, opened := range l.doors[:i] {
				err = errors.Join(err, opened.ln.Close())
			}
			return fmt.Errorf("%s door: %w", d.name, err)
		}
	}
	return nil
}

func (l *life) listen(ctx context.Context, d *opening) (err error) {
	if l.claim != nil {
		if d.ln, err = l.claim.Listener(d.socket()); err != nil {
			return err
		}
	}
	if d.inherited = d.ln != nil; !d.inherited {
		d.ln, err = (&net.ListenConfig{}).Listen(ctx, "tcp", d.address)
	}
	return err
}

// socket is what a predecessor calls the door's socket.
func (d *opening) socket() string { return d.name + " " + d.address }

func (d *opening) serve(log *zap.Logger) error {
	log.Info(d.name+" door open", zap.Stringer("address", d.ln.Addr()))
	if err := d.server.Serve(d.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("%s door: %w", d.name, err)
	}
	return nil
}

func (l *life) closeDoors() error {
	errs := make([]error, 0, len(l.doors))
	for _, d := range l.doors {
		errs = append(errs, d.server.Close())
	}
	return errors.Join(errs...)
}

// headTimeout bounds how long a request's head may take.
const headTimeout = 10 * time.Second

// adminDoor is the server of the admin port: HTTP for people and probes and, by HTTP/2
// in cleartext, gRPC for the client status discovery service.
func adminDoor(admin http.Handler, xds *client.Client) *http.Server {
	csds := xds.StatusHandler()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				csds.ServeHTTP(w, r)
				return
			}
			admin.ServeHTTP(w, r)
		}),
		Protocols:         protocols,
		ReadHeaderTimeout: headTimeout,
	}
}
