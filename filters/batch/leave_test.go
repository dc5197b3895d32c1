package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// TestGoneWhileQueued: the items leave the queue at once and are never sent.
func TestGoneWhileQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(1, 10*time.Millisecond, 0))
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { call(t.Context(), d, filtertest.Request(predictPath, instances("plug", 1))) })
		time.Sleep(time.Millisecond)
		wg.Go(func() {
			start := time.Now()
			req := filtertest.Request(predictPath, instances("gone", 3))
			r := call(ctx, d, req)
			filtertest.Spoil(req)
			require.ErrorIs(t, r.err, proxy.ErrCallerGone)
			require.ErrorContains(t, r.err, "499 DC")
			require.Equal(t, 2*time.Millisecond, time.Since(start))
		})
		for range 2 {
			wg.Go(func() {
				r := call(t.Context(), d, filtertest.Request(predictPath, instances("stays", 1)))
				require.Equal(t, echoes("stays", 1), r.body)
			})
		}
		time.Sleep(time.Millisecond)
		require.Equal(t, 5, d.house.Count(t, "friday_batch_queued_items"))
		time.Sleep(time.Millisecond)
		cancel(proxy.ErrCallerGone)
		synctest.Wait()
		require.Equal(t, 2, d.house.Count(t, "friday_batch_queued_items"))
		wg.Wait()
		require.Equal(t, []int{1, 2}, sizes(d.server.Calls()))
	})
}

// TestGoneInFlight: the call goes on for those who stay, and ends when nobody does.
func TestGoneInFlight(t *testing.T) {
	for _, stays := range []int{0, 1} {
		t.Run(fmt.Sprint(stays, " stay"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "max_queue_delay {}", filtertest.NewServer(1, 10*time.Millisecond, 0))
				var cancelled time.Time
				h := chain(t, d.house, "max_queue_delay {}", proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
					resp, err := d.server.Handle(ctx, req)
					if err != nil {
						cancelled = time.Now()
						require.ErrorIs(t, context.Cause(ctx), proxy.ErrTimeout)
					}
					return resp, err
				}))
				start := time.Now()
				ctx, cancel := context.WithTimeoutCause(t.Context(), 15*time.Millisecond, proxy.ErrTimeout)
				defer cancel()
				var wg sync.WaitGroup
				wg.Go(func() { call(t.Context(), h, filtertest.Request(predictPath, instances("plug", 1))) })
				time.Sleep(time.Millisecond)
				for i := range 4 {
					wg.Go(func() {
						name := fmt.Sprint("caller", i)
						own := ctx
						if i < stays {
							own = t.Context()
						}
						req := filtertest.Request(predictPath, instances(name, 1))
						r := call(own, h, req)
						filtertest.Spoil(req)
						if i < stays {
							require.Equal(t, echoes(name, 1), r.body)
							return
						}
						require.ErrorContains(t, r.err, "504 UT")
						require.Equal(t, 15*time.Millisecond, time.Since(start))
					})
				}
				wg.Wait()
				synctest.Wait()
				require.Equal(t, []int{1, 4}, sizes(d.server.Calls()))
				if stays == 0 {
					require.Equal(t, 15*time.Millisecond, cancelled.Sub(start))
				}
				// The slot is free again.
				require.NoError(t, call(t.Context(), h, filtertest.Request(predictPath, instances("z", 1))).err)
			})
		})
	}
}

// TestGoneBeforeTheSplit: what an answer is cut apart by (weights, ids) is still
// there when the memory of those who left is somebody else's; and the shares of
// those who stay do not depend on who has left.
func TestGoneBeforeTheSplit(t *testing.T) {
	for _, test := range []struct{ name, path, plug, gone, stays, want string }{
		{
			"text", embedPath, `{"input":"plug"}`, `{"input":["gonegonegone"]}`, `{"input":["12345678"]}`,
			`"prompt_tokens":10,`,
		},
		{
			"tokens", embedPath, `{"input":[1]}`, `{"input":[[1,2,3,4,5,6]]}`, `{"input":[[7,8]]}`,
			`"prompt_tokens":5,`, // 2 tokens of 26, of the 57 that the server counts
		},
		{
			"ids", inferPath,
			`{"id":"plug","inputs":[{"name":"a","shape":[1],"datatype":"INT64","data":[1]}]}`,
			`{"id":"gone","inputs":[{"name":"a","shape":[1],"datatype":"INT64","data":[2]}]}`,
			`{"id":"stays","inputs":[{"name":"a","shape":[1],"datatype":"INT64","data":[3]}]}`,
			`"id":"stays","outputs":[{"name":"echo","shape":[1],"datatype":"INT64","data":[3]}]`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "max_queue_delay {}", filtertest.NewServer(1, 10*time.Millisecond, 0))
				ctx, cancel := context.WithTimeoutCause(t.Context(), 15*time.Millisecond, proxy.ErrCallerGone)
				defer cancel()
				ask := func(ctx context.Context, body string) result {
					req := filtertest.Request(test.path, body)
					r := call(ctx, d, req)
					filtertest.Spoil(req)
					return r
				}
				var wg sync.WaitGroup
				wg.Go(func() { ask(t.Context(), test.plug) })
				time.Sleep(time.Millisecond)
				for range 4 {
					wg.Go(func() { require.ErrorIs(t, ask(ctx, test.gone).err, proxy.ErrCallerGone) })
				}
				wg.Go(func() {
					body := ask(t.Context(), test.stays).body
					requireJSON(t, body)
					require.Contains(t, body, test.want)
				})
				wg.Wait()
				require.Len(t, d.server.Calls(), 2)
			})
		})
	}
}

// TestStorm is everything at once: hundreds of callers of several groups, some of
// them leaving whenever they like, one item in a hundred bad. Everyone who stays
// gets the own answer, and the memory of those who left is somebody else's.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, rounds = 300, 12
		d := newDoor(t, "max_batch_size {value: 16} max_in_flight {value: 3}", filtertest.NewServer(4, 2*time.Millisecond, 100*time.Microsecond))
		d.server.Before = poisoned(500)
		var mu sync.Mutex
		var left, bad, good int
		var wg sync.WaitGroup
		for c := range callers {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(c), 42))
				for round := range rounds {
					name, items := fmt.Sprintf("c%d-r%d", c, round), 1+random.IntN(3)
					if random.IntN(60) == 0 {
						items = 17 + random.IntN(40) // more than a batch
					}
					if random.IntN(100) == 0 {
						name = "poison"
					}
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if random.IntN(4) == 0 {
						ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(random.IntN(20_000))*time.Microsecond, proxy.ErrCallerGone)
					}
					req := filtertest.Request(fmt.Sprintf("/v1/models/m%d:predict", c%3), instances(name, items))
					r := call(ctx, d, req)
					gone := ctx.Err() != nil
					cancel()
					filtertest.Spoil(req)
					mu.Lock()
					switch {
					case r.err != nil:
						left++
						require.True(t, gone, r.err)
						require.ErrorIs(t, r.err, proxy.ErrCallerGone)
					case name == "poison":
						bad++
						require.Equal(t, 500, r.status)
					default:
						good++
						require.Equal(t, 200, r.status)
						require.Equal(t, echoes(name, items), r.body)
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		t.Logf("%d good, %d bad, %d left, %d calls", good, bad, left, len(d.server.Calls()))
		require.Equal(t, callers*rounds, good+bad+left)
		require.Positive(t, bad)
		require.Positive(t, left)
		require.Zero(t, d.house.Count(t, "friday_batch_queued_items"))
		for _, c := range d.server.Calls() {
			if len(c.Items) > 16 {
				require.Contains(t, c.Body, "poison", "only what failed in pieces goes whole")
			}
		}
		// Every slot is free again: as many calls at once as there are slots.
		start := time.Now()
		for range 3 {
			wg.Go(func() {
				require.NoError(t, call(t.Context(), d, filtertest.Request("/v1/models/m0:predict", instances("z", 1))).err)
			})
		}
		wg.Wait()
		require.Less(t, time.Since(start), 5*time.Millisecond)
	})
}

// TestHungGroupBlocksNobody else.
func TestHungGroupBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", filtertest.NewServer(8, 10*time.Millisecond, 0))
		d.server.Before = func(ctx context.Context, c filtertest.Call) (*proxy.Response, error) {
			if strings.Contains(c.Path, "hung") {
				<-ctx.Done()
				return nil, proxy.AsError(ctx, context.Cause(ctx))
			}
			return nil, nil //nolint:nilnil // as ever
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				r := call(ctx, d, filtertest.Request("/v1/models/hung:predict", instances("a", 1)))
				require.ErrorIs(t, r.err, proxy.ErrCallerGone)
			})
		}
		time.Sleep(time.Second)
		start := time.Now()
		require.NoError(t, call(t.Context(), d, filtertest.Request(predictPath, instances("b", 1))).err)
		require.Equal(t, 10*time.Millisecond, time.Since(start))
		cancel(proxy.ErrCallerGone)
		wg.Wait()
	})
}

// stream is a body that yields a piece for each token it is given.
type stream struct {
	*proxy.BytesBody

	pieces chan string
	closed chan struct{}
	once   sync.Once
}

func (s *stream) Len() int64 { return -1 }

func (s *stream) Read(p []byte) (int, error) {
	select {
	case piece, ok := <-s.pieces:
		if !ok {
			return s.BytesBody.Read(nil) // io.EOF: it is empty
		}
		return copy(p, piece), nil
	case <-s.closed:
		return 0, errors.New("closed")
	}
}

func (s *stream) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// TestSlotIsHeldToTheEnd of an answer that comes in pieces, and given back once,
// however it ends.
func TestSlotIsHeldToTheEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(*stream, *proxy.Response)
	}{
		{"read to the end", func(s *stream, r *proxy.Response) {
			close(s.pieces)
			_, err := r.Body.Read(make([]byte, 10))
			require.Error(t, err)
			_, _ = r.Body.Read(make([]byte, 10))
			require.NoError(t, r.Body.Close())
			require.NoError(t, r.Close())
		}},
		{"given up", func(_ *stream, r *proxy.Response) {
			require.NoError(t, r.Body.Close())
			require.NoError(t, r.Close())
		}},
		{"cut", func(s *stream, r *proxy.Response) {
			require.NoError(t, s.Close())
			_, err := r.Body.Read(make([]byte, 10))
			require.ErrorContains(t, err, "closed")
			require.NoError(t, r.Close())
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				body := &stream{BytesBody: proxy.NewBytesBody(nil), pieces: make(chan string, 1), closed: make(chan struct{})}
				running, most := 0, 0
				house := filtertest.NewHouse(t, 1)
				h := chain(t, house, "", proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
					running++
					most = max(most, running)
					r := filtertest.Answer(200, "application/json", `{"predictions":[1]}`)
					if running == 1 {
						r.Body = body
					}
					return r, nil
				}))
				first, err := h.Handle(t.Context(), filtertest.Request(predictPath, instances("a", 1)))
				require.NoError(t, err)
				require.EqualValues(t, -1, first.Body.Len())
				var wg sync.WaitGroup
				for range 2 {
					wg.Go(func() {
						ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, proxy.ErrTimeout)
						defer cancel()
						call(ctx, h, filtertest.Request(predictPath, instances("a", 1)))
					})
				}
				body.pieces <- "x"
				_, err = first.Body.Read(make([]byte, 10))
				require.NoError(t, err)
				reading := first.Body
				wg.Go(func() { _, _ = reading.Read(make([]byte, 10)) }) // it is the server that is slow
				time.Sleep(time.Second)
				require.Equal(t, 1, running, "the others wait for the slot")
				test.end(body, first)
				wg.Wait()
				require.Greater(t, running, 1)
				require.Zero(t, house.Count(t, "friday_batch_queued_items"))
			})
		})
	}
}
