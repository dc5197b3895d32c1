// Command standin runs a model server's stand-in: the wire protocols and the cost
// of a real server, and answers that can be checked.
//
//	standin --listen 127.0.0.1:8000 --fixed 10ms --per-item 500us
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/fridaymesh/friday/bench/standin"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	c := standin.DefaultConfig()
	fs := flag.NewFlagSet("standin", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:8000", "`address` to listen on")
	fs.DurationVar(&c.Fixed, "fixed", c.Fixed, "cost of a call; 0 and --per-item 0: none")
	fs.DurationVar(&c.PerItem, "per-item", c.PerItem, "cost of each item of a call")
	fs.IntVar(&c.Accelerators, "accelerators", c.Accelerators, "calls that run at once")
	fs.IntVar(&c.MaxItems, "max-items", c.MaxItems, "most items of a call, more are answered 400; 0: no limit")
	fs.IntVar(&c.Dimensions, "dimensions", c.Dimensions, "length of an embedding")
	fs.IntVar(&c.Tokens, "tokens", c.Tokens, "length of a chat completion that asks for none")
	fs.DurationVar(&c.Gap, "gap", c.Gap, "time between two tokens of a chat completion that asks for none")
	fs.DurationVar(&c.KeepAlive, "keep-alive", c.KeepAlive, "close idle connections after this time, as uvicorn does after 5s; 0: never")
	fs.BoolVar(&c.HangUp, "hang-up", c.HangUp, "close connections after a 500 without saying so, as uvicorn does")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "standin: unexpected argument %q\n", fs.Arg(0))
		return 2
	}
	if err := serve(c, *listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// serve runs until SIGTERM or SIGINT.
func serve(c standin.Config, address string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	server, err := standin.New(c)
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("standin: %w", err)
	}
	fmt.Printf("standin: on http://%s, %v a call and %v an item, %d at once\n", ln.Addr(), c.Fixed, c.PerItem, c.Accelerators)
	unhook := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer unhook()
	return server.Serve(ln)
}
