package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"sync"

	"github.com/fridaymesh/friday/proxy"
)

// Prefix is what the paths of pipelines begin with.
const Prefix = "/pipelines/"

// Answer is what a call came to.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// ok says that the answer is one to go on with.
func (a *Answer) ok() bool { return a.Status >= 200 && a.Status < 300 }

// Host is who runs a pipeline. Its methods are called by several goroutines at once.
type Host interface {
	// Call asks the server.
	Call(ctx context.Context, path string, body []byte) (Answer, error)
	// Known is what a step has answered before.
	Known(step string) (Answer, bool)
	// Keep remembers it. An error ends the run.
	Keep(ctx context.Context, step string, a Answer) error
}

// Failure is a step that was not answered well.
type Failure struct {
	Pipeline, Step string
	Answer         Answer
}

func (f *Failure) Error() string {
	return fmt.Sprintf("pipeline %s, step %s: the server answered %d", f.Pipeline, f.Step, f.Answer.Status)
}

// Unfit is a template that could not be written over what the caller has sent, or a step
// has answered.
type Unfit struct {
	Pipeline, Where string
	Err             error
}

func (u *Unfit) Error() string {
	return fmt.Sprintf("pipeline %s, %s: %v", u.Pipeline, u.Where, u.Err)
}

// Unwrap is the cause.
func (u *Unfit) Unwrap() error { return u.Err }

// run is one run.
type run struct {
	*Pipeline

	host  Host
	input any

	mu    sync.Mutex
	steps map[string]any
	last  Answer // of the last step in order, where that is a call
}

// Run runs it over the caller's JSON. The error is a *Failure, an *Unfit, or the Host's.
func (p *Pipeline) Run(ctx context.Context, input []byte, h Host) (Answer, error) {
	r := &run{Pipeline: p, host: h, steps: map[string]any{}}
	var err error
	if r.input, err = decode(input); err != nil {
		return Answer{}, &Unfit{p.Name, "input", errors.New("not JSON")}
	}
	if err := r.all(ctx, p.steps); err != nil {
		return Answer{}, err
	}
	if p.output == nil {
		return r.last, nil
	}
	body, err := p.output.write(r.data())
	if err != nil {
		return Answer{}, &Unfit{p.Name, "output", err}
	}
	return Answer{http.StatusOK, "application/json", body}, nil
}

// decode reads JSON, and keeps the text of numbers.
func decode(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("more than one value")
	}
	return v, nil
}

// data is what templates see.
func (r *run) data() map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return map[string]any{"input": r.input, "steps": maps.Clone(r.steps)}
}

func (r *run) put(name string, v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps[name] = v
}

func (r *run) get(name string) any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.steps[name]
}

func (r *run) all(ctx context.Context, steps []step) error {
	for i := range steps {
		if err := r.step(ctx, &steps[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) step(ctx context.Context, s *step) error {
	switch {
	case s.body != nil:
		return r.call(ctx, s)
	case s.parallel != nil:
		return r.atOnce(ctx, s)
	}
	on, err := s.on.write(r.data())
	if err != nil {
		return &Unfit{r.Name, "step " + s.name, err}
	}
	steps, ok := s.cases[string(on)]
	if !ok {
		steps = s.otherwise
	}
	if err := r.all(ctx, steps); err != nil {
		return err
	}
	r.put(s.name, nil)
	if n := len(steps); n > 0 {
		r.put(s.name, r.get(steps[n-1].name))
	}
	return nil
}

func (r *run) call(ctx context.Context, s *step) error {
	a, known := r.host.Known(s.name)
	if !known {
		body, err := s.body.write(r.data())
		if err != nil {
			return &Unfit{r.Name, "step " + s.name, err}
		}
		if a, err = r.host.Call(ctx, s.path, body); err != nil {
			return fmt.Errorf("pipeline %s, step %s: %w", r.Name, s.name, err)
		}
		if !a.ok() {
			return &Failure{r.Name, s.name, a}
		}
		if err := r.host.Keep(ctx, s.name, a); err != nil {
			return err
		}
	}
	v, err := decode(a.Body)
	if err != nil {
		v = string(a.Body)
	}
	r.put(s.name, v)
	if s.name == r.Pipeline.last {
		r.mu.Lock()
		r.last = a
		r.mu.Unlock()
	}
	return nil
}

// safely makes an error of a panic, which would otherwise end the process.
func (r *run) safely(ctx context.Context, s *step) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = proxy.PanicError(v, debug.Stack())
		}
	}()
	return r.step(ctx, s)
}

// atOnce runs steps at once. The first that fails ends the others.
func (r *run) atOnce(ctx context.Context, s *step) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var first error
	var once sync.Once
	var running sync.WaitGroup
	for i := range s.parallel {
		running.Go(func() {
			if err := r.safely(ctx, &s.parallel[i]); err != nil {
				once.Do(func() {
					first = err
					stop()
				})
			}
		})
	}
	running.Wait()
	if first != nil {
		return first
	}
	all := map[string]any{}
	for i := range s.parallel {
		all[s.parallel[i].name] = r.get(s.parallel[i].name)
	}
	r.put(s.name, all)
	return nil
}
