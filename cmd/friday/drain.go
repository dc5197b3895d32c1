package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
)

// drainCallTimeout bounds the call: the door answers at once.
const drainCallTimeout = 5 * time.Second

// drainCommand is for a container's preStop hook: the image holds nothing else that
// could ask the door.
func drainCommand() cli.Command {
	admin := defaultAdmin
	return cli.Command{
		Name: "drain",
		Short: "Has the sidecar of this host begin its drain: not ready at once, everything served for --drain-delay, then no new connections. " +
			"It returns at once; SIGTERM ends the process.",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&admin, "admin", admin, "`ADDR`ESS of the sidecar's admin door")
		},
		Run: func(ctx context.Context, _ []string) error { return drain(ctx, admin) },
	}
}

func drain(ctx context.Context, admin string) error {
	ctx, cancel := context.WithTimeout(ctx, drainCallTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+admin+"/drain_listeners?graceful", http.NoBody)
	if err != nil {
		return cli.Usagef("--admin %q: not HOST:PORT", admin)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		if cause, ok := errors.AsType[*url.Error](err); ok {
			err = cause.Err
		}
		return fmt.Errorf("the admin door at %s: %w", admin, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read only
	if resp.StatusCode != http.StatusOK {
		words, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("the admin door at %s: status %d: %s", admin, resp.StatusCode, strings.TrimSpace(string(words)))
	}
	return nil
}
