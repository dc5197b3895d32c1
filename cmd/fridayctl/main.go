// Command fridayctl is a person's tool for Friday: it measures a model server
// with and without a sidecar in front of it.
package main

import (
	"os"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
)

func main() {
	os.Exit(cli.Main("fridayctl", version.Long(), benchCommand(os.Stdout)))
}
