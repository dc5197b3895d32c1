package resource

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3" // the table speaks of it
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

var update = flag.Bool("update", false, "write docs/xds.md")

const docsFile = "../../docs/xds.md"

// TestTableNamesWhatThereIs catches a misspelt message or field, which would
// otherwise be honoured nowhere.
func TestTableNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	var check func(md protoreflect.MessageDescriptor, r rules)
	check = func(md protoreflect.MessageDescriptor, r rules) {
		for name, rule := range r {
			fd := md.Fields().ByName(name)
			require.NotNil(t, fd, "%s has no field %s", md.FullName(), name)
			if rule.within != nil {
				check(fd.Message(), rule.within)
			}
			if fd.Enum() != nil {
				for _, value := range rule.only {
					require.NotNil(t, fd.Enum().Values().ByName(protoreflect.Name(value)), "%s.%s: %s", md.FullName(), name, value)
				}
			}
		}
	}
	for name, r := range table {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
		require.NoError(t, err, name)
		check(mt.Descriptor(), r)
	}
}

// TestRulesDoNotContradict: where two parts of the table speak of one message, the later
// one counts, so they must take the same fields and values.
func TestRulesDoNotContradict(t *testing.T) {
	t.Parallel()
	seen := map[protoreflect.FullName]rules{}
	for _, part := range []map[protoreflect.FullName]rules{logRules(), filterRules(), listenerRules(), routeRules(), clusterRules(), tlsRules(), bootstrapRules()} {
		for name, r := range part {
			for field, now := range r {
				before, ok := seen[name][field]
				same := before.only == nil && now.only == nil || slices.Equal(before.only, now.only)
				require.True(t, seen[name] == nil || ok && same && before.opaque == now.opaque && (before.ignored == "") == (now.ignored == ""), "%s.%s", name, field)
			}
			require.True(t, seen[name] == nil || len(seen[name]) == len(r), name)
			seen[name] = r
		}
	}
}

// TestDocs holds docs/xds.md against the table; -update writes it.
func TestDocs(t *testing.T) {
	t.Parallel()
	want := docs()
	if *update {
		require.NoError(t, os.WriteFile(docsFile, []byte(want), 0o644)) // #nosec G306 -- a document
		return
	}
	got, err := os.ReadFile(docsFile)
	require.NoError(t, err)
	if want != string(got) { // whose difference would be a page long
		t.Error("docs/xds.md is not current; run: go test ./xds/resource -run TestDocs -update")
	}
}

const preface = `# xDS: what is understood

Friday takes Envoy's v3 resources over ADS, state of the world (api_type GRPC) or incremental (DELTA_GRPC), and in a bootstrap
file: listeners, routes, clusters, endpoints, secrets (SDS) and HTTP filters by themselves (ECDS). Every field is honoured, or it is
left aside for the reason given here, or the resource is refused and the control plane told so: the NACK names the
resource, the field's path, the value and the reason, a line for each. **A field that is not in these tables is refused
where it is set**, VHDS and on-demand discovery among them.

## The protocol

- *Part of a response.* The good resources of a response apply; the response is refused (NACK) naming the bad ones, each of
  which keeps its last good version. Where the data plane cannot do what a good resource says (a port is busy), the others of the
  response apply all the same, and it is tried again until it can, without a word of the control plane; then it is acknowledged. In the
  state of the world an unreadable resource could be any of them, so then nothing is deleted.
- *Refused again.* A control plane that answers a NACK with the same version once more (go-control-plane does) is told so
  again after 1 s, and then ever later, at most 5 s. Each time the response is tried anew.
- *Absence.* In the state of the world, what a response of listeners or clusters does not hold is deleted, and for the other types
  absence means nothing. In delta, removed_resources counts: a listener or a cluster goes; of endpoints, routes and secrets what serves
  stays, as in Envoy, and what was being waited for is waited for no longer. They go with the listener or cluster that asked for them.
- *Subscriptions.* All listeners and clusters; the others by name. A NACK never changes a subscription. In delta a change is a request of
  its own, without a nonce. Names beginning with xdstp: are names like any other. What was not asked for is left aside.
- *Warming.* A cluster enters when its endpoints and secrets are there, or after initial_fetch_timeout (15 s; 0s: never) of an open
  stream without them, then without. Routes enter when the clusters they name have warmed, a listener when its routes, secrets and
  filters have; until then the older version goes on. A new listener whose routes do not come in time opens without, and answers 404. A
  removed cluster stays while routes in force name it, for at most 15 s more.
- *Secrets* come over ADS, or from a gRPC server of their own that sds_config names: a static cluster of the bootstrap, such as Istio's
  sds-grpc on a unix socket. It has a stream of its own, while anything in the configuration refers to it. A secret that is rotated
  counts from the next handshake on; nothing is rebuilt and no connection is closed for it.
- *Filters by themselves.* A filter with config_discovery is asked for by its name. default_config serves where nothing has come in time,
  where what came was refused, or at once (apply_default_config_without_warming); without it such requests are answered 500 (NFCF).
- *TTL.* A resource with a ttl that is not heard of again in time goes as if it had been removed, also while the control plane is away.
  An envelope without a resource (a heartbeat) makes it last. Such resources are not kept on disk.
- *Reconnecting.* Back-off from 1 s, × 1.6, jitter 0.2, at most 30 s. A stream that received something before it broke is
  opened again within 200 ms. What was received goes on serving. In delta the new stream names what there is (initial_resource_versions).
- *Several control planes.* grpc_services, and the endpoints of their clusters, are tried in their order. One that is connected to but
  says nothing for 15 s is passed over. While another than the first is followed, those before it are looked for every 30 s, ever more
  rarely where the return fails. Versions of one mean nothing to another, so what comes from it is compared anew.
- *Restart.* With a state directory the last good configuration is kept on disk and serves until the control plane answers. The file is
  readable by its owner alone. **Secrets are not in it**: private keys that came by SDS are not written to disk; after a restart they are
  asked for again, and a listener or cluster that needs them waits for them. What stands inline in a listener or a cluster is kept with it.
- *Limits.* A response has at most 256 MiB; beyond that gRPC ends the stream. Of one stream 1,000 responses at once and 200 a second are
  looked at, the rest waits.
- *Keepalive.* A ping after 30 s of silence. A gRPC server in Go with its default enforcement policy allows one in five
  minutes and closes the connection; raise it (keepalive.EnforcementPolicy) or be reconnected now and then.

What is in force, what warms and what was refused, and why, is in /config_dump in Envoy's shape, and in the client status discovery
service (CSDS), which the admin port serves by gRPC. The last part of /config_dump, a TypedStruct of friday.admin.v1.LeftAside, names the
filters that are accepted and do nothing here, each with its path and why. Private keys, session ticket keys and passwords are redacted in both.

In the tables *only* means: other values are refused. Friday's own filters have pages of their own.

`

// docs writes the table for people.
func docs() string {
	var b strings.Builder
	b.WriteString(preface)
	for _, group := range []struct {
		title string
		rules map[protoreflect.FullName]rules
	}{
		{"Listeners", listenerRules()},
		{"Routes", routeRules()},
		{"Envoy's filters", filterRules()},
		{"Access logs", logRules()},
		{"Clusters and endpoints", clusterRules()},
		{"TLS and secrets", tlsRules()},
		{"Bootstrap", bootstrapRules()},
	} {
		fmt.Fprintf(&b, "## %s\n\n", group.title)
		for _, name := range slices.Sorted(maps.Keys(group.rules)) {
			fmt.Fprintf(&b, "### %s\n\n", name)
			if len(group.rules[name]) == 0 {
				b.WriteString("No fields.\n\n")
				continue
			}
			b.WriteString("| field | |\n|---|---|\n")
			rows(&b, "", group.rules[name])
			b.WriteString("\n")
		}
	}
	b.WriteString("## Filters that are left aside\n\nThey are recognised and do nothing here; /config_dump tells which there are, and where.\n\n")
	for _, group := range []struct {
		title string
		aside map[string]string
	}{{"HTTP filter", asideFilters()}, {"network filter, of a listener or a cluster", asideNetworkFilters()}} {
		fmt.Fprintf(&b, "| %s | why |\n|---|---|\n", group.title)
		for _, name := range slices.Sorted(maps.Keys(group.aside)) {
			fmt.Fprintf(&b, "| `%s` | %s |\n", name, group.aside[name])
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func rows(b *strings.Builder, prefix string, r rules) {
	for _, name := range slices.Sorted(maps.Keys(r)) {
		rule := r[name]
		words := "honoured"
		switch {
		case rule.ignored != "":
			words = "left aside: " + rule.ignored
		case len(rule.only) > 0:
			words = "only " + strings.Join(rule.only, ", ")
		case rule.note != "":
			words += ": " + rule.note
		case rule.within != nil && len(rule.within) == 0:
			words += ": empty"
		}
		fmt.Fprintf(b, "| `%s%s` | %s |\n", prefix, name, strings.ReplaceAll(words, "|", `\|`))
		rows(b, prefix+string(name)+".", rule.within)
	}
}
