package xdstest

import (
	"fmt"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
)

// Mesh is a configuration of some size: one table whose routes lead to clusters
// in turn, each of which has its share of the endpoints.
type Mesh struct {
	Routes, Clusters, Endpoints int
}

// Table is the routes: of 100 to a virtual host, by prefix.
func (m Mesh) Table(name string) *routev3.RouteConfiguration {
	table := &routev3.RouteConfiguration{Name: name}
	for i := range m.Routes {
		if i%100 == 0 {
			table.VirtualHosts = append(table.VirtualHosts, &routev3.VirtualHost{
				Name: fmt.Sprintf("host-%d", i/100), Domains: []string{fmt.Sprintf("service-%d.mesh.local", i/100), fmt.Sprintf("service-%d.mesh.local:*", i/100)}[:1],
			})
		}
		vh := table.VirtualHosts[len(table.VirtualHosts)-1]
		vh.Routes = append(vh.Routes, &routev3.Route{
			Name:  fmt.Sprintf("route-%d", i),
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: fmt.Sprintf("/v%d/", i)}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{
				ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: m.cluster(i % m.Clusters)},
			}},
		})
	}
	return table
}

func (m Mesh) cluster(i int) string {
	return fmt.Sprintf("outbound|80||service-%d.mesh.svc.cluster.local", i)
}

// All are the clusters, by EDS.
func (m Mesh) All() (out []proto.Message) {
	for i := range m.Clusters {
		c := Cluster(m.cluster(i))
		c.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		out = append(out, c)
	}
	return out
}

// Assignments are the endpoints of every cluster.
func (m Mesh) Assignments(t testing.TB) (out []proto.Message) {
	t.Helper()
	for i := range m.Clusters {
		out = append(out, m.Assignment(t, i, 0))
	}
	return out
}

// Assignment are the endpoints of one cluster; turn changes the address of the
// first of them.
func (m Mesh) Assignment(t testing.TB, cluster, turn int) *endpointv3.ClusterLoadAssignment {
	t.Helper()
	addresses := make([]string, 0, m.Endpoints/m.Clusters)
	for i := range m.Endpoints / m.Clusters {
		n := cluster*(m.Endpoints/m.Clusters) + i
		if i == 0 {
			n += turn << 16
		}
		addresses = append(addresses, fmt.Sprintf("10.%d.%d.%d:8080", n>>16&255, n>>8&255, n&255))
	}
	return Endpoints(t, m.cluster(cluster), addresses...)
}
