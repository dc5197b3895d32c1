package batch_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// asks is a ModelInfer call of one tensor with a row for each text, and the id.
func asks(id string, texts ...string) string {
	return filtertest.Frame(filtertest.Message("ModelInferRequest", fmt.Sprintf(
		`model_name: "m" id: %q parameters { key: "p" value { int64_param: 1 } } inputs %s`, id, texting(texts))))
}

// texting is a tensor, in prototext, with a row for each text.
func texting(texts []string) string {
	return fmt.Sprintf(`{ name: "x" datatype: "BYTES" shape: [%d] contents { bytes_contents: ["%s"] } }`,
		len(texts), strings.Join(texts, `","`))
}

// told is what asks gets.
func told(id string, texts ...string) string {
	return filtertest.Frame(filtertest.Message("ModelInferResponse", fmt.Sprintf(
		`model_name: "m" model_version: "1" id: %q outputs %s`, id, strings.Replace(texting(texts), `"x"`, `"echo"`, 1))))
}

func asking(names ...string) []*proxy.Request {
	out := make([]*proxy.Request, len(names))
	for i, name := range names {
		out[i] = filtertest.GRPCRequest(asks("id-"+name, name))
	}
	return out
}

func requireMessage(t *testing.T, want, got string) {
	t.Helper()
	w, err := filtertest.Unframe("ModelInferResponse", want)
	require.NoError(t, err)
	g, err := filtertest.Unframe("ModelInferResponse", got)
	require.NoError(t, err)
	require.Equal(t, w.String(), g.String())
}

// TestGRPCCallsShareOne: the answers, ids, heads and trailers are everybody's own,
// and the merged call's head is true of it.
func TestGRPCCallsShareOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		requests := asking("a", "b", "c")
		requests = append(requests, filtertest.GRPCRequest(asks("", "d", "e")))
		for i, timeout := range []string{"1m", "2S", "3S", "4S"} {
			requests[i].Header.Set("grpc-timeout", timeout)
			requests[i].Header.Set("grpc-accept-encoding", "gzip, identity")
		}
		results := d.behind(asking("plug")[0], requests...)
		for i, want := range []string{told("id-a", "a"), told("id-b", "b"), told("id-c", "c"), told("", "d", "e")} {
			r := results[i]
			require.NoError(t, r.err)
			require.Equal(t, 200, r.status)
			require.Equal(t, "application/grpc", r.header["content-type"])
			require.NotContains(t, r.header, "content-length")
			require.Equal(t, map[string]string{"grpc-status": "0", "grpc-message": ""}, r.trailer)
			requireMessage(t, want, r.body)
			require.Equal(t, 5, r.req.Trace.BatchSize)
			require.Equal(t, "m", r.req.Trace.Model)
		}
		calls := d.after()
		require.Len(t, calls, 1)
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, calls[0].Items)
		head := calls[0].Header
		require.Equal(t, "trailers", head["te"])
		require.Equal(t, "identity", head["grpc-accept-encoding"])
		require.NotContains(t, head, "grpc-timeout")
		require.Equal(t, "application/grpc", head["content-type"])
	})
}

// refusing answers calls that hold the word with a status, in the trailer or, where
// there is no message, in the head.
func refusing(word, status string, bare bool) func(context.Context, filtertest.Call) (*proxy.Response, error) {
	return func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
		if !strings.Contains(c.Body, word) {
			return nil, nil //nolint:nilnil // as ever
		}
		if !bare {
			return filtertest.GRPCAnswer("", "grpc-status", status, "grpc-message", "no", "grpc-status-details-bin", "CAU"), nil
		}
		r := filtertest.Answer(200, "application/grpc", "")
		r.Body = proxy.NoBody
		r.Header.Set("grpc-status", status)
		r.Header.Set("grpc-message", "no")
		return r, nil
	}
}

func status(r result) string {
	if r.trailer != nil {
		return r.trailer["grpc-status"]
	}
	return r.header["grpc-status"]
}

// TestOnlyTheGuiltyGRPCCallsFail: what may be about one item is asked again in
// halves, also where HTTP says 200.
func TestOnlyTheGuiltyGRPCCallsFail(t *testing.T) {
	for _, code := range []string{"2", "3", "5", "11", "13", "99", "none"} {
		for _, bare := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", newServer())
				d.server.Before = refusing("poison", code, bare)
				names := letters(8)
				names[5] = "poison"
				for i, r := range d.behind(asking("plug")[0], asking(names...)...) {
					require.NoError(t, r.err)
					if i == 5 {
						require.Equal(t, code, status(r))
						require.Empty(t, r.body)
						continue
					}
					require.Equal(t, "0", status(r))
					requireMessage(t, told("id-"+names[i], names[i]), r.body)
				}
				require.Len(t, d.after(), 1+4+2) // 8; 4 and 4; 2 and 2; two alone
			})
		}
	}
}

// TestSharedGRPCStatuses are not about the items: everyone gets them, nothing is
// sent again.
func TestSharedGRPCStatuses(t *testing.T) {
	for _, code := range []string{"1", "4", "7", "8", "14", "16"} {
		for _, bare := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", newServer())
				d.server.Before = refusing("poison", code, bare)
				for _, r := range d.behind(asking("plug")[0], asking("a", "poison", "c")...) {
					require.NoError(t, r.err)
					require.Equal(t, 200, r.status)
					require.Equal(t, code, status(r))
					require.Empty(t, r.body)
					if !bare {
						require.Equal(t, "CAU", r.trailer["grpc-status-details-bin"])
					}
				}
				require.Len(t, d.after(), 1)
			})
		}
	}
}

// TestTooLongForTheServer: a limit that only the merged message passes is nobody's
// fault.
func TestTooLongForTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
			if len(c.Items) < 3 {
				return nil, nil //nolint:nilnil // as ever
			}
			return filtertest.GRPCAnswer("", "grpc-status", "8",
				"grpc-message", "grpc: received message larger than max (5000000 vs. 4194304)"), nil
		}
		for _, r := range d.behind(asking("plug")[0], asking(letters(4)...)...) {
			require.Equal(t, "0", status(r))
		}
		require.Equal(t, []int{4, 2, 2}, sizes(d.after()))
		require.Equal(t, 1, d.house.Count(t, "friday_batch_fallback_total", "reason", "too_large"))
	})
}

// TestNoAnswerOfGRPCs: each asks alone.
func TestNoAnswerOfGRPCs(t *testing.T) {
	for name, answer := range map[string]func() *proxy.Response{
		"compressed":   func() *proxy.Response { return filtertest.GRPCAnswer("\x01\x00\x00\x00\x00", "grpc-status", "0") },
		"no message":   func() *proxy.Response { return filtertest.GRPCAnswer("", "grpc-status", "0") },
		"too few":      func() *proxy.Response { return filtertest.GRPCAnswer(told("", "a"), "grpc-status", "0") },
		"two messages": func() *proxy.Response { return filtertest.GRPCAnswer(told("", "a", "b")+told(""), "grpc-status", "0") },
		"no status":    func() *proxy.Response { return filtertest.GRPCAnswer(told("", "a", "b")) },
		"HTTP's error": func() *proxy.Response { return filtertest.Answer(502, "text/plain", "no") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, "", newServer())
				d.server.Before = func(_ context.Context, c filtertest.Call) (*proxy.Response, error) {
					if len(c.Items) < 2 {
						return nil, nil //nolint:nilnil // as ever
					}
					return answer(), nil
				}
				for i, r := range d.behind(asking("plug")[0], asking("a", "b")...) {
					name := []string{"a", "b"}[i]
					requireMessage(t, told("id-"+name, name), r.body)
					require.Equal(t, "0", r.trailer["grpc-status"])
				}
				require.Equal(t, []int{2, 1, 1}, sizes(d.after()))
			})
		})
	}
}

// TestGRPCInPieces: a call that holds more rows than a batch may is cut and joined,
// and what is not about its items is its answer at once.
func TestGRPCInPieces(t *testing.T) {
	for _, code := range []string{"", "14", "13"} {
		synctest.Test(t, func(t *testing.T) {
			d := newDoor(t, "max_batch_size { value: 2 }", newServer())
			if code != "" {
				d.server.Before = refusing("c02", code, false)
			}
			r := d.behind(asking("plug")[0], filtertest.GRPCRequest(asks("whole", letters(5)...)))[0]
			require.NoError(t, r.err)
			switch code {
			case "":
				requireMessage(t, told("whole", letters(5)...), r.body)
				require.Equal(t, "0", status(r))
				require.Equal(t, []int{2, 2, 1}, sizes(d.after()))
			case "14":
				require.Equal(t, code, status(r))
				require.Equal(t, 0, d.house.Count(t, "friday_batch_fallback_total", "reason", "mismatch"))
				require.NotContains(t, sizes(d.after()), 5)
			case "13":
				require.Equal(t, code, status(r))
				require.Contains(t, sizes(d.after()), 5, "in the end as it came")
			}
		})
	}
}

// TestGRPCCallerLeaves while the call is on its way: the others get theirs.
func TestGRPCCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, "", newServer())
		ctx, leave := context.WithTimeoutCause(t.Context(), 15*time.Millisecond, proxy.ErrCallerGone)
		defer leave()
		gone := asking("gone")[0]
		left := make(chan error, 1)
		go func() {
			time.Sleep(2 * time.Millisecond) // virtual: behind the plug
			r := call(ctx, d, gone)
			filtertest.Spoil(gone)
			left <- r.err
		}()
		results := make(chan result, 2)
		for _, req := range asking("a", "b") {
			go func() {
				time.Sleep(2 * time.Millisecond) // virtual: behind the plug
				results <- call(t.Context(), d, req)
			}()
		}
		plug := call(t.Context(), d, asking("plug")[0])
		require.NoError(t, plug.err)
		require.ErrorIs(t, <-left, proxy.ErrCallerGone)
		for range 2 {
			r := <-results
			require.NoError(t, r.err)
			require.Equal(t, "0", status(r))
		}
		require.Equal(t, []int{3}, sizes(d.after()))
	})
}
