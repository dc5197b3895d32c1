package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/proxy"
)

// defaultSidecar is a sidecar's admin door.
const defaultSidecar = "127.0.0.1:19000"

func modelsCommand(out io.Writer) cli.Command {
	sidecar, d := defaultSidecar, &door{address: defaultControl}
	return cli.Command{
		Name:  "models",
		Short: "Shows the models that a sidecar looks after: which version of each serves, what state it is in, and why.",
		Flags: func(fs *flag.FlagSet) {
			fs.StringVar(&sidecar, "sidecar", defaultSidecar, "`ADDR`ESS of the sidecar's admin door")
			d.declareOutput(fs)
		},
		Run: func(ctx context.Context, _ []string) error {
			if err := d.check(); err != nil {
				return err
			}
			if sidecar == "" || strings.ContainsAny(sidecar, "/ ") {
				return cli.Usagef("--sidecar: %q is not HOST:PORT", sidecar)
			}
			models, err := askModels(ctx, sidecar)
			if err != nil {
				return err
			}
			if d.output == outputJSON {
				return printJSON(out, models)
			}
			if len(models) == 0 {
				_, err := fmt.Fprintln(out, "No models are looked after there: the filter models names none, or is not in the chain.")
				return err
			}
			return columns(out, modelLines(models, time.Now()))
		},
	}
}

func askModels(ctx context.Context, sidecar string) ([]proxy.ModelStatus, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+sidecar+"/models", http.NoBody)
	if err != nil {
		return nil, cli.Usagef("--sidecar: %v", err)
	}
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the sidecar at %s cannot be asked: %w (--sidecar names its admin door)", sidecar, errors.Unwrap(err))
	}
	defer resp.Body.Close() //nolint:errcheck // it was read only
	var answer struct{ Models []proxy.ModelStatus }
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s/models: status %d: is it a sidecar's admin door?", sidecar, resp.StatusCode)
	}
	return answer.Models, nil
}

// modelLines are the lines of the table.
func modelLines(models []proxy.ModelStatus, now time.Time) [][]string {
	lines := make([][]string, 1, 1+len(models))
	lines[0] = []string{"CLUSTER", "MODEL", "VERSION", "STATE", "SERVES", "SINCE", "IN FLIGHT", "HELD", "MEMORY", "WHY"}
	for i := range models {
		m := &models[i]
		version, serves, memory := m.Version, "no", "-"
		if version == "" {
			version = "-"
		}
		if m.Serving {
			serves = "yes"
		}
		if m.Bytes > 0 {
			size := cli.Bytes(min(m.Bytes, 1<<62)) // #nosec G115 -- bounded
			memory = size.String()
		}
		state := m.State
		if m.Size > 0 && state == "fetching" {
			state += fmt.Sprintf(" %d%%", 100*m.Fetched/m.Size)
		}
		why := m.LastError
		if why == "" {
			why = m.Detail
		}
		lines = append(lines, []string{
			m.Cluster, m.Model, version, state, serves, now.Sub(m.Since).Round(time.Second).String(), fmt.Sprint(m.InFlight), fmt.Sprint(m.Held), memory, first(why),
		})
	}
	return lines
}
