package load

import (
	"context"
	"fmt"
)

// A Way is one of several to the same server that are to be compared.
type Way struct {
	Name     string
	Target   Target
	Workload Workload
	// Around, where set, is called with each run, for who counts what happens
	// elsewhere meanwhile. It must call run once.
	Around func(run func() error) error
}

// Paired runs the same load over each way in turn, round by round, so that what
// else the machine does meets all of them alike, and returns a Result for each.
// Every way is gone first in about as many rounds as any other. Requests and
// Duration are for each round.
func Paired(ctx context.Context, rounds int, o Options, ways ...Way) ([]*Result, error) {
	totals := make([]*Result, len(ways))
	for i := range totals {
		totals[i] = &Result{}
	}
	for round := range rounds {
		for i := range ways {
			k := (i + round) % len(ways)
			way := ways[k]
			opt := o
			opt.Target, opt.Workload = way.Target, way.Workload
			if o.Requests > 0 {
				opt.First += uint64(round) * o.Requests // #nosec G115 -- not negative
			} else {
				opt.First += uint64(round) << 32 // #nosec G115 -- not negative
			}
			run := func() error {
				r, err := Run(ctx, opt)
				if err == nil {
					totals[k].Merge(r)
				}
				return err
			}
			err := error(nil)
			if way.Around != nil {
				err = way.Around(run)
			} else {
				err = run()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way.Name, err)
			}
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
	}
	return totals, nil
}
