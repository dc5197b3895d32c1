package server

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/listener/takeover"
)

// listenerSocket is the name of a listener's socket, before its address.
const listenerSocket = "listener "

// succeed begins to take over from the process that is there, if any.
func (l *life) succeed(ctx context.Context) (err error) {
	if l.Takeover == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(l.Takeover)); err != nil || !info.IsDir() {
		return fmt.Errorf("takeover: %s: no such directory", filepath.Dir(l.Takeover))
	}
	if l.claim, err = takeover.Take(ctx, l.Takeover); err != nil {
		return err
	}
	if l.claim != nil {
		l.Log.Info("taking over", zap.Int("predecessor", l.claim.Predecessor))
	}
	return nil
}

// follow ends the takeover once this process serves, and is then there to be taken over
// itself, until ctx ends.
func (l *life) follow(ctx context.Context) error {
	if l.Takeover == "" || !l.ready(ctx) {
		return nil
	}
	offer, err := takeover.NewOffer(l.Takeover, l, l.Log)
	if err != nil {
		l.Log.Error("this process cannot be taken over", zap.Error(err)) // it serves, all the same
	}
	if l.claim != nil {
		if err := l.claim.Ready(); err != nil {
			l.Log.Warn("the predecessor has gone by itself", zap.Error(err))
		} else {
			l.Log.Info("ready; the predecessor has left", zap.Int("predecessor", l.claim.Predecessor))
		}
		l.xds.Resave() // the predecessor may have written last
		forget := time.AfterFunc(l.s.opts.DrainTimeout, func() {
			if names := l.claim.Forget(); len(names) > 0 {
				l.Log.Warn("sockets of the predecessor that no configuration asks for are closed", zap.Strings("sockets", names))
			}
		})
		defer forget.Stop()
	}
	if offer == nil {
		return nil
	}
	offer.Open()
	select {
	case <-ctx.Done():
	case <-l.left:
	}
	return offer.Close()
}

// Sockets are those that a successor may have.
func (l *life) Sockets() map[string]syscall.Conn {
	all := map[string]syscall.Conn{}
	for address, socket := range l.s.Sockets() {
		all[listenerSocket+address] = socket
	}
	for _, d := range l.doors {
		if socket, ok := d.ln.(syscall.Conn); ok {
			all[d.socket()] = socket
		}
	}
	return all
}

// Leave stops accepting, and what the successor does from now on: following the control
// plane, and writing the state file.
func (l *life) Leave(successor int) {
	l.Log.Info("a successor is ready", zap.Int("successor", successor))
	l.s.HandOver()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only to stop accepting
	for _, d := range l.doors {
		_ = d.server.Shutdown(ctx)
	}
	l.stopXDS()
	<-l.xdsOver
	close(l.left)
}
