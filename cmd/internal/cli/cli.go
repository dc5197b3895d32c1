// Package cli is what Friday's commands share: sub-commands on the standard flag
// package, an environment twin for every flag, usage text and exit codes.
//
// A flag --state-dir has the twin FRIDAY_STATE_DIR; a flag given on the command
// line wins, an empty variable counts as none. One-letter flags have no twin of
// their own: where two flags share a variable, as -c and --config may, they are
// one flag with two names. Flags may stand before and after arguments; "--" ends
// them.
//
// Exit codes: 0 done, 1 failed, 2 used wrongly.
package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// The exit codes.
const (
	ExitDone   = 0
	ExitFailed = 1
	ExitUsage  = 2
)

// Command is one thing that a program does.
type Command struct {
	// Name is what the command line says. The command with an empty name is the
	// default, done where the command line names none.
	Name string
	// Short says in one sentence what it does.
	Short string
	// Usage is how its arguments are written, as "FILE...". Where it is empty the
	// command takes none.
	Usage string
	// Flags declares the flags. A word in back quotes in a flag's usage names its
	// value, as the flag package has it. May be nil.
	Flags func(*flag.FlagSet)
	// Run does it. The context ends with SIGTERM or SIGINT. An error that is a
	// [UsageError] exits 2, any other 1.
	Run func(ctx context.Context, args []string) error
}

// UsageError is a command line that makes no sense.
type UsageError struct {
	Message string
}

func (e *UsageError) Error() string { return e.Message }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{Message: fmt.Sprintf(format, args...)}
}

// Findings are what is wrong with the files that a command was asked to look at.
// They are printed as they are, without the command's name: each line is to begin
// with FILE:LINE or FILE, for whoever reads them by that.
type Findings struct {
	Err error
}

func (f *Findings) Error() string { return f.Err.Error() }

// Unwrap is for errors.Is and errors.AsType.
func (f *Findings) Unwrap() error { return f.Err }

// Main runs the program of this process and returns its exit code. A second
// SIGINT, from somebody at a terminal who will not wait, ends it at once.
func Main(name, version string, commands ...Command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	return Program{
		Name: name, Version: version, Commands: commands,
		Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr,
	}.Run(ctx, os.Args[1:])
}

// Program is a command line's commands and surroundings.
type Program struct {
	Name, Version  string
	Commands       []Command
	Getenv         func(string) string
	Stdout, Stderr io.Writer
}

// Run does what args (without the program's name) say and returns the exit code.
func (p Program) Run(ctx context.Context, args []string) int {
	if len(args) > 0 {
		switch args[0] {
		case "version", "-version", "--version":
			p.print(p.Stdout, p.Name+" "+p.Version+"\n")
			return ExitDone
		case "help", "-h", "-help", "--help":
			if len(args) > 1 {
				if c := p.find(args[1]); c != nil {
					return p.run(ctx, c, []string{"--help"})
				}
			}
			p.print(p.Stdout, p.overview())
			return ExitDone
		}
		if c := p.find(args[0]); c != nil {
			return p.run(ctx, c, args[1:])
		}
	}
	if c := p.find(""); c != nil {
		return p.run(ctx, c, args)
	}
	what := "a command is missing"
	if len(args) > 0 {
		what = fmt.Sprintf("unknown command %q", args[0])
	}
	p.print(p.Stderr, p.overview()+"\n"+p.Name+": "+what+"\n")
	return ExitUsage
}

func (p Program) run(ctx context.Context, c *Command, args []string) int {
	fs := flags(c)
	rest, err := parse(fs, args, p.Getenv)
	switch {
	case errors.Is(err, flag.ErrHelp):
		p.print(p.Stdout, p.help(c))
		return ExitDone
	case err == nil && c.Usage == "" && len(rest) > 0:
		err = Usagef("unexpected argument %q", rest[0])
	}
	if err == nil {
		err = c.Run(ctx, rest)
	}
	if err == nil {
		return ExitDone
	}
	if _, ok := errors.AsType[*Findings](err); ok {
		p.print(p.Stderr, err.Error()+"\n")
		return ExitFailed
	}
	p.print(p.Stderr, p.title(c)+": "+err.Error()+"\n")
	if _, ok := errors.AsType[*UsageError](err); ok {
		// Not the whole help: what is wrong would scroll away.
		p.print(p.Stderr, p.usage(c)+"See "+p.title(c)+" --help.\n")
		return ExitUsage
	}
	return ExitFailed
}

func (p Program) find(name string) *Command {
	for i := range p.Commands {
		if p.Commands[i].Name == name {
			return &p.Commands[i]
		}
	}
	return nil
}

// print gives up silently: where standard error is closed nobody can be told.
func (p Program) print(w io.Writer, s string) { _, _ = io.WriteString(w, s) }
