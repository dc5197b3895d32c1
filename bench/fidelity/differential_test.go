package fidelity_test

import (
	"hash/fnv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
)

const (
	// requests of each protocol.
	requests = 1000
	// inFlight at once, through Friday.
	inFlight = 8

	searchUnits = "meta.billed_units.search_units"
)

// TestTheAnswerIsTheDirectOne sends every request to the server and through Friday
// and compares the answers; token counts, where a call's are shared out, by their
// sums over the good ones.
func TestTheAnswerIsTheDirectOne(t *testing.T) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			h := fnv.New64a()
			_, _ = h.Write([]byte(f.name))
			g := newGenerator(h.Sum64())
			list := make([]*request, requests)
			for i := range list {
				list[i] = g.disturb(f.make(g))
			}
			w := newWorld(t, standin.Config{Dimensions: 4, Tokens: 3})
			direct, counted := differ(t, w, w.direct, list)
			w.forget()
			w.cost(time.Millisecond, 20*time.Microsecond)
			through, also := differ(t, w, w.through, list)
			wrong := 0
			var good []*request
			var sums [2]map[string]int64
			for i := range sums {
				sums[i] = map[string]int64{}
			}
			for i := range list {
				if why := compare(direct[i], through[i], f.excuse); why != "" {
					wrong++
					if wrong < 4 {
						t.Errorf("request %d: %s\n%s", i, why, list[i])
					}
					continue
				}
				if direct[i].status == 200 {
					good = append(good, list[i])
					tally(sums[0], direct[i])
				}
			}
			require.Zero(t, wrong, "answers that differ")
			require.Greater(t, len(good), requests/2, "most requests are good ones")
			if f.usage {
				// By themselves: a piece of a large request of which another is refused
				// takes its share of a call along, and nobody is told it.
				again, _ := differ(t, w, w.through, good)
				for _, a := range again {
					tally(sums[1], a)
				}
				// What Cohere bills, it bills for a call of up to a hundred documents.
				require.LessOrEqual(t, sums[1][searchUnits], sums[0][searchUnits])
				for i := range sums {
					delete(sums[i], searchUnits)
				}
				require.Equal(t, sums[0], sums[1], "token counts of all answers together")
			}
			t.Logf("%d calls directly, %d through Friday, %d answered 200, largest call %d items", counted, also, len(good), w.largest())
			switch f.does {
			case batches:
				require.Less(t, also, counted, "calls are shared")
			case passes, unspoken:
				require.Equal(t, counted, also, "each request is one call")
			}
		})
	}
}

// differ asks all requests, so many at once, and counts the server's calls.
func differ(t *testing.T, w *world, address string, list []*request) ([]*answer, int) {
	t.Helper()
	answers := make([]*answer, len(list))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			c := newCaller(t, address)
			defer c.close()
			for i := int(next.Add(1)) - 1; i < len(list); i = int(next.Add(1)) - 1 {
				answers[i] = c.ask(t.Context(), list[i])
			}
		})
	}
	wg.Wait()
	return answers, len(w.calls())
}
