package control

import (
	"crypto/sha256"
	"errors"
	"maps"
	"slices"

	"github.com/fridaymesh/friday/xds/control/policy"
)

// file is what is known of one file of the folder.
type file struct {
	path string
	sum  [sha256.Size]byte
	// wanted is what the file asks for as it is now; nothing where faults says
	// why not.
	wanted []*Compiled
	faults policy.Problems
	// inForce is what is served: wanted, or what it was when the file was last in
	// order.
	inForce []*Compiled
	// conflicts says why wanted is not in force.
	conflicts policy.Problems
}

// problems is why wanted is not in force; empty where it is.
func (f *file) problems() policy.Problems {
	if len(f.faults) > 0 {
		return f.faults
	}
	return f.conflicts
}

// fileSet is the folder, by path. It is immutable.
type fileSet map[string]*file

// next is the set after the files have been read once more. changed are the
// paths whose outcome is new. Which policies are in force follows three rules:
//
//   - A file is taken whole or not at all. Where it cannot be taken, what was
//     last in force of it stays.
//   - What is in force is never in conflict. Of two files in conflict the one
//     that changed is refused; of two that changed, the later by name.
//   - A refused file is tried again whenever the folder is read, since the other
//     one may have made way.
func (set fileSet) next(list []source, c *Compiler) (after fileSet, changed []string) {
	after = make(fileSet, len(list))
	for _, s := range list {
		before := set[s.path]
		if before == nil {
			before = &file{path: s.path}
		}
		after[s.path] = before.reread(s, c)
	}
	// Who was refused for the sake of one that was refused later may get in after
	// all. Each round but the last takes a file in.
	for after.settle() {
	}
	for path, f := range after {
		before, known := set[path]
		if !known || before.sum != f.sum || before.problems().Error() != f.problems().Error() {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	return after, changed
}

// reread is f with what its source now wants.
func (f *file) reread(s source, c *Compiler) *file {
	next := &file{path: f.path, inForce: f.inForce, sum: sha256.Sum256(s.data)}
	switch {
	case s.err != nil:
		next.faults = policy.Problems{{File: s.path, Text: s.err.Error()}}
		next.sum = [sha256.Size]byte{}
	case next.sum == f.sum:
		next.wanted, next.faults = f.wanted, f.faults
	default:
		next.wanted, next.faults = load(s, c)
	}
	if len(next.wanted) == 0 && len(next.faults) == 0 && len(f.inForce) > 0 {
		next.faults = policy.Problems{{File: s.path, Text: "empty or without a policy, as while it is being written: remove the file to remove its policies"}}
	}
	return next
}

// load decodes and compiles a file.
func load(s source, c *Compiler) ([]*Compiled, policy.Problems) {
	decoded, err := policy.Decode(s.path, s.data)
	if err != nil {
		return nil, problemsOf(s.path, err)
	}
	var (
		wanted   []*Compiled
		problems policy.Problems
	)
	for _, p := range decoded {
		compiled, err := c.Compile(p)
		if err != nil {
			problems = append(problems, problemsOf(s.path, err)...)
			continue
		}
		wanted = append(wanted, compiled)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return wanted, nil
}

func problemsOf(path string, err error) policy.Problems {
	if problems, ok := errors.AsType[policy.Problems](err); ok {
		return problems
	}
	return policy.Problems{{File: path, Text: err.Error()}}
}

// settle puts in force what can be, and says whether it got any file in. It ends
// since every round of its loop but the last refuses one file.
func (set fileSet) settle() (progress bool) {
	paths := slices.Sorted(maps.Keys(set))
	contending := map[string]bool{}
	for _, path := range paths {
		f := set[path]
		contending[path] = len(f.faults) == 0 && !same(f.wanted, f.inForce)
		if len(f.faults) == 0 && !contending[path] {
			f.inForce = f.wanted // the same versions, at their new lines
		}
	}
	proposed := func(path string) []*Compiled {
		if contending[path] {
			return set[path].wanted
		}
		return set[path].inForce
	}
	for {
		refused := ""
		for _, path := range paths {
			if contending[path] {
				if set[path].conflicts = conflicts(path, paths, contending, proposed); len(set[path].conflicts) > 0 {
					refused = path
					break
				}
			}
		}
		if refused == "" {
			break
		}
		contending[refused] = false
	}
	for _, path := range paths {
		progress = progress || contending[path]
		set[path].inForce = proposed(path)
	}
	return progress
}

// conflicts holds the policies of a contending file against each other, against
// those of the files that have settled, and against those of earlier contenders.
func conflicts(path string, paths []string, contending map[string]bool, proposed func(string) []*Compiled) policy.Problems {
	var problems policy.Problems
	own := proposed(path)
	for i, p := range own {
		others := own[:i:i]
		for _, other := range paths {
			if other != path && (!contending[other] || other < path) {
				others = append(others, proposed(other)...)
			}
		}
		for _, other := range others {
			if problem := p.Conflict(other.Policy); problem != nil {
				problems = append(problems, problem)
				break
			}
		}
	}
	return problems
}

// inForce is every policy that is served, by name.
func (set fileSet) inForce() []*Compiled {
	var list []*Compiled
	for _, f := range set {
		list = append(list, f.inForce...)
	}
	slices.SortFunc(list, byName)
	return list
}

// problems are those of every file, by path.
func (set fileSet) problems() policy.Problems {
	var list policy.Problems
	for _, path := range slices.Sorted(maps.Keys(set)) {
		list = append(list, set[path].problems()...)
	}
	return list
}
