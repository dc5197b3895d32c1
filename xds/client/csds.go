package client

import (
	"context"
	"errors"
	"io"
	"net/http"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Status serves what a Client has, and what it refused, as the client status
// discovery service
// (https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/status/v3/csds.proto).
type Status struct {
	statusv3.UnimplementedClientStatusDiscoveryServiceServer

	Client *Client
}

var _ statusv3.ClientStatusDiscoveryServiceServer = (*Status)(nil)

// StatusHandler serves Status by gRPC, on a server of HTTP/2.
func (c *Client) StatusHandler() http.Handler {
	server := grpc.NewServer()
	statusv3.RegisterClientStatusDiscoveryServiceServer(server, &Status{Client: c})
	return server
}

// FetchClientStatus answers once.
func (s *Status) FetchClientStatus(_ context.Context, req *statusv3.ClientStatusRequest) (*statusv3.ClientStatusResponse, error) {
	if len(req.GetNodeMatchers()) > 0 {
		return nil, status.Error(codes.InvalidArgument, "node_matchers: not supported: there is one node here")
	}
	return &statusv3.ClientStatusResponse{Config: []*statusv3.ClientConfig{s.Client.ClientConfig(!req.GetExcludeResourceContents())}}, nil
}

// StreamClientStatus answers each request.
func (s *Status) StreamClientStatus(stream statusv3.ClientStatusDiscoveryService_StreamClientStatusServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		resp, err := s.FetchClientStatus(stream.Context(), req)
		if err != nil {
			return err
		}
		if err := stream.Send(resp); err != nil {
			return err
		}
	}
}

// ClientConfig is every resource, with contents or without. Secrets are redacted.
func (c *Client) ClientConfig(contents bool) *statusv3.ClientConfig {
	s := c.state.Load()
	d := &dump{state: s, started: timestamppb.New(c.started)}
	out := &statusv3.ClientConfig{Node: c.opts.Node}
	add := func(g *statusv3.ClientConfig_GenericXdsConfig) {
		if !contents {
			g.XdsConfig = nil
		}
		out.GenericXdsConfigs = append(out.GenericXdsConfigs, g)
	}
	static := c.opts.Bootstrap.GetStaticResources()
	for _, m := range static.GetClusters() {
		add(d.static(cds, m.GetName(), m))
	}
	for _, m := range static.GetListeners() {
		add(d.static(lds, m.GetName(), m))
	}
	force := s.inForce()
	for k := range kinds {
		for _, name := range all(d, k, force[k]) {
			i := force[k][name]
			active := i != nil || s.known[k].items[name] != nil && !k.whole()
			if i == nil {
				i = s.known[k].items[name]
			}
			failed := d.failure(k, name)
			g := &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: k.typeURL(), Name: name, ClientStatus: statusOf(active, failed), ErrorState: failed}
			g.XdsConfig, g.VersionInfo, g.LastUpdated = shown(i)
			add(g)
		}
	}
	for wanted := range s.wanted {
		if s.held(wanted) != nil || wanted.source != "" {
			continue
		}
		if _, refused := s.known[wanted.kind].failures[wanted.name]; refused {
			continue
		}
		g := &statusv3.ClientConfig_GenericXdsConfig{TypeUrl: wanted.kind.typeURL(), Name: wanted.name, ClientStatus: adminv3.ClientResourceStatus_REQUESTED}
		if s.without[wanted] {
			g.ClientStatus = adminv3.ClientResourceStatus_DOES_NOT_EXIST
		}
		add(g)
	}
	return out
}

func (d *dump) static(k kind, name string, m proto.Message) *statusv3.ClientConfig_GenericXdsConfig {
	return &statusv3.ClientConfig_GenericXdsConfig{
		TypeUrl: k.typeURL(), Name: name, XdsConfig: redacted(pack(m)), LastUpdated: d.started,
		ClientStatus: adminv3.ClientResourceStatus_ACKED, IsStaticResource: true,
	}
}
