// Friday is a sidecar proxy for model servers. See `friday help`.
package main

import (
	"os"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
)

func main() {
	os.Exit(cli.Main("friday", version.Long(), proxyCommand(), redirectCommand(), drainCommand(), checkCommand()))
}
