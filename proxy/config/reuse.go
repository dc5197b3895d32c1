package config

import (
	"io"
	"maps"
	"sync/atomic"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/tracing"
)

// Compiling a table of thousands of routes takes much longer than anything else
// that a push may change, and most pushes change endpoints. So a compiled table is
// used again by the next snapshot where all that it was compiled of is the same:
// the HTTP and the table, by their pointers, and each of the clusters that it
// refers to, which live on while they are configured. Their endpoints change
// within them.

// compiledKey is what a table was compiled of, but for the clusters.
type compiledKey struct {
	origin string
	http   *HTTP
	table  *RouteTable
}

// compiled is a table and what it depends on. It is immutable but for directory.
type compiled struct {
	table *router.Table[*route]
	// clusters are those that it refers to; nil stands for one that is not there.
	clusters map[string]*cluster.Cluster
	// kept are the names of what its filters keep.
	kept map[string]bool
	// directory is where its filters look for clusters.
	directory *directory
	// rule is how its requests are traced.
	rule *tracing.Rule
}

// directory finds clusters in the newest of the snapshots that use it.
type directory struct {
	clusters atomic.Pointer[map[string]*cluster.Cluster]
}

func (d *directory) picker(name string) (proxy.Picker, bool) {
	cl, ok := (*d.clusters.Load())[name]
	return cl, ok
}

// reusable is the table that was compiled of the same, or nil.
func (c *Change) reusable(key compiledKey) *compiled {
	old := c.b.compiled[key]
	if old == nil {
		return nil
	}
	for name, cl := range old.clusters {
		if c.clusters[name] != cl {
			return nil
		}
	}
	for name := range old.kept {
		if c.b.kept[name] == nil {
			return nil
		}
	}
	return old
}

// reuse takes a table over from the snapshot before.
func (c *Change) reuse(key compiledKey, old *compiled) *compiled {
	for name := range old.kept {
		c.kept[name] = c.b.kept[name]
	}
	c.compiled[key] = old
	return old
}

// commitCompiled points every table to the clusters in force.
func (c *Change) commitCompiled() {
	clusters := c.clusters
	inForce := make(map[string]*router.Table[*route], len(c.compiled))
	for key, t := range c.compiled {
		t.directory.clusters.Store(&clusters)
		inForce[key.origin] = t.table
	}
	c.b.inForce.Store(&inForce)
	c.b.compiled = c.compiled
}

// cluster is one that the table refers to.
func (cc *compiler) cluster(name string) (*cluster.Cluster, bool) {
	cl, ok := cc.change.clusters[name]
	cc.out.clusters[name] = cl
	return cl, ok
}

// picker is what filters see as Env.Picker.
func (cc *compiler) picker(name string) (proxy.Picker, bool) { return cc.out.directory.picker(name) }

// keep is what filters see as Env.Keep.
func (cc *compiler) keep(name string, build func() (io.Closer, error)) (io.Closer, error) {
	cc.out.kept[name] = true
	return cc.change.keep(name, build)
}

func newCompiled(clusters map[string]*cluster.Cluster) *compiled {
	out := &compiled{clusters: map[string]*cluster.Cluster{}, kept: map[string]bool{}, directory: &directory{}}
	now := maps.Clone(clusters) // in force only once it is committed
	out.directory.clusters.Store(&now)
	return out
}
