package filtertest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/filtertest"
	"github.com/fridaymesh/friday/proxy"
)

func TestServerAnswersEachItemByItself(t *testing.T) {
	s := filtertest.NewServer(1, 0, 0)
	for _, test := range []struct {
		path, body, want string
		items            []string
	}{
		{
			"/v1/embeddings", `{"model":"e","input":["a","bc"]}`,
			`{"object":"list","data":[{"object":"embedding","index":0,"embedding":[3,97.0]},{"object":"embedding","index":1,"embedding":[4,98.0]}],` +
				`"model":"e","usage":{"prompt_tokens":7,"total_tokens":7}}`,
			[]string{`"a"`, `"bc"`},
		},
		{"/v1/models/m:predict", `{"instances":[1.0,{}]}`, `{"predictions":[{"echo":1.0},{"echo":{}}]}`, []string{"1.0", "{}"}},
		{
			"/v2/models/m/infer", `{"id":"7","inputs":[{"shape":[2,2],"datatype":"INT64","data":[1,2,3,4]}]}`,
			`{"model_name":"m","id":"7","outputs":[{"name":"echo","shape":[2,2],"datatype":"INT64","data":[1,2,3,4]}]}`,
			[]string{"1,2", "3,4"},
		},
	} {
		resp, err := s.Handle(t.Context(), filtertest.Request(test.path, test.body))
		require.NoError(t, err)
		require.Equal(t, 200, resp.Header.StatusCode())
		require.JSONEq(t, test.want, filtertest.ReadBody(t, resp))
		calls := s.Calls()
		require.Equal(t, test.items, calls[len(calls)-1].Items)
	}
	resp, err := s.Handle(t.Context(), filtertest.Request("/v1/embeddings", "no JSON"))
	require.NoError(t, err)
	require.Equal(t, 404, resp.Header.StatusCode())
	require.NoError(t, resp.Close())
}

func TestServerTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := filtertest.NewServer(1, 10*time.Millisecond, time.Millisecond)
		start := time.Now()
		resp, err := s.Handle(t.Context(), filtertest.Request("/v1/models/m:predict", `{"instances":[1,2]}`))
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		require.Equal(t, 12*time.Millisecond, time.Since(start))

		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, proxy.ErrCallerGone)
		defer cancel()
		_, err = s.Handle(ctx, filtertest.Request("/v1/models/m:predict", `{"instances":[1]}`))
		require.ErrorIs(t, err, proxy.ErrCallerGone)
	})
}
