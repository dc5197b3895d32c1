package control

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/xds/control/policy"
)

const (
	loadAccepted = "accepted"
	loadRefused  = "refused"
)

// Folder keeps the policies in force true to the files of a folder.
type Folder struct {
	dir      string
	compiler *Compiler
	apply    func([]*Compiled)
	log      *zap.Logger
	metrics  *Metrics
	poke     chan struct{} // holds one: read the folder again

	mu   sync.Mutex
	set  fileSet
	gone bool // the folder could not be read when last tried
}

// NewFolder makes a Folder of the directory dir. apply gets every policy in
// force, by name, at first and each time that they change; it is not called twice
// at once.
func NewFolder(dir string, compiler *Compiler, apply func([]*Compiled), log *zap.Logger, metrics *Metrics) *Folder {
	return &Folder{
		dir: dir, compiler: compiler, apply: apply, log: log, metrics: metrics,
		poke: make(chan struct{}, 1), set: fileSet{},
	}
}

// Load reads the folder for the first time. There is no last good policy to fall
// back on, so one faulty file is an error that tells all that is wrong
// ([policy.Problems]), and nothing is put in force.
func (f *Folder) Load() error {
	list, err := sources(f.dir)
	if err != nil {
		return err
	}
	set, _ := fileSet(nil).next(list, f.compiler)
	if problems := set.problems(); len(problems) > 0 {
		return problems
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.metrics.Loads.WithLabelValues(loadAccepted).Add(float64(len(set)))
	f.enter(set)
	return nil
}

// Files is how many policy files the folder holds.
func (f *Folder) Files() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.set)
}

// Reload asks for the folder to be read again soon. It does not wait.
func (f *Folder) Reload() {
	select {
	case f.poke <- struct{}{}:
	default: // asked already
	}
}

// scan reads the folder and puts in force what is in order.
func (f *Folder) scan() {
	f.mu.Lock()
	defer f.mu.Unlock()
	list, err := sources(f.dir)
	if err != nil {
		// A folder that is not there is an accident, not the wish to remove every
		// policy.
		if !f.gone {
			f.log.Error("policy folder cannot be read, the last policies stay in force", zap.Error(err))
		}
		f.gone = true
		return
	}
	if f.gone {
		f.log.Info("policy folder can be read again", zap.String("dir", f.dir))
		f.gone = false
	}
	set, changed := f.set.next(list, f.compiler)
	for _, path := range changed {
		f.tell(set[path])
	}
	for path := range f.set {
		if set[path] == nil {
			f.log.Info("policy file removed", zap.String("file", path))
		}
	}
	f.enter(set)
}

// tell logs and counts what became of a file that has changed.
func (f *Folder) tell(file *file) {
	problems := file.problems()
	if len(problems) == 0 {
		f.metrics.Loads.WithLabelValues(loadAccepted).Inc()
		f.log.Info("policy file loaded", zap.String("file", file.path), zap.Strings("policies", names(file.inForce)))
		return
	}
	f.metrics.Loads.WithLabelValues(loadRefused).Inc()
	words := make([]string, len(problems))
	for i, p := range problems {
		words[i] = p.Error()
	}
	f.log.Error("policy file refused, its last good policies stay in force",
		zap.String("file", file.path), zap.Strings("policies", names(file.inForce)), zap.Strings("errors", words))
}

// enter puts set in force. f.mu is held.
func (f *Folder) enter(set fileSet) {
	before, after := f.set.inForce(), set.inForce()
	f.set = set
	counts := map[State]float64{}
	refused := 0.
	for _, file := range set {
		state := StateCurrent
		if len(file.problems()) > 0 {
			state = StateStale
			refused++
		}
		counts[state] += float64(len(file.inForce))
	}
	f.metrics.Policies.WithLabelValues(string(StateCurrent)).Set(counts[StateCurrent])
	f.metrics.Policies.WithLabelValues(string(StateStale)).Set(counts[StateStale])
	f.metrics.Files.WithLabelValues("ok").Set(float64(len(set)) - refused)
	f.metrics.Files.WithLabelValues(loadRefused).Set(refused)
	if !same(before, after) {
		f.apply(after)
	}
}

// State is how a policy stands.
type State string

// The states of a policy.
const (
	// StateCurrent: in force as its file says.
	StateCurrent State = "current"
	// StateStale: in force as its file said before it became faulty.
	StateStale State = "stale"
	// StateRefused: a file without a policy in force.
	StateRefused State = "refused"
	// StateRejected: sidecars have refused what the file says; served is the last
	// good version.
	StateRejected State = "rejected"
	// StateHeld: a rollback holds another version than the file's.
	StateHeld State = "held"
)

// PolicyStatus is one line of the view of policies.
type PolicyStatus struct {
	Name    string `json:"name,omitempty"`
	File    string `json:"file"`
	State   State  `json:"state"`
	Version string `json:"version,omitempty"`
	// Served is the version that sidecars get where it is not Version; "none" where
	// they get nothing of the policy.
	Served  string `json:"served,omitempty"`
	Listens string `json:"listens,omitempty"`
	// Error has a line for each thing that is wrong with the file.
	Error string `json:"error,omitempty"`
}

// Status is every policy in force and every file that is refused, by file.
func (f *Folder) Status() []PolicyStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []PolicyStatus{}
	for _, path := range slices.Sorted(maps.Keys(f.set)) {
		file := f.set[path]
		problems := file.problems()
		state, words := StateCurrent, ""
		if len(problems) > 0 {
			state, words = StateStale, problems.Error()
		}
		for _, p := range file.inForce {
			list = append(list, PolicyStatus{
				Name: p.Name(), File: path, State: state, Version: p.Version, Error: words,
				Listens: listens(p.Policy),
			})
		}
		if len(problems) > 0 && len(file.inForce) == 0 {
			list = append(list, PolicyStatus{File: path, State: StateRefused, Error: words})
		}
	}
	return list
}

func listens(p *policy.Policy) string { return fmt.Sprintf("%s port %d", p.Address(), p.Port()) }

func names(policies []*Compiled) []string {
	list := make([]string, len(policies))
	for i, p := range policies {
		list[i] = p.Name()
	}
	return list
}
