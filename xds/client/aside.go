package client

import (
	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	"google.golang.org/protobuf/types/known/structpb"
)

// asideType names the part of the config dump that is Friday's own.
const asideType = "type.googleapis.com/friday.admin.v1.LeftAside"

// leftAside tells of what is accepted which filters do nothing here, and why: for each
// listener, route and cluster that has any, a line for each filter with its path. Envoy's
// messages have no room for it, so it is a TypedStruct beside them. nil: there is none.
func (d *dump) leftAside() *udpav1.TypedStruct {
	kinds := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	note := func(kind, name string, lines []string) {
		if len(lines) == 0 {
			return
		}
		of := kinds.Fields[kind].GetStructValue()
		if of == nil {
			of = &structpb.Struct{Fields: map[string]*structpb.Value{}}
			kinds.Fields[kind] = structpb.NewStructValue(of)
		}
		list := &structpb.ListValue{}
		for _, line := range lines {
			list.Values = append(list.Values, structpb.NewStringValue(line))
		}
		of.Fields[name] = structpb.NewListValue(list)
	}
	for name, i := range d.known[lds].items {
		note("listeners", name, i.listener().LeftAside)
	}
	for name, i := range d.known[rds].items {
		note("routes", name, i.table().LeftAside)
	}
	for name, i := range d.known[cds].items {
		note("clusters", name, i.cluster().LeftAside)
	}
	if len(kinds.Fields) == 0 {
		return nil
	}
	return &udpav1.TypedStruct{TypeUrl: asideType, Value: kinds}
}
