package client

import "github.com/fridaymesh/friday/xds/resource"

// kind is a type of resources, in the order of subscription: what others depend
// on comes first.
type kind int

const (
	cds kind = iota
	eds
	sds
	lds
	rds
	ecds
	kinds
)

// String is the short name, as in metrics and logs.
func (k kind) String() string { return [kinds]string{"cds", "eds", "sds", "lds", "rds", "ecds"}[k] }

func (k kind) typeURL() string {
	return [kinds]string{
		resource.ClusterType, resource.EndpointType, resource.SecretType,
		resource.ListenerType, resource.RouteType, resource.ExtensionType,
	}[k]
}

// noun is what one resource is called in errors.
func (k kind) noun() string {
	return [kinds]string{"cluster", "endpoints", "secret", "listener", "route", "extension"}[k]
}

// whole says that a control plane is asked for all resources there are. In the
// state of the world absence deletes them. The others are asked for by name, and
// deleted with who asked.
func (k kind) whole() bool { return k == cds || k == lds }

func kindOf(typeURL string) (kind, bool) {
	for k := range kinds {
		if k.typeURL() == typeURL {
			return k, true
		}
	}
	return 0, false
}
