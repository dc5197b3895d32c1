package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/yaml"

	"github.com/fridaymesh/friday/xds/control"
	"github.com/fridaymesh/friday/xds/control/policy"
)

const (
	// quiet is how long the API must be still before what it says is put in force:
	// objects change together. patience bounds that.
	quiet    = 20 * time.Millisecond
	patience = 200 * time.Millisecond
)

// Options are what a Source needs. All but Namespace are.
type Options struct {
	Client dynamic.Interface
	// Namespace is the only one that is watched; empty: all are.
	Namespace string
	// Name is this fridayd's among those that write into a status.
	Name     string
	Compiler *control.Compiler
	// Apply gets every policy in force, by name, at first and each time they change.
	Apply func([]*control.Compiled)
	// Nodes are those who have taken or refused what is in force, Changes tells that they
	// may have changed, and View is what is served in place of what policies say.
	Nodes   func() []control.NodeStatus
	Changes <-chan struct{}
	View    func([]control.PolicyStatus) []control.PolicyStatus
	Log     *zap.Logger
	Metrics *control.Metrics
}

// Source keeps the policies in force true to a Kubernetes API.
type Source struct {
	Options

	policies, services, slices cache.GenericLister
	poke                       chan struct{} // holds one: look again
	synced                     chan struct{} // closed when all is known

	mu      sync.Mutex
	entries map[string]*entry // by NAMESPACE/NAME
}

// entry is one policy.
type entry struct {
	namespace, name string
	generation      int64
	text            string // what it says, services resolved
	faults          policy.Problems
	inForce         *control.Compiled // nil: never was in order
}

// The resources that are watched.
func policiesResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: Group, Version: Version, Resource: Plural}
}

func servicesResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Version: "v1", Resource: "services"}
}

func slicesResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
}

// New makes a Source.
func New(o Options) *Source {
	return &Source{Options: o, poke: make(chan struct{}, 1), synced: make(chan struct{}), entries: map[string]*entry{}}
}

// Ready says whether the policies are known.
func (s *Source) Ready() bool {
	select {
	case <-s.synced:
		return true
	default:
		return false
	}
}

// Synced is closed when the policies are known, and in force.
func (s *Source) Synced() <-chan struct{} { return s.synced }

// Run follows the API until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var (
		running sync.WaitGroup
		known   []cache.InformerSynced
	)
	defer running.Wait()
	defer cancel()
	for r, lister := range map[schema.GroupVersionResource]*cache.GenericLister{
		policiesResource(): &s.policies, servicesResource(): &s.services, slicesResource(): &s.slices,
	} {
		informer, err := s.watch(r)
		if err != nil {
			return fmt.Errorf("watch %s: %w", r.Resource, err)
		}
		*lister = cache.NewGenericLister(informer.GetIndexer(), r.GroupResource())
		known = append(known, informer.HasSynced)
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), known...) {
		return nil // ctx has ended
	}
	s.scan()
	close(s.synced)
	s.follow(ctx)
	return nil
}

// watch makes what knows the objects of a resource, and asks for another look when one
// of them changes.
func (s *Source) watch(r schema.GroupVersionResource) (cache.SharedIndexInformer, error) {
	objects := s.Client.Resource(r).Namespace(s.Namespace)
	informer := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc:  func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return objects.List(ctx, o) },
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return objects.Watch(ctx, o) },
	}, s.Client), &unstructured.Unstructured{}, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		s.Log.Warn("the API server cannot be watched, trying again", zap.String("resource", r.Resource), zap.Error(err))
	}); err != nil {
		return nil, err
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { s.Reload() }, UpdateFunc: func(any, any) { s.Reload() }, DeleteFunc: func(any) { s.Reload() },
	})
	return informer, err
}

// Reload asks for another look soon. It does not wait.
func (s *Source) Reload() {
	select {
	case s.poke <- struct{}{}:
	default: // asked already
	}
}

// follow puts in force what changes, and tells of it, until ctx ends.
func (s *Source) follow(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var latest time.Time // zero: nothing is due
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.poke:
			now := time.Now()
			if latest.IsZero() {
				latest = now.Add(patience)
			}
			timer.Reset(min(quiet, max(latest.Sub(now), 0)))
			continue
		case <-timer.C:
			latest = time.Time{}
			s.scan()
			timer.Reset(heartbeat / 2) // those of others age
		case <-s.Changes:
		}
		s.tell(ctx)
	}
}

// scan puts in force what is in order.
func (s *Source) scan() {
	objects, err := s.policies.List(labels.Everything())
	if err != nil {
		s.Log.Error("policies cannot be listed", zap.Error(err))
		return
	}
	s.mu.Lock()
	before := s.entries
	after := make(map[string]*entry, len(objects))
	for _, o := range objects {
		if u, ok := o.(*unstructured.Unstructured); ok {
			key := u.GetNamespace() + "/" + u.GetName()
			after[key] = s.next(before[key], u)
		}
	}
	s.entries = after
	list, first := inForce(after), !s.Ready()
	changed := first || !slices.Equal(inForce(before), list)
	s.mu.Unlock()
	for key := range before {
		if after[key] == nil {
			s.Log.Info("policy removed", zap.String("policy", key))
		}
	}
	s.count()
	if changed {
		s.Apply(list)
	}
}

// inForce is every policy that is to be served, by name.
func inForce(entries map[string]*entry) []*control.Compiled {
	var list []*control.Compiled
	for _, e := range entries {
		if e.inForce != nil {
			list = append(list, e.inForce)
		}
	}
	slices.SortFunc(list, func(a, b *control.Compiled) int { return strings.Compare(a.Name(), b.Name()) })
	return list
}

// next is what is known of a policy now. before may be nil.
func (s *Source) next(before *entry, u *unstructured.Unstructured) *entry {
	e := &entry{namespace: u.GetNamespace(), name: u.GetName(), generation: u.GetGeneration()}
	if before != nil {
		e.inForce = before.inForce
	}
	doc, faults := s.document(u)
	text, err := yaml.Marshal(doc)
	if err != nil {
		faults = append(faults, &policy.Problem{File: e.file(), Text: err.Error()})
	}
	e.text, e.faults = string(text), faults
	if before != nil && before.text == e.text && before.faults.Error() == e.faults.Error() {
		return &entry{namespace: e.namespace, name: e.name, generation: e.generation, text: e.text, faults: before.faults, inForce: before.inForce}
	}
	if len(e.faults) == 0 {
		compiled, problems := s.compile(e.file(), text)
		if e.faults = problems; len(problems) == 0 {
			e.inForce = compiled
		}
	}
	if len(e.faults) > 0 {
		s.Metrics.Loads.WithLabelValues("refused").Inc()
		s.Log.Error("policy refused, what was served of it stays in force", zap.String("policy", e.file()), zap.String("error", words(e.faults)))
		return e
	}
	s.Metrics.Loads.WithLabelValues("accepted").Inc()
	s.Log.Info("policy loaded", zap.String("policy", e.file()), zap.String("version", e.inForce.Version))
	return e
}

func (e *entry) file() string { return e.namespace + "/" + e.name }

// compile makes resources of a document.
func (s *Source) compile(file string, text []byte) (*control.Compiled, policy.Problems) {
	list, err := policy.Decode(file, text)
	if err == nil && len(list) != 1 {
		err = fmt.Errorf("holds %d policies", len(list))
	}
	var compiled *control.Compiled
	if err == nil {
		compiled, err = s.Compiler.Compile(list[0])
	}
	if err == nil {
		return compiled, nil
	}
	if problems, ok := errors.AsType[policy.Problems](err); ok {
		return nil, problems
	}
	return nil, policy.Problems{{File: file, Text: err.Error()}}
}

// words are problems without file and line, which an object does not have.
func words(problems policy.Problems) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		if lines[i] = p.Text; p.Path != "" {
			lines[i] = p.Path + ": " + p.Text
		}
	}
	return strings.Join(lines, "\n")
}

func (s *Source) count() {
	states := map[control.State]float64{control.StateCurrent: 0, control.StateStale: 0}
	refused, all := 0., 0.
	for _, p := range s.Status() {
		all++
		if states[p.State]++; p.Error != "" {
			refused++
		}
	}
	for _, state := range []control.State{control.StateCurrent, control.StateStale} {
		s.Metrics.Policies.WithLabelValues(string(state)).Set(states[state])
	}
	s.Metrics.Files.WithLabelValues("ok").Set(all - refused)
	s.Metrics.Files.WithLabelValues("refused").Set(refused)
}

// Status is every policy, as a folder has it.
func (s *Source) Status() []control.PolicyStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]control.PolicyStatus, 0, len(s.entries))
	for _, e := range slices.SortedFunc(maps.Values(s.entries), func(a, b *entry) int { return cmp.Compare(a.file(), b.file()) }) {
		line := control.PolicyStatus{File: e.file(), State: control.StateCurrent, Error: words(e.faults)}
		if e.inForce != nil {
			p := e.inForce
			line.Name, line.Version, line.Listens = p.Name(), p.Version, fmt.Sprintf("%s port %d", p.Address(), p.Port())
		}
		switch {
		case len(e.faults) > 0 && e.inForce != nil:
			line.State = control.StateStale
		case len(e.faults) > 0:
			line.State = control.StateRefused
		}
		list = append(list, line)
	}
	return list
}
