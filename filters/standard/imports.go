// Package standard is the one list of the HTTP filters that are compiled in.
package standard

import (
	"github.com/fridaymesh/friday/filters"
	"github.com/fridaymesh/friday/filters/batch"
	"github.com/fridaymesh/friday/filters/cache"
	"github.com/fridaymesh/friday/filters/jobs"
	"github.com/fridaymesh/friday/filters/models"
	"github.com/fridaymesh/friday/filters/stream"
)

// Registry holds every filter of the house.
func Registry() *filters.Registry {
	return filters.NewRegistry(
		batch.Factory{},
		cache.Factory{},
		jobs.Factory{},
		models.Factory{},
		stream.Factory{},
	)
}
