package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/process"
)

const (
	// startLimit is how long friday may take to listen.
	startLimit = 10 * time.Second
	// reminder is how often a person is told that their server is not there.
	reminder = 5 * time.Second
)

// own puts Friday in front of the user's server, which may start later, and
// leaves it there.
func (d *demo) own(ctx context.Context) error {
	addresses, err := process.FreeAddresses(inboundPort, adminPort)
	if err != nil {
		return err
	}
	listen, admin := addresses[0], addresses[1]
	p, err := d.group.Start("friday", nil, filepath.Join(d.bin, "friday"),
		"proxy", "--upstream", d.upstream, "--listen", listen, "--admin", admin)
	if err != nil {
		return err
	}
	for _, up := range []func(context.Context) error{process.Listening(listen), process.OK("http://" + admin + "/live")} {
		if err := p.Await(ctx, startLimit, up); err != nil {
			return err
		}
	}
	d.say("Friday is in front of %s.", d.upstream)
	d.say("")
	d.say("  call     http://%s   instead of the server, nothing else changes", listen)
	d.say("  look at  http://%s/   its admin page; /stats/prometheus has the metrics", admin)
	d.say("")
	d.say("Try, with a path and a body that your server knows:")
	d.say("  curl -i http://%s/v1/embeddings -H 'content-type: application/json' -H 'x-friday-debug: 1' -d '{\"model\": \"your-model\", \"input\": \"hello\"}'", listen)
	d.say("Where the answer has x-friday-batch-size, Friday understands such requests and batches concurrent ones; others pass through.")
	d.say("")
	if err := d.attend(ctx, p, "http://"+admin+"/ready", reminder); err != nil {
		return err
	}
	if ctx.Err() != nil {
		d.say("Stopping.")
		return nil //nolint:nilerr // somebody has ended it, which is no failure
	}
	return d.wait(ctx, p)
}

// attend waits for the user's server, and says every so often that it is not
// there. It returns nil also where ctx has ended.
func (d *demo) attend(ctx context.Context, p *process.Process, ready string, every time.Duration) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var said time.Time
	for {
		_, err := process.Get(ctx, ready)
		if err == nil {
			if !said.IsZero() {
				d.say("%s is there now.", d.upstream)
			}
			return nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(said) >= every {
			d.say("%s is not there yet, callers get 503 until it is: %s", d.upstream, reason(err))
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.Done():
			return fmt.Errorf("%s: %w", p.Name, process.ErrEnded)
		case <-tick.C:
		}
	}
}

// reason is what /ready said, without what a person need not know.
func reason(err error) string {
	text := strings.TrimSpace(err.Error())
	if _, after, ok := strings.Cut(text, "not ready: "); ok {
		return after
	}
	return text
}
