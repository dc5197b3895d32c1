package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/load"
	"github.com/fridaymesh/friday/cmd/internal/cli"
)

// protocolChat is the one protocol whose answers are streams.
const protocolChat = "chat"

// benchFlags are the command line's.
type benchFlags struct {
	target, direct string
	protocol       string
	concurrency    string
	duration       time.Duration
	requests       uint64
	items          int
	rate           float64
	rounds         int
	tokens         int
	gap            time.Duration
	headers        headers
	output         string

	// Made of the above.
	callers []int
	ways    []load.Way
}

// headers are "name: value" lines, one a flag.
type headers []string

// String and Set make it a flag.Value.
func (h *headers) String() string { return strings.Join(*h, ", ") }

// Set adds a line.
func (h *headers) Set(line string) error {
	name, value, ok := strings.Cut(line, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" || strings.ContainsAny(name+value, "\r\n") {
		return fmt.Errorf("%q is not of the form \"name: value\"", line)
	}
	*h = append(*h, http.CanonicalHeaderKey(name)+": "+value)
	return nil
}

// benchCommand is "fridayctl bench".
func benchCommand(out io.Writer) cli.Command {
	var b benchFlags
	return cli.Command{
		Name: "bench",
		Short: "Load a stand-in (bench/cmd/standin), or a Friday in front of it, check every answer and say how long they took. " +
			"Given --direct as well, both are measured in turn and compared.",
		Flags: b.declare,
		Run: func(ctx context.Context, _ []string) error {
			if err := b.check(); err != nil {
				return err
			}
			return b.run(ctx, out)
		},
	}
}

func (b *benchFlags) declare(fs *flag.FlagSet) {
	fs.StringVar(&b.target, "target", "", "`URL` to load, as http://127.0.0.1:19080")
	fs.StringVar(&b.direct, "direct", "", "`URL` of the server itself, to compare with")
	fs.StringVar(&b.protocol, "protocol", "openai", "openai (embeddings), kserve_v1, open_inference or chat (streams)")
	fs.StringVar(&b.concurrency, "concurrency", "1,8,64", "`numbers` of concurrent callers, one measurement each")
	fs.DurationVar(&b.duration, "duration", 5*time.Second, "time of each measurement")
	fs.Uint64Var(&b.requests, "n", 0, "`requests` that each measurement makes at least; with --duration 0 exactly")
	fs.IntVar(&b.items, "items", 1, "items of each request")
	fs.Float64Var(&b.rate, "rate", 0, "`requests` a second, at random moments (open loop); 0: each caller asks again once answered")
	fs.IntVar(&b.rounds, "rounds", 3, "with --direct: rounds that a measurement is cut into, both ways in turn")
	fs.IntVar(&b.tokens, "tokens", 50, "chat: tokens of each stream")
	fs.DurationVar(&b.gap, "gap", 5*time.Millisecond, "chat: time between two tokens")
	fs.Var(&b.headers, "header", "`line` \"name: value\" to send with every request; may be given again")
	fs.StringVar(&b.output, "o", "table", "table or json")
}

// check makes sense of the flags.
func (b *benchFlags) check() error {
	switch {
	case b.target == "":
		return cli.Usagef("--target: is missing")
	case b.output != "table" && b.output != "json":
		return cli.Usagef("-o: %q is neither table nor json", b.output)
	case b.rate < 0 || b.duration < 0 || b.duration == 0 && b.requests == 0:
		return cli.Usagef("--rate %v, --duration %v, -n %d: nothing would be measured", b.rate, b.duration, b.requests)
	case b.rounds < 1 || b.tokens < 1 || b.gap < 0:
		return cli.Usagef("--rounds %d, --tokens %d, --gap %v: too small", b.rounds, b.tokens, b.gap)
	case b.protocol == protocolChat && b.rate > 0:
		return cli.Usagef("--rate: chat has no open loop")
	}
	b.callers = nil
	for part := range strings.SplitSeq(b.concurrency, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || n < 1 {
			return cli.Usagef("--concurrency: %q is no number above 0", part)
		}
		b.callers = append(b.callers, n)
	}
	var workload load.Workload
	if b.protocol != protocolChat {
		var err error
		if workload, err = load.Workloads(b.protocol, b.items); err != nil {
			return cli.Usagef("--protocol, --items: %v (or %s)", err, protocolChat)
		}
	}
	b.ways = nil
	for _, w := range [][3]string{{"direct", "--direct", b.direct}, {"target", "--target", b.target}} {
		if w[2] == "" {
			continue
		}
		t, err := load.ParseTarget(w[2])
		if err != nil {
			return cli.Usagef("%s: %v", w[1], err)
		}
		t.Header = b.headers
		b.ways = append(b.ways, load.Way{Name: w[0], Target: t, Workload: workload})
	}
	return nil
}

// line is one measurement of one way.
type line struct {
	Concurrency int    `json:"concurrency"`
	Way         string `json:"way"`
	URL         string `json:"url"`
	// Ratio is this way's requests per second over the direct way's.
	Ratio  float64            `json:"ratio,omitempty"`
	Result *load.Result       `json:"result"`
	Stream *load.StreamResult `json:"-"`
	// Chunks holds a stream's own figures, in milliseconds.
	Chunks *chunkFigures `json:"chunks,omitempty"`
}

// run measures and prints. Wrong or failed answers are an error, after the table.
func (b *benchFlags) run(ctx context.Context, out io.Writer) error {
	var lines []line
	for _, callers := range b.callers {
		more, err := b.measure(ctx, callers)
		if err != nil {
			return err
		}
		lines = append(lines, more...)
	}
	if err := b.print(out, lines); err != nil {
		return err
	}
	for _, l := range lines {
		if !l.Result.Clean() {
			return fmt.Errorf("%s with %d callers: %s", l.Way, l.Concurrency, l.Result.Trouble())
		}
	}
	return nil
}

func (b *benchFlags) measure(ctx context.Context, callers int) ([]line, error) {
	if b.protocol == protocolChat {
		return b.streams(ctx, callers)
	}
	rounds := b.rounds
	if len(b.ways) == 1 {
		rounds = 1
	}
	totals, err := load.Paired(ctx, rounds, load.Options{
		Concurrency: callers, Duration: b.duration / time.Duration(rounds),
		Requests: (b.requests + uint64(rounds) - 1) / uint64(rounds), // #nosec G115 -- at least 1
		Rate:     b.rate,
	}, b.ways...)
	if err != nil {
		return nil, err
	}
	var lines []line
	for i, r := range totals {
		lines = append(lines, line{Concurrency: callers, Way: b.ways[i].Name, URL: b.ways[i].Target.Address, Result: r})
	}
	if len(lines) == 2 {
		lines[1].Ratio = lines[1].Result.RPS() / lines[0].Result.RPS()
	}
	return lines, nil
}

func (b *benchFlags) print(out io.Writer, lines []line) error {
	if b.output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(slices.Clip(lines))
	}
	_, err := b.table(lines).WriteTo(out)
	return err
}
