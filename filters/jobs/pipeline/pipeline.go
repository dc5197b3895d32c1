package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	jobsv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/jobs/v1"
)

const (
	// mostSteps bounds a pipeline, mostDeep how deep steps stand in others.
	mostSteps = 32
	mostDeep  = 8
)

var (
	names     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)
	stepNames = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)
)

// Pipeline is one that has been checked. It is immutable.
type Pipeline struct {
	Name string
	// Version tells it from others of the name.
	Version string

	steps  []step
	last   string  // the step whose answer is the pipeline's
	output *writer // nil: as it is
}

// step is a call, steps at once, or a choice.
type step struct {
	name      string
	path      string
	body      *writer // of a call
	parallel  []step
	on        *writer // of a choice
	cases     map[string][]step
	otherwise []step
}

// Parse checks a pipeline. Errors name the field and the value.
func Parse(m *jobsv1.Pipeline) (*Pipeline, error) {
	if !names.MatchString(m.GetName()) {
		return nil, fmt.Errorf("name: %q: must be a letter, then up to 62 letters, digits, - and _", m.GetName())
	}
	r := &reader{taken: map[string]bool{}}
	p := &Pipeline{Name: m.GetName()}
	known := map[string]bool{}
	var err error
	if p.steps, err = r.steps("steps", m.GetSteps(), known, 0); err != nil {
		return nil, err
	}
	if len(p.steps) == 0 {
		return nil, errors.New("steps: missing")
	}
	last := &p.steps[len(p.steps)-1]
	if p.last = last.name; m.GetOutput() != "" {
		if p.output, err = newWriter(m.GetOutput(), true, known); err != nil {
			return nil, fmt.Errorf("output: %w", err)
		}
	} else if last.body == nil {
		return nil, fmt.Errorf("output: missing: the last step, %q, is no call", p.last)
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	p.Version = hex.EncodeToString(sum[:8])
	return p, nil
}

// reader reads steps.
type reader struct{ taken map[string]bool }

// steps reads a list. known are the names that its templates may refer to; those that are
// sure to have an answer behind it are added.
func (r *reader) steps(path string, all []*jobsv1.Step, known map[string]bool, deep int) (out []step, err error) {
	if deep > mostDeep {
		return nil, fmt.Errorf("%s: deeper than %d steps in one another", path, mostDeep)
	}
	for i, m := range all {
		s, err := r.step(fmt.Sprintf("%s[%d]", path, i), m, known, deep)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (r *reader) step(path string, m *jobsv1.Step, known map[string]bool, deep int) (s step, err error) {
	s.name = m.GetName()
	switch {
	case !stepNames.MatchString(s.name):
		return s, fmt.Errorf("%s.name: %q: must be a letter, then up to 62 letters, digits and _", path, s.name)
	case r.taken[s.name]:
		return s, fmt.Errorf("%s.name: %q: stands twice", path, s.name)
	case len(r.taken) == mostSteps:
		return s, fmt.Errorf("%s: more than %d steps", path, mostSteps)
	}
	r.taken[s.name] = true
	switch kind := m.GetKind().(type) {
	case *jobsv1.Step_Call:
		err = s.call(path+".call", kind.Call, known)
	case *jobsv1.Step_Parallel:
		err = r.parallel(&s, path+".parallel.steps", kind.Parallel.GetSteps(), known, deep+1)
	case *jobsv1.Step_Switch:
		err = r.choice(&s, path+".switch", kind.Switch, known, deep+1)
	default:
		err = fmt.Errorf("%s: missing: call, parallel or switch", path)
	}
	known[s.name] = true
	return s, err
}

func (s *step) call(path string, m *jobsv1.Call, known map[string]bool) (err error) {
	s.path = m.GetPath()
	switch {
	case !strings.HasPrefix(s.path, "/") || strings.ContainsAny(s.path, " \t\r\n"):
		return fmt.Errorf("%s.path: %q: must be a path, as /v1/embeddings", path, s.path)
	case strings.HasPrefix(s.path, Prefix):
		return fmt.Errorf("%s.path: %q: must not be a pipeline", path, s.path)
	case m.GetBody() == "":
		return fmt.Errorf("%s.body: missing", path)
	}
	if s.body, err = newWriter(m.GetBody(), true, known); err != nil {
		return fmt.Errorf("%s.body: %w", path, err)
	}
	return nil
}

// parallel reads steps of which none sees another's answer.
func (r *reader) parallel(s *step, path string, all []*jobsv1.Step, known map[string]bool, deep int) error {
	switch {
	case len(all) == 0:
		return fmt.Errorf("%s: missing", path)
	case deep > mostDeep:
		return fmt.Errorf("%s: deeper than %d steps in one another", path, mostDeep)
	}
	before := maps.Clone(known)
	for i, m := range all {
		own := maps.Clone(before)
		read, err := r.step(fmt.Sprintf("%s[%d]", path, i), m, own, deep)
		if err != nil {
			return err
		}
		s.parallel = append(s.parallel, read)
		maps.Copy(known, own)
	}
	return nil
}

// choice reads lists of steps of which one runs: what is behind it sees the choice's own
// answer, that of the last of them.
func (r *reader) choice(s *step, path string, m *jobsv1.Switch, known map[string]bool, deep int) (err error) {
	if m.GetOn() == "" {
		return fmt.Errorf("%s.on: missing", path)
	}
	if s.on, err = newWriter(m.GetOn(), false, known); err != nil {
		return fmt.Errorf("%s.on: %w", path, err)
	}
	s.cases = map[string][]step{}
	for _, value := range slices.Sorted(maps.Keys(m.GetCases())) {
		at := fmt.Sprintf("%s.cases[%q].steps", path, value)
		if s.cases[value], err = r.steps(at, m.GetCases()[value].GetSteps(), maps.Clone(known), deep); err != nil {
			return err
		}
	}
	s.otherwise, err = r.steps(path+".default.steps", m.GetDefault().GetSteps(), maps.Clone(known), deep)
	return err
}
