package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/xds/control"
)

const (
	// defaultControl is fridayd's admin door.
	defaultControl = "127.0.0.1:19011"
	askTimeout     = 30 * time.Second
	maxAnswer      = 256 << 20

	outputTable = "table"
	outputJSON  = "json"
)

// door is fridayd's admin door, as flags name it.
type door struct {
	address string
	output  string
}

func (d *door) declare(fs *flag.FlagSet) {
	fs.StringVar(&d.address, "control", defaultControl, "`ADDR`ESS of fridayd's admin door")
}

func (d *door) declareOutput(fs *flag.FlagSet) {
	fs.StringVar(&d.output, "o", outputTable, "table or json")
}

func (d *door) checkOutput() error {
	if d.output != "" && d.output != outputTable && d.output != outputJSON {
		return cli.Usagef("-o: %q is neither table nor json", d.output)
	}
	return nil
}

func (d *door) check() error {
	if err := d.checkOutput(); err != nil {
		return err
	}
	if d.address == "" || strings.ContainsAny(d.address, "/ ") {
		return cli.Usagef("--control: %q is not HOST:PORT", d.address)
	}
	return nil
}

// ask gets an answer into value: JSON, or text where value is a *string.
func (d *door) ask(ctx context.Context, path string, query url.Values, value any) error {
	return d.send(ctx, http.MethodGet, path, query, nil, value)
}

// order has something done.
func (d *door) order(ctx context.Context, path string, query url.Values, body, value any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	return d.send(ctx, http.MethodPost, path, query, text, value)
}

func (d *door) send(ctx context.Context, method, path string, query url.Values, body []byte, value any) error {
	u := url.URL{Scheme: "http", Host: d.address, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return cli.Usagef("--control: %v", err)
	}
	req.Header.Set(control.ByHeader, whoami())
	client := &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		if cause, ok := errors.AsType[*url.Error](err); ok {
			err = cause.Err
		}
		return fmt.Errorf("fridayd at %s cannot be asked: %w (--control names its admin door)", d.address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read only
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("fridayd at %s: %w", d.address, err)
	}
	if resp.StatusCode != http.StatusOK {
		words := strings.TrimSpace(string(answer))
		if resp.StatusCode == http.StatusNotFound && strings.HasPrefix(words, "not found; there are") {
			words = d.address + path + ": not found: is it fridayd's admin door, and as new as this fridayctl?"
		}
		return errors.New(words)
	}
	if s, ok := value.(*string); ok {
		*s = string(answer)
		return nil
	}
	if err := json.Unmarshal(answer, value); err != nil {
		return fmt.Errorf("%s%s is not fridayd's answer: %w", d.address, path, err)
	}
	return nil
}

// whoami is who gives the orders, for fridayd's audit log.
func whoami() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}

// printJSON is for programs.
func printJSON(out io.Writer, value any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// columns writes lines of tab-separated cells under each other.
func columns(out io.Writer, lines [][]string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, cells := range lines {
		if _, err := fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// first is the first line of words, shortened for a table.
func first(words string) string {
	line, rest, more := strings.Cut(words, "\n")
	if more && rest != "" {
		line += " …"
	}
	return line
}
