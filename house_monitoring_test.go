package friday_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// metricName is one of ours in an expression or a Go string.
var metricName = regexp.MustCompile(`\bfridayd?_[a-z0-9_]+`)

// TestMonitoringNamesWhatThereIs: alerts and the dashboard ask for metrics that exist, and
// each alert has a test and a section in the runbook.
func TestMonitoringNamesWhatThereIs(t *testing.T) {
	known := map[string]bool{}
	for _, src := range sources(t) {
		if strings.HasSuffix(src.path, ".go") && !strings.HasSuffix(src.path, "_test.go") {
			for _, name := range metricName.FindAllString(src.text, -1) {
				known[name] = true
			}
		}
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("deploy", "monitoring", name))
		require.NoError(t, err)
		return text
	}
	for _, file := range []string{"friday.rules.yaml", "friday.rules.test.yaml", "friday.dashboard.json"} {
		for _, name := range metricName.FindAllString(string(read(file)), -1) {
			base := name
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				base = strings.TrimSuffix(base, suffix)
			}
			require.True(t, known[name] || known[base], "%s: there is no metric %s", file, name)
		}
	}

	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string            `json:"alert"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	require.NoError(t, yaml.Unmarshal(read("friday.rules.yaml"), &rules))
	runbook, err := os.ReadFile("docs/runbook.md")
	require.NoError(t, err)
	sections := regexp.MustCompile(`(?m)^## (Friday\w+)$`).FindAllStringSubmatch(string(runbook), -1)
	var alerts, described []string
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts = append(alerts, r.Alert)
			require.Equal(t, "docs/runbook.md#"+strings.ToLower(r.Alert), r.Annotations["runbook"])
			require.Contains(t, string(read("friday.rules.test.yaml")), "alertname: "+r.Alert, "nothing tries the alert")
		}
	}
	for _, s := range sections {
		described = append(described, s[1])
	}
	slices.Sort(alerts)
	slices.Sort(described)
	require.Equal(t, alerts, described, "alerts, and sections of the runbook")
}
