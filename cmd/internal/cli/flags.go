package cli

import (
	"errors"
	"flag"
	"io"
	"strings"
)

// EnvPrefix begins the name of every environment twin.
const EnvPrefix = "FRIDAY_"

// Env is the name of a flag's environment twin; empty for one-letter flags.
func Env(flagName string) string {
	if len(flagName) < 2 {
		return ""
	}
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

func flags(c *Command) *flag.FlagSet {
	fs := flag.NewFlagSet(c.Name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	if c.Flags != nil {
		c.Flags(fs)
	}
	return fs
}

// parse sets the flags from args and, where args are silent, from the
// environment. It returns the arguments, which may stand between flags.
func parse(fs *flag.FlagSet, args []string, getenv func(string) string) ([]string, error) {
	var rest []string
	for len(args) > 0 {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, &UsageError{Message: err.Error()}
		}
		left := fs.Args()
		if taken := len(args) - len(left); taken > 0 && args[taken-1] == "--" {
			rest = append(rest, left...)
			break
		}
		if len(left) == 0 {
			break
		}
		rest, args = append(rest, left[0]), left[1:]
	}
	return rest, environment(fs, getenv)
}

func environment(fs *flag.FlagSet, getenv func(string) string) error {
	given := map[flag.Value]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Value] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		name := Env(f.Name)
		if name == "" || given[f.Value] || err != nil {
			return
		}
		text := getenv(name)
		if text == "" {
			return
		}
		if bad := f.Value.Set(text); bad != nil {
			err = Usagef("invalid value %q for environment variable %s: %v", text, name, bad)
		}
	})
	return err
}
