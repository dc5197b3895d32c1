package batch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// words are a text's tokens, which have nothing to do with its length.
func words(text string) int {
	if strings.Contains(text, "dear") {
		return 40
	}
	return 2
}

// speaking is a flavour that can change.
func speaking(flavour string) *atomic.Value {
	v := new(atomic.Value)
	v.Store(flavour)
	return v
}

// embedder counts words, and tells them as flavour does; its calls take 10 ms.
func embedder(flavour *atomic.Value) *filtertest.Server {
	s := newServer()
	s.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
		var data []string
		tokens := 0
		for i, item := range c.Items {
			data = append(data, fmt.Sprintf(`{"object":"embedding","index":%d,"embedding":[1]}`, i))
			tokens += words(item)
		}
		return filtertest.Answer(200, "application/json", fmt.Sprintf(
			`{"data":[%s],"model":"e","usage":{"prompt_tokens":%d,"total_tokens":%d}}`, strings.Join(data, ","), tokens, tokens)), nil
	}
	s.Asked = func(ctx context.Context, q filtertest.Call) (*proxy.Response, error) {
		var body struct {
			Inputs          []string
			Prompt, Content string
		}
		if q.Path != "/tokenize" {
			return nil, nil
		}
		if err := json.Unmarshal([]byte(q.Body), &body); err != nil {
			return nil, err
		}
		ids := func(text string) string {
			return "[" + strings.TrimSuffix(strings.Repeat("1,", words(text)), ",") + "]"
		}
		answer, speaks := "", flavour.Load().(string)
		switch {
		case speaks == "hangs":
			<-ctx.Done()
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		case strings.HasPrefix(speaks, "tei") && body.Inputs != nil:
			var lists []string
			for _, text := range body.Inputs {
				lists = append(lists, ids(text+strings.TrimPrefix(speaks, "tei")))
			}
			answer = "[" + strings.Join(lists, ",") + "]"
		case speaks == "vllm" && body.Prompt != "":
			answer = fmt.Sprintf(`{"count":%d,"max_model_len":512}`, words(body.Prompt))
		case speaks == "llama.cpp" && body.Content != "":
			answer = `{"tokens":` + ids(body.Content) + `}`
		default:
			return nil, nil
		}
		return filtertest.Answer(200, "application/json", answer), nil
	}
	return s
}

// usages has a dear text and two others embedded together, and returns what each is
// told that it cost, and how that was found.
func usages(d *door) (tokens []int, kinds []string) {
	requests := embeds("dear", "cheap, however long it may be, as this one is", "b")
	for _, r := range requests {
		r.Header.Set("x-friday-debug", "1")
	}
	for _, r := range d.behind(embeds("plug")[0], requests...) {
		require.NoError(d, r.err)
		var answer struct {
			Usage struct {
				Prompt int `json:"prompt_tokens"`
			}
		}
		require.NoError(d, json.Unmarshal([]byte(r.body), &answer))
		tokens = append(tokens, answer.Usage.Prompt)
		kinds = append(kinds, r.header["x-friday-usage"])
	}
	time.Sleep(time.Millisecond) // virtual: what is looked for beside the requests is found
	return tokens, kinds
}

// tokenQuestions is how often the server was asked for tokens.
func tokenQuestions(s *filtertest.Server) int { return len(s.Questions()) - len(limitQuestions(s)) }

var (
	exactly = []string{"exact", "exact", "exact"}
	about   = []string{"proportional", "proportional", "proportional"}
)

// TestExactUsage: a server that tells how many tokens each text has is found out by
// the first call, and then everybody is told what its own text costs.
func TestExactUsage(t *testing.T) {
	for _, test := range []struct {
		flavour, config string
		kinds           []string
		look, use       int // questions
	}{
		{"tei", "", exactly, 1, 1},
		{"vllm", "", exactly, 1 + 3, 3},
		{"llama.cpp", "", exactly, 1 + 1 + 3, 3},
		{"tei, dear", "", about, 1 + 1 + 1, 0}, // its sum is another
		{"none", "", about, 1 + 1 + 1, 0},
		{"tei", "usage: PROPORTIONAL", about, 0, 0},
	} {
		t.Run(test.flavour+test.config, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, test.config, embedder(speaking(test.flavour)))
				tokens, kinds := usages(d)
				require.Equal(t, about, kinds)
				require.Equal(t, 44, tokens[0]+tokens[1]+tokens[2])
				require.NotEqual(t, 40, tokens[0])
				require.Equal(t, test.look, tokenQuestions(d.server))
				tokens, kinds = usages(d)
				require.Equal(t, test.kinds, kinds)
				require.Equal(t, 44, tokens[0]+tokens[1]+tokens[2])
				if test.use > 0 {
					require.Equal(t, []int{40, 2, 2}, tokens)
				}
				require.Equal(t, test.look+test.use, tokenQuestions(d.server))
				exact := 0
				if test.use > 0 {
					exact = 3
				}
				require.Equal(t, exact, d.house.Count(t, "friday_batch_usage_total", "kind", "exact"))
				require.Equal(t, 6-exact, d.house.Count(t, "friday_batch_usage_total", "kind", "proportional"))
			})
		})
	}
}

// TestOneQuestionAtATime: a call and what is asked for its sake take two connections, no
// more than the callers whose requests it holds would have taken.
func TestOneQuestionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := embedder(speaking("llama.cpp"))
		var now, most atomic.Int64
		asked := s.Asked
		s.Asked = func(ctx context.Context, q filtertest.Call) (*proxy.Response, error) {
			n := now.Add(1)
			defer now.Add(-1)
			most.Store(max(most.Load(), n))
			time.Sleep(time.Millisecond)
			return asked(ctx, q)
		}
		d := newDoor(t, "", s)
		usages(d)
		time.Sleep(10 * time.Millisecond)
		_, kinds := usages(d)
		require.Equal(t, exactly, kinds)
		require.EqualValues(t, 1, most.Load())
	})
}

// TestCountsComeLate: an answer waits 50 ms for them at the most, three times, and then
// for five minutes not at all.
func TestCountsComeLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flavour := speaking("vllm")
		d := newDoor(t, "", embedder(flavour))
		usages(d)
		round := func() ([]string, time.Duration) {
			start := time.Now()
			_, kinds := usages(d)
			return kinds, time.Since(start)
		}
		kinds, prompt := round()
		require.Equal(t, exactly, kinds)
		flavour.Store("hangs")
		for range 3 {
			before := tokenQuestions(d.server)
			kinds, took := round()
			require.Equal(t, about, kinds)
			require.InDelta(t, prompt+50*time.Millisecond, took, float64(5*time.Millisecond))
			require.Equal(t, before+1, tokenQuestions(d.server))
		}
		before := tokenQuestions(d.server)
		kinds, took := round()
		require.Equal(t, about, kinds)
		require.InDelta(t, prompt, took, float64(5*time.Millisecond))
		require.Equal(t, before, tokenQuestions(d.server))

		flavour.Store("tei") // another server by now
		time.Sleep(5 * time.Minute)
		round()
		kinds, _ = round()
		require.Contains(t, kinds, "exact")
	})
}

// TestCountsOfManyTexts: of a tokenizer that takes one text each, they cost too much.
func TestCountsOfManyTexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flavour := speaking("vllm")
		d := newDoor(t, "max_batch_size {value: 100}", embedder(flavour))
		usages(d)
		before := tokenQuestions(d.server)
		for _, r := range d.behind(embeds("plug")[0], embeds(letters(65)...)...) {
			require.NoError(t, r.err)
			require.NotContains(t, r.header, "x-friday-usage", "nobody asked")
		}
		require.Equal(t, []int{65}, sizes(d.server.Calls()[len(d.server.Calls())-1:]))
		require.Equal(t, before, tokenQuestions(d.server))
	})
}

// TestTokenIDs are counted without a question.
func TestTokenIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := newServer()
		server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if len(c.Items) < 2 {
				return nil, nil
			}
			return filtertest.Answer(200, "application/json",
				`{"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[2]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}`), nil
		}
		d := newDoor(t, "", server)
		results := d.behind(filtertest.Request(embedPath, `{"model":"e","input":[7]}`),
			filtertest.Request(embedPath, `{"model":"e","input":[1,2,3]}`, "x-friday-debug", "1"),
			filtertest.Request(embedPath, `{"model":"e","input":[1]}`, "x-friday-debug", "1"))
		for i, want := range []string{`"prompt_tokens":3`, `"prompt_tokens":1`} {
			require.Contains(t, results[i].body, want)
			require.Equal(t, "exact", results[i].header["x-friday-usage"])
		}
		require.Zero(t, tokenQuestions(server))
	})
}

// TestUsageOfPieces: a request that was cut is told the sum of what its pieces cost.
func TestUsageOfPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flavour := speaking("tei")
		d := newDoor(t, "max_batch_size {value: 4} max_in_flight {value: 2}", embedder(flavour))
		usages(d)
		large := filtertest.Request(embedPath, `{"model":"e","input":["a","b","dear","c","d"]}`, "x-friday-debug", "1")
		results := d.behind(embeds("plug")[0], large, embeds("e")[0])
		require.Contains(t, results[0].body, `"prompt_tokens":48`)
		require.Equal(t, "exact", results[0].header["x-friday-usage"])
		require.Contains(t, results[1].body, `"prompt_tokens":2`)
	})
}

// TestCallersLeaveWhileCounting: nothing is left behind, and what is theirs is not
// touched.
func TestCallersLeaveWhileCounting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flavour := speaking("tei")
		d := newDoor(t, "", embedder(flavour))
		for _, next := range []string{"tei", "hangs"} {
			var wg sync.WaitGroup
			wg.Go(func() { call(t.Context(), d, embeds("plug")[0]) })
			time.Sleep(time.Millisecond)
			for i := range 8 {
				wg.Go(func() {
					// Before the merged call, in it, and while its answer waits for the counts.
					ctx, cancel := context.WithTimeoutCause(t.Context(), time.Duration(5+4*i)*time.Millisecond, proxy.ErrCallerGone)
					defer cancel()
					req := embeds(fmt.Sprint("text ", i))[0]
					call(ctx, d, req)
					filtertest.Spoil(req)
				})
			}
			wg.Wait()
			time.Sleep(time.Second)
			flavour.Store(next)
		}
	})
}
