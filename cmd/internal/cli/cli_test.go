package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/cmd/internal/cli"
)

// run is a program with a default command and one more.
type run struct {
	env      map[string]string
	policies string
	drain    time.Duration
	verbose  bool
	args     []string
	did      string
	err      error

	stdout, stderr bytes.Buffer
}

func (r *run) Do(args ...string) int {
	command := func(name, usage string) cli.Command {
		return cli.Command{
			Name: name, Short: "Serves " + name + ".", Usage: usage,
			Flags: func(fs *flag.FlagSet) {
				fs.StringVar(&r.policies, "policies", "", "`DIR` of the policies")
				fs.StringVar(&r.policies, "p", "", "short for --policies `DIR`")
				fs.DurationVar(&r.drain, "drain-timeout", 30*time.Second, "how long to wait")
				fs.BoolVar(&r.verbose, "verbose", false, "say more")
			},
			Run: func(_ context.Context, args []string) error {
				r.did, r.args = name, args
				return r.err
			},
		}
	}
	return cli.Program{
		Name: "prog", Version: "v1.2.3",
		Commands: []cli.Command{command("", ""), command("check", "FILE...")},
		Getenv:   func(k string) string { return r.env[k] },
		Stdout:   &r.stdout, Stderr: &r.stderr,
	}.Run(context.Background(), args)
}

func TestFlagsAndEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		env   map[string]string
		args  []string
		want  string
		drain time.Duration
		rest  []string
	}{
		"default":               {nil, []string{"check"}, "", 30 * time.Second, nil},
		"flag":                  {nil, []string{"check", "--policies", "d", "--drain-timeout=1s"}, "d", time.Second, nil},
		"environment":           {map[string]string{"FRIDAY_POLICIES": "e", "FRIDAY_DRAIN_TIMEOUT": "2s"}, []string{"check"}, "e", 2 * time.Second, nil},
		"flag wins":             {map[string]string{"FRIDAY_POLICIES": "e"}, []string{"check", "--policies", "d"}, "d", 30 * time.Second, nil},
		"flag's twin wins":      {map[string]string{"FRIDAY_POLICIES": "e"}, []string{"check", "-p", "d"}, "d", 30 * time.Second, nil},
		"empty flag wins":       {map[string]string{"FRIDAY_POLICIES": "e"}, []string{"check", "--policies="}, "", 30 * time.Second, nil},
		"bad but not asked for": {map[string]string{"FRIDAY_DRAIN_TIMEOUT": "x"}, []string{"check", "--drain-timeout", "1s"}, "", time.Second, nil},
		"empty environment":     {map[string]string{"FRIDAY_DRAIN_TIMEOUT": ""}, []string{"check"}, "", 30 * time.Second, nil},
		"flags after arguments": {nil, []string{"check", "a", "-p", "d", "b"}, "d", 30 * time.Second, []string{"a", "b"}},
		"two dashes":            {nil, []string{"check", "a", "--", "-p", "d"}, "", 30 * time.Second, []string{"a", "-p", "d"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{env: c.env}
			require.Equal(t, cli.ExitDone, r.Do(c.args...), r.stderr.String())
			require.Equal(t, "check", r.did)
			require.Equal(t, c.want, r.policies)
			require.Equal(t, c.drain, r.drain)
			require.Equal(t, c.rest, r.args)
		})
	}
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		err  error
		code int
		says string
	}{
		"done":                 {nil, nil, nil, cli.ExitDone, ""},
		"failed":               {nil, nil, errors.New("no such file"), cli.ExitFailed, "prog: no such file\n"},
		"failed sub-command":   {nil, []string{"check"}, errors.New("no such file"), cli.ExitFailed, "prog check: no such file\n"},
		"used wrongly":         {nil, nil, cli.Usagef("--policies is missing"), cli.ExitUsage, "Usage: prog [flags]\n"},
		"unknown flag":         {nil, []string{"--nope"}, nil, cli.ExitUsage, "prog: flag provided but not defined: -nope\n"},
		"bad value":            {nil, []string{"--drain-timeout", "x"}, nil, cli.ExitUsage, `invalid value "x" for flag -drain-timeout`},
		"bad environment":      {map[string]string{"FRIDAY_DRAIN_TIMEOUT": "x"}, nil, nil, cli.ExitUsage, `invalid value "x" for environment variable FRIDAY_DRAIN_TIMEOUT`},
		"argument of no use":   {nil, []string{"chek"}, nil, cli.ExitUsage, `prog: unexpected argument "chek"`},
		"unknown flag, second": {nil, []string{"check", "f", "--nope"}, nil, cli.ExitUsage, "Usage: prog check [flags] FILE...\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{env: c.env, err: c.err}
			require.Equal(t, c.code, r.Do(c.args...))
			require.Contains(t, r.stderr.String(), c.says)
			require.Empty(t, r.stdout.String())
		})
	}
}

// What is wrong stands on the screen, not above a page of help.
func TestUsageErrorIsShort(t *testing.T) {
	for want, args := range map[string][]string{
		"prog: flag provided but not defined: -nope\nUsage: prog [flags]\nSee prog --help.\n":                           {"--nope"},
		"prog check: flag provided but not defined: -nope\nUsage: prog check [flags] FILE...\nSee prog check --help.\n": {"check", "--nope"},
	} {
		r := &run{}
		require.Equal(t, cli.ExitUsage, r.Do(args...))
		require.Equal(t, want, r.stderr.String())
	}
}

// What is wrong with files begins with their names, on every line.
func TestFindings(t *testing.T) {
	cause := errors.New("a.yaml:1: no\na.yaml:2: neither")
	r := &run{err: fmt.Errorf("%w", &cli.Findings{Err: cause})}
	require.ErrorIs(t, r.err, cause)
	require.Equal(t, cli.ExitFailed, r.Do("check"))
	require.Equal(t, "a.yaml:1: no\na.yaml:2: neither\n", r.stderr.String())
}

func TestHelpAndVersion(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says []string
	}{
		"overview": {[]string{"--help"}, []string{
			"Usage: prog [flags]\n", "-p, --policies DIR\n        DIR of the policies [FRIDAY_POLICIES]\n",
			"--drain-timeout duration\n        how long to wait (default 30s) [FRIDAY_DRAIN_TIMEOUT]\n",
			"--verbose\n        say more [FRIDAY_VERBOSE]\n", "  check      Serves check.\n",
		}},
		"of a command":       {[]string{"check", "--help"}, []string{"Usage: prog check [flags] FILE...\n"}},
		"of a command, help": {[]string{"help", "check"}, []string{"Usage: prog check [flags] FILE...\n"}},
		"version":            {[]string{"version"}, []string{"prog v1.2.3\n"}},
		"--version":          {[]string{"--version"}, []string{"prog v1.2.3\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{}
			require.Equal(t, cli.ExitDone, r.Do(c.args...))
			for _, s := range c.says {
				require.Contains(t, r.stdout.String(), s)
			}
			require.Empty(t, r.stderr.String())
			require.Empty(t, r.did)
		})
	}
}

func TestWithoutDefaultCommand(t *testing.T) {
	var stdout, stderr bytes.Buffer
	p := cli.Program{Name: "prog", Commands: []cli.Command{{Name: "do", Short: "Does."}}, Stdout: &stdout, Stderr: &stderr}
	require.Equal(t, cli.ExitUsage, p.Run(context.Background(), nil))
	require.Contains(t, stderr.String(), "prog: a command is missing\n")
	require.Equal(t, cli.ExitUsage, p.Run(context.Background(), []string{"undo"}))
	require.True(t, strings.HasSuffix(stderr.String(), "\nprog: unknown command \"undo\"\n"), "last")
	require.Contains(t, stderr.String(), "Usage: prog COMMAND [flags]\n")
	require.Empty(t, stdout.String())
}
