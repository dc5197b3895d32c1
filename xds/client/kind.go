package client

import "github.com/fridaymesh/friday/xds/resource"

// kind is a type of resources, in the order of subscription.
type kind int

const (
	cds kind = iota
	eds
	lds
	rds
	kinds
)

// String is the short name, as in metrics and logs.
func (k kind) String() string { return [kinds]string{"cds", "eds", "lds", "rds"}[k] }

func (k kind) typeURL() string {
	return [kinds]string{resource.ClusterType, resource.EndpointType, resource.ListenerType, resource.RouteType}[k]
}

// noun is what one resource is called in errors.
func (k kind) noun() string { return [kinds]string{"cluster", "endpoints", "listener", "route"}[k] }

// whole says that a response holds all resources there are, so that absence
// deletes. The others are asked for by name, and deleted with who asked.
func (k kind) whole() bool { return k == cds || k == lds }

func kindOf(typeURL string) (kind, bool) {
	for k := range kinds {
		if k.typeURL() == typeURL {
			return k, true
		}
	}
	return 0, false
}
