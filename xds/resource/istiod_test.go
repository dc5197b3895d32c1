package resource_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/fridaymesh/friday/filters/standard"
	"github.com/fridaymesh/friday/xds/resource"
	"github.com/fridaymesh/friday/xds/xdstest"
)

// refusedOfIstiod are the refusals of what an istiod sends by default that are meant:
// parts of a line, each of which docs/xds.md gives the reason of. There is none.
func refusedOfIstiod() []string { return nil }

// TestIstiod: every resource that an istiod sends is honoured, or refused as is listed
// above. Those of our own, in its shape, stand in xdstest; dumps of a real one are read
// from $FRIDAY_ISTIOD_DUMPS, where it is set: one folder each, with files in JSON.
func TestIstiod(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(filepath.Join("..", "xdstest", "testdata", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	if dumps := os.Getenv("FRIDAY_ISTIOD_DUMPS"); dumps != "" {
		entries, err := os.ReadDir(dumps)
		require.NoError(t, err)
		found := false
		for _, e := range entries {
			if e.IsDir() {
				found = true
				dirs = append(dirs, filepath.Join(dumps, e.Name()))
			}
		}
		require.True(t, found, "no folder in %s", dumps)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			var of inventory
			for _, m := range xdstest.Load(t, dir) {
				of.add(t, m)
			}
			t.Log(of.String())
			require.NotEmpty(t, of.honoured)
		})
	}
}

// inventory is what became of the resources of a folder.
type inventory struct {
	honoured, refused, aside map[string]int
	others                   int
}

func (v *inventory) add(t *testing.T, m proto.Message) {
	t.Helper()
	if v.honoured == nil {
		v.honoured, v.refused, v.aside = map[string]int{}, map[string]int{}, map[string]int{}
	}
	a := pack(t, m)
	kind := string(m.ProtoReflect().Descriptor().Name())
	if !slices.Contains([]string{resource.ListenerType, resource.RouteType, resource.ClusterType, resource.EndpointType, resource.SecretType}, a.GetTypeUrl()) {
		v.others++ // of a type that is not asked for: istiod's table of names (NDS)
		return
	}
	parser := &resource.Parser{Registry: standard.Registry()}
	name, parsed, err := parser.ParseAny(a.GetTypeUrl(), a)
	require.NotEmpty(t, name)
	if err == nil {
		v.honoured[kind]++
		v.note(parsed)
		return
	}
	v.refused[kind]++
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.ContainsFunc(refusedOfIstiod(), func(known string) bool { return strings.Contains(line, known) }) {
			t.Error("not listed: " + line)
		}
	}
}

// note counts what is left aside.
func (v *inventory) note(parsed any) {
	var lines []string
	switch p := parsed.(type) {
	case *resource.Listener:
		lines = p.LeftAside
	case *resource.RouteTable:
		lines = p.LeftAside
	case *resource.Cluster:
		lines = p.LeftAside
	}
	for _, line := range lines {
		_, what, _ := strings.Cut(line, ": ")
		v.aside[what]++
	}
}

func (v *inventory) String() string {
	var b strings.Builder
	sum := func(counts map[string]int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	fmt.Fprintf(&b, "%d resources honoured, %d refused, %d of types that are not asked for", sum(v.honoured), sum(v.refused), v.others)
	for _, kind := range slices.Sorted(maps.Keys(v.honoured)) {
		fmt.Fprintf(&b, "\n%s: %d honoured, %d refused", kind, v.honoured[kind], v.refused[kind])
	}
	for _, what := range slices.Sorted(maps.Keys(v.aside)) {
		fmt.Fprintf(&b, "\nleft aside %d times: %s", v.aside[what], what)
	}
	return b.String()
}
