//go:build interop

package differential

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/fridaymesh/friday/bench/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDifferential(t *testing.T) {
	stage := newStage(t)
	sides := newSides(t, stage)
	used := map[string]bool{}
	all, equal := cases(), 0
	for i, c := range all {
		if t.Run(c.Name, func(t *testing.T) { run(t, sides, strconv.Itoa(i), &c, used) }) {
			equal++
		}
	}
	t.Logf("%d of %d cases have equal outcomes, in %d requests", equal, len(all), sides[0].ids.Load())
	for name := range differences() {
		if !used[name] {
			t.Logf("the difference %q was not needed by the cases that ran", name)
		}
	}
}

// TestDifferencesAreDocumented holds docs/envoy.md against the list.
func TestDifferencesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/envoy.md")
	require.NoError(t, err)
	for name, d := range differences() {
		require.Contains(t, string(text), "| "+name+" | "+d.reason+" |\n")
	}
}

// run gives both sides a case, one configuration after the other.
func run(t *testing.T, sides []*side, id string, c *Case, used map[string]bool) {
	t.Helper()
	for _, name := range c.Allow {
		require.Contains(t, differences(), name, "not in the list of differences")
	}
	for _, s := range sides {
		addresses, err := process.FreeAddresses(0)
		require.NoError(t, err)
		s.listen = addresses[0]
	}
	afterRefusal := false
	name := "case-" + id
	steps := append([]Step{{Config: c.Config, Requests: c.Requests, Each: c.Each}}, c.Then...)
	for i, step := range steps {
		version := id + "." + strconv.Itoa(i)
		for _, s := range sides {
			if step.Refused != "" {
				s.refuse(t, name, version, step.Refused, &step.Config)
				continue
			}
			s.push(t, name, version, &step.Config, i == 0, afterRefusal)
		}
		afterRefusal = step.Refused != ""
		for k := range step.Requests {
			r := &step.Requests[k]
			for n := range max(1, r.Times) {
				compare(t, sides, fmt.Sprintf("step %d, request %d (%s %s), time %d", i, k, r.Method, r.Path, n), r, c.Allow, used)
			}
		}
		if step.Each != nil {
			require.Equal(t, step.Each(t, sides[0]), step.Each(t, sides[1]), "step %d: envoy (expected), friday (actual)", i)
		}
	}
}

// outcome is what is compared.
type outcome struct {
	Error  string
	Status int
	Header http.Header
	Body   string
	Cut    bool
	Class  int
	Seen   []seen
	TLS    string
}

// compare sends one request to both sides.
func compare(t *testing.T, sides []*side, what string, r *Request, allow []string, used map[string]bool) {
	t.Helper()
	var outcomes [2]outcome
	for i, s := range sides {
		a, err := s.send(t.Context(), r)
		if err != nil {
			outcomes[i] = outcome{Error: "the connection was closed"}
			continue
		}
		outcomes[i] = a.outcome(r)
		for name, d := range differences() {
			if (d.everywhere || slices.Contains(allow, name)) && d.forgive(s.name, &outcomes[i]) {
				used[name] = true
			}
		}
	}
	require.Equal(t, outcomes[0], outcomes[1], "%s: envoy (expected), friday (actual)", what)
}

// outcome drops what may vary.
func (a *answer) outcome(r *Request) outcome {
	o := outcome{Status: a.Status, Header: a.Header.Clone(), Body: a.Body, Cut: a.Cut, Seen: a.Seen, TLS: a.TLS}
	o.Header.Del("Date")
	for _, b := range r.Borders {
		if a.Took > b {
			o.Class++
		}
	}
	if r.AnyEndpoint {
		if o.Header.Get("X-Endpoint") == o.Body {
			o.Body = ""
		}
		o.Header.Del("X-Endpoint")
		for i := range o.Seen {
			o.Seen[i].Endpoint = "any"
		}
	}
	if r.Settle > 0 { // who comes first does not matter
		slices.SortFunc(o.Seen, func(a, b seen) int {
			return len(a.Host) - len(b.Host) + 1000*int(a.Endpoint[0]) - 1000*int(b.Endpoint[0])
		})
	}
	return o
}
