package control

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/history"
)

// The states of a shift.
const (
	ShiftRunning = "running"
	ShiftDone    = "done"
	ShiftAborted = "aborted"
)

// The defaults of a shift, and the bounds of what may be asked for.
const (
	DefaultShiftOver   = 10 * time.Minute
	DefaultShiftSteps  = 10
	DefaultShiftErrors = 0.01
	maxShiftSteps      = 1000
	maxShiftOver       = 7 * 24 * time.Hour
)

// Shift moves a route's weights from one group of servers to another, step by
// step, for as long as the sidecars' metrics allow. Once done, its weights stay in
// force until the folder's own weights of the route change.
type Shift struct {
	ShiftRequest
	// Policy and Prefix are what Route says; an empty prefix is the policy's own
	// weights.
	Policy string `json:"policy"`
	Prefix string `json:"prefix,omitempty"`
	State  string `json:"state"`
	// Reason is why it was aborted.
	Reason string `json:"reason,omitempty"`
	// Weights are those in force, Before those before it began. From and Target are
	// both ends in hundredths of a percent.
	Weights map[string]uint32 `json:"weights"`
	Before  map[string]uint32 `json:"before"`
	From    map[string]uint32 `json:"from"`
	Target  map[string]uint32 `json:"target"`
	// Declared are those that the folder had when it began.
	Declared map[string]uint32 `json:"declared"`
	// Step of Steps is in force since Stepped.
	Step    int       `json:"step"`
	Began   time.Time `json:"began"`
	Stepped time.Time `json:"stepped"`
	By      string    `json:"by,omitempty"`
	// Seen is what the metrics said of the present step.
	Seen string `json:"seen,omitempty"`
}

// ShiftRequest is what a shift is asked for with.
type ShiftRequest struct {
	// Route is a policy's name, for its own weights, or the name with one of its
	// routes' prefixes behind.
	Route string `json:"route"`
	// To is where percent of the requests are to go at the end. The servers that it
	// does not name share what remains as they do now.
	To map[string]uint32 `json:"to"`
	// Over is how long all takes, in seconds; 0: at once.
	Over float64 `json:"over_seconds"`
	// Steps is in how many steps.
	Steps int `json:"steps"`
	// MaxErrors is the share of failed requests, MaxP99 the p99 in seconds, above
	// which it is aborted. MaxP99 0: three times that of the servers it leaves.
	MaxErrors float64 `json:"max_errors"`
	MaxP99    float64 `json:"max_p99_seconds,omitempty"`
	// Unwatched goes on without metrics.
	Unwatched bool `json:"unwatched,omitempty"`
}

func (q ShiftRequest) over() time.Duration { return time.Duration(q.Over * float64(time.Second)) }

// check refuses what makes no sense, whatever the policies say.
func (q *ShiftRequest) check() error {
	switch {
	case q.Steps < 1 || q.Steps > maxShiftSteps:
		return fmt.Errorf("steps: %d: must be 1 to %d", q.Steps, maxShiftSteps)
	case !(q.Over >= 0) || q.over() > maxShiftOver:
		return fmt.Errorf("over: %v s: must be 0 to %v", q.Over, maxShiftOver)
	case !(q.MaxErrors >= 0 && q.MaxErrors <= 1):
		return fmt.Errorf("max_errors: %v: must be 0 to 1", q.MaxErrors)
	case !(q.MaxP99 >= 0) || math.IsInf(q.MaxP99, 0):
		return fmt.Errorf("max_p99: %v s: must not be negative", q.MaxP99)
	case len(q.To) == 0:
		return errors.New("to: names no server")
	}
	var sum uint64
	for _, w := range q.To {
		sum += uint64(w)
	}
	if sum > 100 {
		return fmt.Errorf("to: %s: %d in all: must be at most 100, since it is percent", history.Shares(q.To), sum)
	}
	if q.Over == 0 {
		q.Steps = 1
	}
	return nil
}

// ErrShift says that a shift cannot be as it was asked for.
var ErrShift = errors.New("cannot shift")

// newShift finds the route of a request. r.mu is held.
func (r *Rollout) newShift(q ShiftRequest, by string) (*Shift, error) {
	if err := q.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrShift, err)
	}
	if r.state.Pin != nil {
		return nil, fmt.Errorf("%w: the rollback to version %d holds: release it first", ErrShift, r.state.Pin.To)
	}
	name, rest, _ := strings.Cut(q.Route, "/")
	s := &Shift{ShiftRequest: q, Policy: name, State: ShiftRunning, By: by, Began: time.Now().UTC()}
	if len(name) < len(q.Route) {
		s.Prefix = "/" + rest
	}
	declared, now := r.find(r.folder, name), r.find(r.wanted(), name)
	if declared == nil || now == nil {
		return nil, fmt.Errorf("%w: %s: there is no policy %q; there are: %s", ErrShift, q.Route, name, strings.Join(names(r.folder), ", "))
	}
	if len(declared.Spec().GetServers()) < 2 {
		return nil, fmt.Errorf("%w: %s: the policy has one server: name several in spec.servers", ErrShift, q.Route)
	}
	for _, other := range r.state.Shifts {
		if other.Route == q.Route && other.State == ShiftRunning {
			return nil, fmt.Errorf("%w: %s: a shift to %s is running: abort it first", ErrShift, q.Route, history.Shares(percent(other.Target)))
		}
	}
	s.Declared, s.Before = declared.Weights(s.Prefix), now.Weights(s.Prefix)
	if r.rejection(now) != nil {
		return nil, fmt.Errorf("%w: %s: sidecars have refused the policy", ErrShift, q.Route)
	}
	if err := s.aim(slices.Sorted(maps.Keys(declared.Spec().GetServers()))); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrShift, q.Route, err)
	}
	s.Weights = s.Before
	if _, err := r.weighted(declared, s.Prefix, percent(s.Target)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrShift, q.Route, err)
	}
	return s, nil
}

func (r *Rollout) find(list []*Compiled, name string) *Compiled {
	for _, p := range list {
		if p.Name() == name {
			return p
		}
	}
	return nil
}

// aim makes the target of what was asked for, and brings both ends to a sum of
// 10,000.
func (s *Shift) aim(servers []string) error {
	given, target := map[string]uint32{}, map[string]uint32{}
	var sum, left uint64
	for name, w := range s.To {
		group := strings.TrimPrefix(name, s.Policy+".")
		if !slices.Contains(servers, group) {
			return fmt.Errorf("%q is none of the policy's servers: %s", name, strings.Join(servers, ", "))
		}
		if _, twice := given[group]; twice {
			return fmt.Errorf("%q is named twice", group)
		}
		given[group] = w
		target[group] = w * 100
		sum += uint64(w)
	}
	for _, name := range servers {
		if _, ok := given[name]; !ok {
			left += uint64(s.Before[name])
		}
	}
	rest := 100 - sum
	if rest > 0 && left == 0 {
		return fmt.Errorf("%d percent remain, and no other server has a weight to share them by: name all", rest)
	}
	for _, name := range servers {
		if _, ok := given[name]; !ok {
			target[name] = uint32(uint64(s.Before[name]) * rest * 100 / max(left, 1)) // #nosec G115 -- at most 10,000
		}
	}
	s.Target = target
	s.From = scaled(s.Before, servers)
	if maps.Equal(s.Target, s.From) {
		return errors.New("these are the weights in force")
	}
	return nil
}

// scaled brings weights to a sum of about 10,000, with every server named.
func scaled(weights map[string]uint32, servers []string) map[string]uint32 {
	var sum uint64
	for _, w := range weights {
		sum += uint64(w)
	}
	out := map[string]uint32{}
	for _, name := range servers {
		out[name] = uint32((uint64(weights[name])*10000 + sum/2) / max(sum, 1)) // #nosec G115 -- at most 10,000
	}
	return out
}

// at is the weights of a step: the line between both ends.
func (s *Shift) at(step int) map[string]uint32 {
	out := map[string]uint32{}
	for name := range s.Target {
		from, to := int64(s.From[name]), int64(s.Target[name])
		out[name] = uint32(from + (to-from)*int64(step)/int64(s.Steps)) // #nosec G115 -- between the two
	}
	return percent(out)
}

// percent is weights in hundredths of a percent as people write them, where they
// are whole.
func percent(weights map[string]uint32) map[string]uint32 {
	out := map[string]uint32{}
	for name, w := range weights {
		if w%100 != 0 {
			return weights
		}
		out[name] = w / 100
	}
	return out
}

// gains are the clusters that get more than they had, loses those that get less.
func (s *Shift) gains() (gains, loses []string) {
	for _, name := range slices.Sorted(maps.Keys(s.Target)) {
		switch cluster := s.Policy + "." + name; {
		case s.Target[name] > s.From[name]:
			gains = append(gains, cluster)
		case s.Target[name] < s.From[name]:
			loses = append(loses, cluster)
		}
	}
	return gains, loses
}

// abort gives a shift's old weights back. r.mu is held, and enter is the
// caller's to call.
func (r *Rollout) abort(s *Shift, reason, by string) {
	s.State, s.Reason, s.Weights = ShiftAborted, reason, s.Before
	delete(r.watches, s.Route)
	r.metrics.Shifts.WithLabelValues(ShiftAborted).Inc()
	r.log.Named("audit").Error("shift aborted", zap.String("route", s.Route), zap.Int("step", s.Step), zap.Int("steps", s.Steps),
		zap.String("reason", reason), zap.String("by", by), zap.String("weights", history.Shares(s.Weights)))
}

// settleShifts drops the shifts of routes whose weights the folder has changed:
// its word is the later one. r.mu is held.
func (r *Rollout) settleShifts() {
	r.state.Shifts = slices.DeleteFunc(r.state.Shifts, func(s *Shift) bool {
		p := r.find(r.folder, s.Policy)
		keep := p != nil && maps.Equal(p.Weights(s.Prefix), s.Declared)
		if keep {
			_, err := r.weighted(p, s.Prefix, s.Weights)
			keep = err == nil
		}
		if !keep {
			if s.State == ShiftRunning {
				r.abort(s, "the folder has other servers or weights", "")
			}
			r.log.Info("the folder's weights take the place of a shift's", zap.String("route", s.Route))
		}
		return !keep
	})
}

// shifting says whether a shift is on its way. r.mu is held.
func (r *Rollout) shifting() bool {
	return slices.ContainsFunc(r.state.Shifts, func(s *Shift) bool { return s.State == ShiftRunning })
}
