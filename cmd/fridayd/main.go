// Fridayd is Friday's control plane: it serves a folder of policies to sidecars
// over xDS. See `fridayd --help`.
package main

import (
	"os"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
)

func main() {
	os.Exit(cli.Main("fridayd", version.Long(), serveCommand(), checkCommand()))
}
