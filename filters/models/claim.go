package models

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// world is what all claims of a process have in common. It outlives configurations.
type world struct {
	// Set once.
	log     *zap.Logger
	metrics *telemetry.Metrics
	file    string // of what a restart has to know; empty: none

	mu     sync.Mutex
	fleets map[string]*fleet // by cluster
	known  map[string]record // by cluster, a line's end, and model
}

// record is what a restart has to know of a model that was ready.
type record struct {
	Cluster string `json:"cluster"`
	Model   string `json:"model"`
	// Name is its version, Version how it was loaded, as ModelConfig.id has it.
	Name    string `json:"name"`
	Version string `json:"version"`
}

var _ io.Closer = (*world)(nil)

func newWorld(env proxy.Env) *world {
	w := &world{
		log: env.Log, metrics: telemetry.New(env.Metrics),
		fleets: make(map[string]*fleet), known: make(map[string]record),
	}
	if env.StateDir != "" && !env.Trial {
		w.file = filepath.Join(env.StateDir, "models.json")
		w.restore()
	}
	return w
}

// restore reads what was written before. What cannot be read is forgotten: then the
// server is asked, and warmed once more.
func (w *world) restore() {
	text, err := os.ReadFile(w.file)
	if os.IsNotExist(err) {
		return
	}
	var records []record
	if err == nil {
		err = json.Unmarshal(text, &records)
	}
	if err != nil {
		w.log.Warn("what was known of models could not be read", zap.String("file", w.file), zap.Error(err))
		return
	}
	for _, r := range records {
		w.known[r.Cluster+"\n"+r.Model] = r
	}
}

// was says how a model that was ready before was loaded; empty: it was not.
func (w *world) was(cluster, model string) record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.known[cluster+"\n"+model]
}

// note writes down that a model is ready, or with an empty record that it is not.
func (w *world) note(cluster, model string, r record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := cluster + "\n" + model
	if w.known[key].Version == r.Version {
		return
	}
	r.Cluster, r.Model = cluster, model
	w.known[key] = r
	if r.Version == "" {
		delete(w.known, key)
	}
	if w.file == "" {
		return
	}
	records := make([]record, 0, len(w.known))
	for _, r := range w.known {
		records = append(records, r)
	}
	if err := writeFile(w.file, records); err != nil {
		w.log.Warn("what is known of models could not be written", zap.String("file", w.file), zap.Error(err))
	}
}

// writeFile writes JSON beside the file and renames it.
func writeFile(file string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// Models are what is known of all models.
func (w *world) Models() []proxy.ModelStatus {
	w.mu.Lock()
	fleets := make([]*fleet, 0, len(w.fleets))
	for _, f := range w.fleets {
		fleets = append(fleets, f)
	}
	w.mu.Unlock()
	var all []proxy.ModelStatus
	for _, f := range fleets {
		all = append(all, f.status()...)
	}
	return all
}

// Close ends what goes on. Nothing is unloaded: the server keeps what it has.
func (w *world) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for cluster, f := range w.fleets {
		f.end()
		delete(w.fleets, cluster)
	}
	return nil
}

// claim is what one configuration wants of the models of a cluster.
type claim struct {
	// Set once.
	world  *world
	fleet  *fleet
	config *Config

	// Guarded by world.mu.
	picker  func() []*proxy.Endpoint // as of the snapshot that is built
	inForce bool
}

var _ io.Closer = (*claim)(nil)

// claim makes a claim that is not heeded before InForce.
func (w *world) claim(cluster string, c *Config) *claim {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.fleets[cluster]
	if f == nil {
		f = newFleet(w, cluster)
		w.fleets[cluster] = f
	}
	f.users++
	return &claim{world: w, fleet: f, config: c}
}

// lookup is where the endpoints of the cluster are found once the snapshot that is being
// built is in force.
func (c *claim) lookup(picker func(string) (proxy.Picker, bool)) {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	c.picker = func() []*proxy.Endpoint {
		if p, ok := picker(c.fleet.cluster); ok {
			return p.Endpoints()
		}
		return nil
	}
}

// InForce has the claim heeded.
func (c *claim) InForce() {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	if find := c.picker; find != nil {
		c.fleet.endpoints.Store(&find)
	}
	if c.inForce {
		return
	}
	c.inForce = true
	c.fleet.begin()
	c.fleet.post(func() { c.fleet.adopt(c) })
}

// Close has the claim heeded no longer.
func (c *claim) Close() error {
	c.world.mu.Lock()
	defer c.world.mu.Unlock()
	f := c.fleet
	if c.inForce {
		f.post(func() { f.forget(c) })
	}
	if f.users--; f.users == 0 && c.world.fleets[f.cluster] == f {
		delete(c.world.fleets, f.cluster)
		f.end()
	}
	return nil
}
