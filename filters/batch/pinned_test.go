package batch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

// What was chosen for the requests holds for the call that they share, also where it is
// to be tried once more; and an address that was let go of and has come back is the one
// of now.
func TestPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := filtertest.NewServer(1, 10*time.Millisecond, 0)
		var mu sync.Mutex
		var seen []*proxy.Request
		d := chain(t, filtertest.NewHouse(t, 1), `max_in_flight: {value: 1}`, proxy.HandlerFunc(func(ctx context.Context, req *proxy.Request) (*proxy.Response, error) {
			if req.Header.IsPost() { // else it asks about the model
				mu.Lock()
				seen = append(seen, req)
				mu.Unlock()
			}
			return server.Handle(ctx, req)
		}))
		for range 2 {
			ep := &proxy.Endpoint{Address: "10.9.9.9:80"}
			ep.Healthy.Store(true)
			var wg sync.WaitGroup
			for i := range 5 {
				req := filtertest.Request(predictPath, fmt.Sprintf(`{"instances":[%d]}`, i))
				req.Endpoint, req.OriginalDestination = ep, ep.Address
				wg.Go(func() { require.NoError(t, call(t.Context(), d, req).err) })
			}
			wg.Wait()
			require.Less(t, len(seen), 5, "some went together")
			for _, req := range seen {
				require.Same(t, ep, req.Endpoint)
				require.Equal(t, ep.Address, req.OriginalDestination)
			}
			seen = nil
		}
	})
}
