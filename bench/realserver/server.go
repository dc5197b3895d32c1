package realserver

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
)

// Server is a running model server. Its addresses are host:port, empty where it
// has none of the kind.
type Server struct {
	*process.Process
	// Address is where its HTTP API is, GRPC its gRPC API.
	Address, GRPC string
	// Metrics is where it tells about itself, at /metrics.
	Metrics string
}

// loopback is where servers listen unless told otherwise.
const loopback = "127.0.0.1"

// patience is how long a server may take to answer a path.
const patience = 2 * time.Minute

// ready waits until the server answers each path with 200.
func (s *Server) ready(ctx context.Context, paths ...string) error {
	for _, path := range paths {
		if err := s.Await(ctx, patience, process.OK("http://"+s.Address+path)); err != nil {
			return err
		}
	}
	return nil
}

// Executed is what a model of Triton's has done so far by Triton's own count: Items
// is nv_inference_count, rows, and Calls nv_inference_exec_count, runs of the model.
// Where they are fewer, rows ran in batches, whoever has made them
// (https://github.com/triton-inference-server/server/blob/main/docs/user_guide/metrics.md).
func (s *Server) Executed(ctx context.Context, model string) (exposition.Batches, error) {
	text, err := process.Get(ctx, "http://"+s.Metrics+"/metrics")
	if err != nil {
		return exposition.Batches{}, err
	}
	label := `model="` + model + `"`
	return exposition.Batches{
		Items: exposition.Sum(string(text), "nv_inference_count", label),
		Calls: exposition.Sum(string(text), "nv_inference_exec_count", label),
	}, nil
}

// freePorts are n different free loopback addresses, and their ports.
func freePorts(n int) (addresses, ports []string, err error) {
	addresses, err = process.FreeAddresses(make([]int, n)...)
	if err != nil {
		return nil, nil, err
	}
	for _, address := range addresses {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, nil, fmt.Errorf("address: %w", err)
		}
		ports = append(ports, port)
	}
	return addresses, ports, nil
}
