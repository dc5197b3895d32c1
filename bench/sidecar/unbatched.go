package sidecar

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/xds/bootstrap"
)

// Unbatched is Proxy with the batcher disabled and all else the same: it starts
// friday with the bootstrap file that "--upstream" stands for, in which the batch
// filter is disabled.
func Unbatched(ctx context.Context, g *process.Group, bin, name, upstream, listen, admin string, args ...string) (*Sidecar, error) {
	return edited(ctx, g, bin, name, bootstrap.Flags{Upstream: upstream, Listen: listen, Admin: admin}, unbatch, args)
}

// edited starts friday with the bootstrap file that flags stand for, changed.
func edited(ctx context.Context, g *process.Group, bin, name string, f bootstrap.Flags, change func(tree any) error, args []string) (*Sidecar, error) {
	text, err := edit(ctx, f, change)
	if err != nil {
		return nil, err
	}
	file := g.File(name + " bootstrap.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return start(ctx, g, bin, name, f.Listen, f.Admin, append([]string{"proxy", "--config", file}, args...))
}

// edit is the bootstrap of f, as JSON, changed.
func edit(ctx context.Context, f bootstrap.Flags, change func(tree any) error) ([]byte, error) {
	message, err := f.Bootstrap(ctx)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	text, err := protojson.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	if err := change(tree); err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return json.Marshal(tree)
}

// unbatch disables the batch filter.
func unbatch(tree any) error {
	if disable(tree) != 1 {
		return errors.New("there is not one batch filter to disable")
	}
	return nil
}

// disable disables every batch filter of a tree of JSON and returns how many there were.
func disable(tree any) int {
	n := 0
	switch t := tree.(type) {
	case map[string]any:
		for _, v := range t {
			n += disable(v)
		}
		if kind, _ := t["@type"].(string); strings.HasSuffix(kind, "/friday.filters.http.batch.v1.Batch") {
			t["disabled"] = true
			n++
		}
	case []any:
		for _, v := range t {
			n += disable(v)
		}
	}
	return n
}
