package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/xds/bootstrap"
)

// Cached is Unbatched with a cache: settings are the fields of a
// friday.filters.http.cache.v1.Cache, in JSON.
func Cached(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin, settings string, args ...string) (*Sidecar, error) {
	text, err := cached(ctx, bootstrap.Flags{Upstream: upstream, Listen: listen, Admin: admin}, settings)
	return written(ctx, g, bin, name, listen, admin, text, err, args)
}

// CachedProxy is Proxy with a cache before its batcher: settings as Cached's.
func CachedProxy(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin, settings string, args ...string) (*Sidecar, error) {
	text, err := with(ctx, bootstrap.Flags{Upstream: upstream, Listen: listen, Admin: admin}, "cache", "Cache", settings, false)
	return written(ctx, g, bin, name, listen, admin, text, err, args)
}

// Admitting is Proxy with admission before its batcher: settings are the fields of a
// friday.filters.http.admission.v1.Admission, in JSON.
func Admitting(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin, settings string, args ...string) (*Sidecar, error) {
	text, err := with(ctx, bootstrap.Flags{Upstream: upstream, Listen: listen, Admin: admin}, "admission", "Admission", settings, false)
	return written(ctx, g, bin, name, listen, admin, text, err, args)
}

// written starts a friday with a bootstrap, unless that could not be made.
func written(ctx context.Context, g *process.Group, bin, name, listen, admin string, text []byte, err error, args []string) (*Sidecar, error) {
	if err != nil {
		return nil, err
	}
	file := g.File(name + " bootstrap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return start(ctx, g, bin, name, listen, admin, append([]string{"proxy", "--config", file}, args...))
}

// cached is the bootstrap of f, as JSON, with the batch filter disabled and a cache before
// it.
func cached(ctx context.Context, f bootstrap.Flags, settings string) ([]byte, error) {
	return with(ctx, f, "cache", "Cache", settings, true)
}

// with is the bootstrap of f, as JSON, with another filter of Friday's before the batch
// filter, which may be disabled.
func with(ctx context.Context, f bootstrap.Flags, name, message, settings string, unbatched bool) ([]byte, error) {
	made, err := f.Bootstrap(ctx)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	text, err := protojson.Marshal(made)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	config := map[string]any{}
	if err := json.Unmarshal([]byte(settings), &config); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	config["@type"] = "type.googleapis.com/friday.filters.http." + name + ".v1." + message
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if unbatched && disable(tree) != 1 || insert(tree, map[string]any{"name": "friday.filters.http." + name, "typedConfig": config}) != 1 {
		return nil, errors.New("bootstrap: there is not one batch filter to stand before")
	}
	return json.Marshal(tree)
}

// insert puts a filter before the batch filter of every chain of a tree of JSON and
// returns how many there were.
func insert(tree any, filter map[string]any) int {
	n := 0
	switch t := tree.(type) {
	case map[string]any:
		for name, v := range t {
			list, ok := v.([]any)
			if i := slices.IndexFunc(list, isBatch); ok && i >= 0 {
				t[name] = slices.Insert(list, i, any(filter))
				n++
				continue
			}
			n += insert(v, filter)
		}
	case []any:
		for _, v := range t {
			n += insert(v, filter)
		}
	}
	return n
}

func isBatch(v any) bool {
	filter, _ := v.(map[string]any)
	config, _ := filter["typedConfig"].(map[string]any)
	kind, _ := config["@type"].(string)
	return strings.HasSuffix(kind, "/friday.filters.http.batch.v1.Batch")
}
