package standard_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/jobs"
	"github.com/fridaymesh/friday/filters/models"
	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/filters/stream"
)

func TestRegistry(t *testing.T) {
	r := standard.Registry()
	require.Equal(t, []string{batch.TypeURL, cache.TypeURL, jobs.TypeURL, models.TypeURL, stream.TypeURL}, r.TypeURLs())
	for _, url := range r.TypeURLs() {
		factory, config, err := r.Parse(&anypb.Any{TypeUrl: url})
		require.NoError(t, err)
		require.Equal(t, url, factory.TypeURL())
		require.NotNil(t, config)
	}
}
