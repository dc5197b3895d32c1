package router

import "slices"

// routes are the matchers of one virtual host, in order. The first that takes a
// request wins.
//
// Trying them one after the other costs a few nanoseconds each, which is right
// for a handful and wrong for thousands. So where there are many, those with a
// plain path or prefix are found by it: a map of paths, and a map of prefixes
// that is asked for the request path's beginning of every length that occurs.
// What both give are lists of candidates, each in order; the least index of all
// that hold is the first route. Regular expressions and those that ignore case
// stay in one list.
type routes struct {
	matchers []matcher
	// The index, where there is one.
	paths    map[string][]int
	prefixes map[string][]int
	lengths  []int // of the prefixes, ascending
	rest     []int
}

// fewRoutes are tried one after the other. (Timed: the index costs about as much
// as ten tries.)
const fewRoutes = 10

func newRoutes(matchers []matcher) routes {
	r := routes{matchers: matchers}
	if len(matchers) <= fewRoutes {
		return r
	}
	r.paths, r.prefixes = map[string][]int{}, map[string][]int{}
	for i := range matchers {
		switch m := &matchers[i]; {
		case m.regex != nil || m.ignoreCase || m.separated != "":
			r.rest = append(r.rest, i)
		case m.path != "":
			r.paths[m.path] = append(r.paths[m.path], i)
		default:
			r.prefixes[m.prefix] = append(r.prefixes[m.prefix], i)
			r.lengths = append(r.lengths, len(m.prefix))
		}
	}
	slices.Sort(r.lengths)
	r.lengths = slices.Compact(r.lengths)
	return r
}

// find returns the index of the first route that takes req, -1 where none does.
func (r *routes) find(req *request) int {
	if r.paths == nil {
		for i := range r.matchers {
			if r.matchers[i].takes(req) {
				return i
			}
		}
		return -1
	}
	best := r.first(r.paths[string(req.path)], req, len(r.matchers))
	for _, n := range r.lengths {
		if n > len(req.path) {
			break
		}
		best = r.first(r.prefixes[string(req.path[:n])], req, best)
	}
	for _, i := range r.rest {
		if i >= best {
			break
		}
		if r.matchers[i].takes(req) {
			best = i
			break
		}
	}
	if best == len(r.matchers) {
		return -1
	}
	return best
}

// first returns the first candidate below best whose conditions hold, else best.
// The candidates' paths are known to match.
func (r *routes) first(candidates []int, req *request, best int) int {
	for _, i := range candidates {
		if i >= best {
			break
		}
		if r.matchers[i].holds(req) {
			return i
		}
	}
	return best
}

// takesAll says whether the first route takes every path that begins with "/".
func (r *routes) takesAll() bool {
	return len(r.matchers) > 0 && r.matchers[0].takesEverything()
}
