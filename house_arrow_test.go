package friday_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// arrow is the order of the house: a package imports only from stages above its
// own. What stands side by side in a stage does not know of each other; a pattern
// ending in "/..." is one thing with all its folders. docs/architecture.md tells
// why.
func arrow() [][]string {
	return [][]string{
		{"xds/api/...", "proxy/span", "proxy/template"},
		{"proxy"},
		{"proxy/stream", "proxy/http2", "proxy/telemetry", "proxy/tlscontext", "proxy/router", "proxy/format", "proxy/samesite", "proxy/redis", "filters/inference/..."},
		{"proxy/cluster/...", "proxy/upstream", "proxy/action", "proxy/accesslog", "proxy/edge", "proxy/tracing", "filters", "filters/*", "filters/admission/...", "filters/batch/...", "filters/cache/...", "filters/jobs/...", "filters/models/..."},
		{"filters/standard"},
		{"proxy/config"},
		{"proxy/exchange"},
		{
			"proxy/listener/...", "proxy/h1", "proxy/h2", "proxy/tcp", "proxy/admin/...", "deploy/inject", "deploy/postgres",
			"xds/resource/...", "xds/bootstrap/...", "xds/client/...", "xds/control/...",
		},
		{"proxy/server", "deploy/webhook/..."},
		{"bench/..."},
		{"bench/cmd/..."},
		{"cmd/..."},
	}
}

// beside are the imports between neighbours of one stage that are meant.
func beside() map[string][]string {
	return map[string][]string{
		"xds/bootstrap/...": {"xds/resource/..."},
		"xds/client/...":    {"xds/resource/..."},
		"xds/control/...":   {"xds/resource/..."},
	}
}

// place finds the stage and the pattern of a folder. Of several patterns the
// longest holds: filters/standard is not one of filters/*.
func place(folder string) (stage int, pattern string, ok bool) {
	for i, patterns := range arrow() {
		for _, p := range patterns {
			if len(p) > len(pattern) && under(folder, p) {
				stage, pattern, ok = i, p, true
			}
		}
	}
	return stage, pattern, ok
}

func under(folder, pattern string) bool {
	if tree, whole := strings.CutSuffix(pattern, "/..."); whole {
		return folder == tree || strings.HasPrefix(folder, tree+"/")
	}
	match, err := path.Match(pattern, folder)
	return err == nil && match
}

// testOnly says whether a folder is a …test package: proxytest, filtertest.
func testOnly(folder string) bool { return strings.HasSuffix(path.Base(folder), "test") }

// offence is what is wrong with the folder from importing the folder to; empty
// where nothing is.
func offence(from, to string) string {
	if testOnly(from) {
		if testOnly(to) {
			return ""
		}
		if strings.HasPrefix(to, "cmd/") {
			return "nothing imports a command"
		}
		return ""
	}
	if testOnly(to) {
		return "a …test package is for _test.go files alone"
	}
	fromStage, fromPattern, ok := place(from)
	if !ok {
		return "the importing package has no place in the arrow: give it one in house_arrow_test.go and docs/architecture.md"
	}
	toStage, toPattern, ok := place(to)
	if !ok {
		return "the imported package has no place in the arrow"
	}
	switch {
	case toStage < fromStage, slices.Contains(beside()[fromPattern], toPattern):
		return ""
	case toStage > fromStage:
		return fmt.Sprintf("%s stands right of %s", toPattern, fromPattern)
	case toPattern == fromPattern && strings.HasSuffix(toPattern, "/..."):
		return ""
	default:
		return "neighbours of one stage do not import each other"
	}
}

func TestImportsFollowTheArrow(t *testing.T) {
	var found []string
	for _, p := range packages(t) {
		if _, _, ok := place(p.path()); !ok && p.path() != "." && !testOnly(p.path()) {
			found = append(found, p.path()+": has no place in the arrow")
		}
		for _, imported := range p.Imports {
			to := folder(imported)
			if to == "" {
				continue
			}
			if why := offence(p.path(), to); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", p.path(), to, why))
			}
		}
	}
	report(t, "the arrow of imports (docs/architecture.md)", found)
}

func TestArrowFindsOffenders(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"proxy", "xds/api/friday/filters/http/batch/v1", true},
		{"proxy", "proxy/telemetry", false},
		{"proxy/stream", "proxy", true},
		{"proxy/stream", "proxy/telemetry", false},
		{"proxy/upstream", "proxy/tlscontext", true},
		{"proxy/tlscontext", "proxy/telemetry", false},
		{"filters/inference", "filters/inference/jsonspan", true},
		{"filters/inference/openai", "proxy/telemetry", false},
		{"filters/batch", "filters/inference", true},
		{"filters/batch", "proxy/telemetry", true},
		{"filters/batch", "filters/stream", false},
		{"filters/batch", "filters/batch/schedule", true},
		{"filters/batch/schedule", "filters/inference", true},
		{"filters/stream", "filters/batch/schedule", false},
		{"filters/jobs", "filters/jobs/store", true},
		{"filters/jobs/store", "proxy/telemetry", true},
		{"filters/cache", "filters/jobs/store", false},
		{"cmd/fridayctl", "filters/jobs/store", true},
		{"filters/batch", "filters", false},
		{"filters/batch", "proxy/h1", false},
		{"filters/batch", "proxy/config", false},
		{"filters/standard", "filters/batch", true},
		{"filters", "filters/standard", false},
		{"proxy/upstream", "proxy/cluster", false},
		{"proxy/config", "proxy/cluster", true},
		{"proxy/config", "xds/resource", false},
		{"xds/resource", "filters/standard", true},
		{"xds/client", "xds/resource", true},
		{"xds/resource", "xds/client", false},
		{"xds/client", "xds/control", false},
		{"xds/control", "xds/control/policy", true},
		{"proxy/h1", "proxy/listener", false},
		{"proxy/h1", "proxy/exchange", true},
		{"proxy/h2", "proxy/h1", false},
		{"proxy/exchange", "proxy/h1", false},
		{"proxy/server", "xds/client", true},
		{"proxy/server", "bench/load", false},
		{"deploy/webhook", "deploy/inject", true},
		{"deploy/inject", "deploy/webhook", false},
		{"cmd/fridayctl", "deploy/inject", true},
		{"cmd/fridayctl", "bench/load", true},
		{"cmd/friday", "cmd/internal/cli", true},
		{"bench/load", "cmd/internal/cli", false},
		{"proxy/h1", "proxy/proxytest", false},
		{"proxy/proxytest", "proxy/config", true},
		{"somewhere/new", "proxy", false},
	} {
		t.Run(c.from+" imports "+c.to, func(t *testing.T) {
			require.Equal(t, c.ok, offence(c.from, c.to) == "", offence(c.from, c.to))
		})
	}
}
