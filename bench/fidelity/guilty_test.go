package fidelity_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/standin"
)

// Of many that meet, only the poisoned one gets the error, with its status,
// headers and body as the server says them to it alone.
func TestOnlyTheGuiltyFail(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 413, 422, 500, 502} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, free)
			w.slowly()
			requests := numbered(32, "m", "text")
			requests[17] = embedding("m", fmt.Sprintf("poison%d here", status))
			answers, calls := w.same(excuse{usage: true}, requests...)
			for i, a := range answers {
				if i == 17 {
					require.Equal(t, status, a.status)
					require.Equal(t, "0", a.header.Get(standin.PoisonHeader), "it is the first of its own")
					continue
				}
				require.Equal(t, 200, a.status)
			}
			require.Less(t, calls, 64, "not everybody pays for it")
		})
	}
	t.Run("rows", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, free)
		w.slowly()
		var requests []*request
		for i := range 24 {
			requests = append(requests, rowsOf(2, i)...)
		}
		requests[9] = post("/v2/models/m/infer", `{"inputs":[{"name":"input","shape":[1,2],"datatype":"FP64","data":[1,-666]}]}`)
		requests[20] = post("/v1/models/m:predict", `{"instances":[[1,2],[-667,2]]}`)
		answers, _ := w.same(excuse{}, requests...)
		require.Equal(t, 400, answers[9].status)
		require.Equal(t, 500, answers[20].status)
		require.Equal(t, "1", answers[20].header.Get(standin.PoisonHeader))
	})
	t.Run("several, and the server hangs up", func(t *testing.T) {
		t.Parallel()
		c := free
		c.HangUp = true
		w := newWorld(t, c)
		w.slowly()
		requests := numbered(32, "m", "text")
		for _, i := range []int{3, 4, 30} {
			requests[i] = embedding("m", fmt.Sprint("poison500 ", i))
		}
		answers, _ := w.same(excuse{usage: true}, requests...)
		require.Equal(t, 500, answers[30].status)
	})
}

// What is not about the items is passed to each, and nobody asks again.
func TestRefusalsArePassedAndNotReplayed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		requests     []*request
		status       int
		header, says string
	}{
		"401": {numbered(24, "m", "text", "authorization: "+standin.Expired), 401, "Www-Authenticate", `Bearer realm="standin", error="invalid_token"`},
		"403": {numbered(24, "m", "text", "authorization: "+standin.Forbidden), 403, "Content-Type", "application/json"},
		"429": {numbered(24, "limited", "text"), 429, "Retry-After", "7"},
		"503": {numbered(24, "unavailable", "text"), 503, "Retry-After", "7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, free)
			w.slowly()
			answers, calls := w.same(excuse{}, tc.requests...)
			for _, a := range answers {
				require.Equal(t, tc.status, a.status)
				require.Equal(t, tc.says, a.header.Get(tc.header))
			}
			require.LessOrEqual(t, calls, len(tc.requests), "nobody asks twice")
		})
	}
	// One item's 429 is everybody's in its call, but it is not asked for again.
	t.Run("of an item", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, free)
		w.slowly()
		requests := numbered(24, "m", "text")
		requests[5] = embedding("m", "poison429")
		for _, a := range all(t.Context(), t, w.through, requests...) {
			require.NoError(t, a.err)
			require.Contains(t, []int{200, 429}, a.status)
			if a.status == 429 {
				require.Equal(t, "7", a.header.Get("Retry-After"))
			}
		}
		require.Equal(t, 1, w.holding("poison429"))
		require.LessOrEqual(t, len(w.calls()), len(requests))
	})
}

// A server that is not there is one 503 for each.
func TestARefusedConnection(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	f := newFriday(t, resources(t, ln.Addr().String()))
	for _, a := range all(t.Context(), t, f.Addresses()["inbound"], numbered(24, "m", "text")...) {
		require.NoError(t, a.err)
		require.Equal(t, 503, a.status)
	}
}

// A server that gives too few results, or none for each: nobody gets another's,
// and the model is not batched from then on.
func TestAMismatchNeverMisassigns(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"miscount", "shapeless"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, free)
			w.slowly()
			for range 3 { // until some have met
				w.same(excuse{usage: true}, numbered(24, model, "text")...)
			}
			_, calls := w.same(excuse{usage: true}, numbered(24, model, "again")...)
			require.Equal(t, 24, calls, "each alone")
			_, calls = w.same(excuse{usage: true}, numbered(24, "m", "other model")...)
			require.Less(t, calls, 24, "other models are not touched")
		})
	}
}

// A model that takes one item at a time only: everybody is answered all the same.
func TestAModelThatTakesOneAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	for range 3 {
		w.same(excuse{usage: true}, numbered(24, "single", "text")...)
	}
}

// Answers that come compressed, or in another order, are everybody's own.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	for _, model := range []string{"gzip", "reversed", "nocount"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, free)
			w.slowly()
			for range 2 {
				w.same(excuse{usage: true}, numbered(24, model, "text")...)
				w.same(excuse{usage: true}, textsOf(70, model, "large"), textsOf(3, model, "small"), textsOf(3, model, "other"))
			}
		})
	}
}

// Nobody gets the cookie of a call that was others', too.
func TestCookiesAreNotShared(t *testing.T) {
	t.Parallel()
	w := newWorld(t, free)
	w.slowly()
	seen := map[string]int{}
	for range 2 {
		for _, a := range w.good(w.through, numbered(24, "cookie", "text")...) {
			if cookie := a.header.Get("Set-Cookie"); cookie != "" {
				seen[cookie]++
			}
		}
	}
	direct := map[string]bool{}
	for _, a := range w.good(w.direct, numbered(24, "cookie", "text")...) {
		direct[a.header.Get("Set-Cookie")] = true
	}
	for cookie, n := range seen {
		require.True(t, direct[cookie], "%s is of one request alone", cookie)
		require.LessOrEqual(t, n, 2, "one for each time that the request was made")
	}
}
