package resource

import (
	"maps"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// rule says what becomes of one field of a message. A field without a rule is
// refused where it is set.
type rule struct {
	// ignored is why the field may be left aside; empty: it is honoured.
	ignored string
	// only are the values that are taken, as text; none: all.
	only []string
	// note is for docs/xds.md.
	note string
	// within are the rules of the field's message here, in place of the table's.
	within rules
	// opaque fields are read by code that looks at all of them itself.
	opaque bool
}

// rules are the fields of one message.
type rules map[protoreflect.Name]rule

func honoured(note ...string) rule {
	r := rule{}
	if len(note) > 0 {
		r.note = note[0]
	}
	return r
}

func ignored(reason string) rule { return rule{ignored: reason} }

func only(values ...string) rule { return rule{only: values} }

func within(r rules) rule { return rule{within: r} }

func opaque(note string) rule { return rule{opaque: true, note: note} }

// Reasons that stand more than once.
const (
	noStats    = "metrics are named by route and cluster"
	noMetadata = "for others to read; nothing here depends on it"
	noBuffers  = "bodies are pulled piece by piece; what is held is bounded otherwise"
	byType     = "the type says what it is"
)

// table is the one list of the fields that are understood.
//
//nolint:gochecknoglobals // an immutable table
var table = join(logRules(), tracingRules(), filterRules(), listenerRules(), routeRules(), clusterRules(), tlsRules(), bootstrapRules())

func join(parts ...map[protoreflect.FullName]rules) map[protoreflect.FullName]rules {
	all := map[protoreflect.FullName]rules{}
	for _, part := range parts {
		maps.Copy(all, part)
	}
	return all
}
