// Command fridayctl is a person's tool for Friday: it shows and orders what
// fridayd serves, looks after a sidecar's jobs, and measures a model server with and
// without a sidecar in front of it.
package main

import (
	"io"
	"os"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/cmd/internal/version"
)

func main() {
	os.Exit(cli.Main("fridayctl", version.Long(), commands(os.Stdout)...))
}

func commands(out io.Writer) []cli.Command {
	manifests := func() *manifestFlags { return &manifestFlags{in: os.Stdin, out: out, notes: os.Stderr} }
	return []cli.Command{
		historyCommand(out), diffCommand(out), rollbackCommand(out), shiftCommand(out),
		clustersCommand(out), dumpCommand(out), modelsCommand(out), tokenCommand(out), rootsCommand(out), jobsCommand(out), auditCommand(out),
		injectCommand(manifests()), uninjectCommand(manifests()), benchCommand(out),
	}
}
