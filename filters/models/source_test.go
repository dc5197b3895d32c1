package models

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/filters/models/modelstest"
	"github.com/fridaymesh/friday/proxy"
)

// A source that is not there: failed, with why; not ready, where it is required; tried
// again, less and less often; and ready once it comes.
func TestASourceThatIsNotThere(t *testing.T) {
	repository, from := t.TempDir(), filepath.Join(t.TempDir(), "weights")
	s := &modelstest.Server{Repository: repository}
	within(t, s, fmt.Sprintf(`models {name: "m" version: "1" source: "file://%s" required: true} repository: %q`, from, repository), func(r *rig) {
		attempts := func(d time.Duration) int {
			before := r.state("m").Attempts
			time.Sleep(d)
			return r.state("m").Attempts - before
		}
		first := attempts(10 * time.Second)
		state := r.state("m")
		require.Equal(t, string(failed), state.State)
		require.Contains(t, state.LastError, "no such file")
		require.True(t, state.Required)
		require.False(t, state.Serving)
		require.NotNil(t, state.RetryAt)
		time.Sleep(5 * time.Minute)
		later := attempts(10 * time.Second)
		require.Greater(t, first, later, "the delays grow")
		require.GreaterOrEqual(t, attempts(10*time.Minute), 10, "and are bounded")
		require.Empty(t, s.Calls(), "what was not fetched is not loaded")
		require.NoError(t, os.WriteFile(from, []byte("w"), 0o600))
		time.Sleep(time.Minute)
		require.True(t, r.state("m").Serving)
		require.Equal(t, uint64(1), r.state("m").Bytes)
		require.Equal(t, 1, r.house.Count(t, "friday_model_fetched_bytes_total"))
	})
}

// A corrupted artefact is never loaded.
func TestACorruptedSourceIsNeverLoaded(t *testing.T) {
	repository, from := t.TempDir(), filepath.Join(t.TempDir(), "weights")
	require.NoError(t, os.WriteFile(from, []byte("w"), 0o600))
	s := &modelstest.Server{Repository: repository}
	sum := fmt.Sprintf("%064x", 1)
	within(t, s, fmt.Sprintf(`models {name: "m" version: "1" source: "file://%s" sha256: %q preload: true} repository: %q`, from, sum, repository), func(r *rig) {
		time.Sleep(time.Minute)
		require.Contains(t, r.state("m").LastError, "its sha256 is")
		require.Empty(t, s.Calls())
		require.NoDirExists(t, filepath.Join(repository, "m"))
	})
}

// Requests over gRPC that name no version get that which is served.
func TestGRPCIsPinned(t *testing.T) {
	repository, one, two := t.TempDir(), source(t, "one"), source(t, "two")
	s := &modelstest.Server{Repository: repository}
	config := func(version, source string) string {
		return fmt.Sprintf(`models {name: "m" version: %q source: %q} repository: %q`, version, source, repository)
	}
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "m")
	body := string(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
	within(t, s, config("1", one), func(r *rig) {
		seen := make(chan ask, 1)
		r.next = proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
			whole := req.Body.(*proxy.BytesBody)
			require.Equal(t, len(whole.Bytes()), req.Header.ContentLength())
			a, _ := readMessage(whole.Bytes())
			seen <- a
			return filtertest.Answer(200, "application/grpc", ""), nil
		})
		for _, version := range []string{"1", "2"} {
			if version == "2" {
				r.push(config("2", two))
				synctest.Wait()
			}
			status, _, _ := r.ask(r.t.Context(), grpcInfer, body)
			require.Equal(t, 200, status)
			require.Equal(t, ask{model: "m", version: version, grpc: true}, <-seen)
		}
	})
}

// A body that is pulled counts as in flight until it is closed.
func TestAStreamIsInFlightUntilItsEnd(t *testing.T) {
	within(t, &modelstest.Server{}, `models {name: "m"}`, func(r *rig) {
		r.next = proxy.HandlerFunc(func(context.Context, *proxy.Request) (*proxy.Response, error) {
			resp := filtertest.Answer(200, "text/event-stream", "data: 1\n\n")
			resp.Body = &countedBody{Body: resp.Body, leave: func() {}} // not all in memory
			return resp, nil
		})
		resp, err := r.filter.Load().Handle(r.t.Context(), filtertest.Request(infer("m"), "{}"), r.next)
		require.NoError(t, err)
		require.EqualValues(t, 1, r.state("m").InFlight)
		require.NoError(t, resp.Body.Close())
		require.NoError(t, resp.Close())
		require.EqualValues(t, 0, r.state("m").InFlight, "closed twice, counted once")
	})
}
