package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
	"github.com/fridaymesh/friday/bench/standin"
)

// The ports that Friday has by default; where one is taken, any free one.
const (
	inboundPort      = 19080
	adminPort        = 19000
	xdsPort          = 19010
	controlAdminPort = 19011
)

// demo is one run.
type demo struct {
	*options
	bin, scratch string
	group        *process.Group
	out          io.Writer
}

func (d *demo) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...)
}

// wait keeps everything up until Ctrl-C, or until one of the programs ends.
func (d *demo) wait(ctx context.Context, programs ...*process.Process) error {
	d.say("Running until Ctrl-C.")
	ended := make(chan *process.Process, len(programs))
	for _, p := range programs {
		go func() {
			select {
			case <-p.Done():
				ended <- p
			case <-ctx.Done():
			}
		}()
	}
	select {
	case <-ctx.Done():
		d.say("Stopping.")
		return nil
	case p := <-ended:
		return fmt.Errorf("%s: %w", p.Name, process.ErrEnded)
	}
}

// subject is the server that is shown.
type subject struct {
	*process.Process
	title   string
	address string
	digits  *realserver.Digits // nil for the stand-in
}

// compare starts a model server, measures it with and without Friday, and prints
// the table.
func (d *demo) compare(ctx context.Context) error {
	server, err := d.server(ctx)
	if err != nil {
		return err
	}
	d.say("Starting fridayd and, with the configuration that it sends, friday …")
	control, side, err := d.mesh(ctx, server.address)
	if err != nil {
		return err
	}
	table, err := d.measure(ctx, server, side)
	if table != nil && len(table.cells) > 0 {
		d.say("")
		_, _ = table.WriteTo(d.out)
	}
	if err != nil {
		return err
	}
	d.say("")
	d.say("%s", table.sentence())
	if !d.stay {
		return nil
	}
	d.invite(server, side)
	return d.wait(ctx, server.Process, control, side.Process)
}

// server starts MLServer, or the stand-in where there can be none.
func (d *demo) server(ctx context.Context) (*subject, error) {
	if !d.standIn {
		assets, err := realserver.Prepare(ctx, func(line string) { d.say("  %s", line) })
		if err == nil {
			d.say("Starting MLServer …")
			s, err := assets.Start(ctx, d.group, d.scratch)
			if err != nil {
				return nil, err
			}
			return &subject{
				Process: s.Process, address: s.Address, digits: assets.Digits,
				title: "MLServer 1.7.1 with scikit-learn 1.9.1: a random forest of 200 trees that reads handwritten digits",
			}, nil
		}
		if !errors.Is(err, realserver.ErrUnavailable) {
			return nil, err
		}
		d.say("Using a stand-in, a program that costs what a model server does but has no model: %v", err)
	}
	addresses, err := process.FreeAddresses(0)
	if err != nil {
		return nil, err
	}
	p, err := d.group.Start("stand-in", nil, filepath.Join(d.bin, "standin"), "--listen", addresses[0])
	if err != nil {
		return nil, err
	}
	c := standin.DefaultConfig()
	return &subject{
		Process: p, address: addresses[0],
		title: fmt.Sprintf("a STAND-IN, not a real model server: embeddings, one call at a time, %v and %v an item", c.Fixed, c.PerItem),
	}, p.Await(ctx, 10*time.Second, process.OK("http://"+addresses[0]+"/health"))
}

// policy is what a person writes to put Friday in front of a server.
const policy = `apiVersion: friday.dev/v1alpha1
kind: InferencePolicy
metadata:
  name: demo
spec:
  selector:
    nodeCluster: demo
  address: 127.0.0.1
  port: %s
  server:
    endpoints: ["%s"]
`

// mesh starts the control plane with a policy for the server, and the sidecar.
func (d *demo) mesh(ctx context.Context, upstream string) (*process.Process, *sidecar.Sidecar, error) {
	addresses, err := process.FreeAddresses(inboundPort, adminPort, xdsPort, controlAdminPort)
	if err != nil {
		return nil, nil, err
	}
	policies := filepath.Join(d.scratch, "policies")
	state := filepath.Join(d.scratch, "state")
	for _, dir := range []string{policies, state} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, nil, fmt.Errorf("scratch folder: %w", err)
		}
	}
	_, port, err := net.SplitHostPort(addresses[0])
	if err != nil {
		return nil, nil, fmt.Errorf("address: %w", err)
	}
	text := fmt.Sprintf(policy, port, upstream)
	if err := os.WriteFile(filepath.Join(policies, "demo.yaml"), []byte(text), 0o600); err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	control, err := sidecar.Control(ctx, d.group, d.bin, policies, addresses[2], addresses[3])
	if err != nil {
		return nil, nil, err
	}
	side, err := sidecar.Meshed(ctx, d.group, d.bin, "demo", addresses[2], state, addresses[0], addresses[1])
	return control, side, err
}

// invite tells a person what to try.
func (d *demo) invite(server *subject, side *sidecar.Sidecar) {
	path, body := load.Embeddings{}.Path(), load.Embeddings{Items: 1}.AppendBody(nil, 1)
	if server.digits != nil {
		path, body = server.digits.NewExam(nil).Path(), server.digits.Request(0)
	}
	file := filepath.Join(d.scratch, "request.json")
	_ = os.WriteFile(file, body, 0o600)
	d.say("")
	d.say("  the server     http://%s", server.address)
	d.say("  through Friday http://%s", side.Listen)
	d.say("  metrics        http://%s/metrics", side.Admin)
	d.say("  the policy     %s   (edit it: fridayd sends the change at once)", filepath.Join(d.scratch, "policies", "demo.yaml"))
	d.say("")
	d.say("Try:")
	d.say("  curl -s http://%s%s -H 'content-type: application/json' -d @%s", side.Listen, path, file)
	d.say("")
}
