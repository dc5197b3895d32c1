package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/fridaymesh/friday/bench/load"
)

// dialGRPC makes links that speak gRPC in plain text, each over a connection of its
// own. Path is the method, body the message; header lines are left out.
func dialGRPC(t *load.Target, timeout time.Duration) load.Link {
	return &grpcLink{address: t.Address, timeout: timeout}
}

type grpcLink struct {
	address string
	timeout time.Duration
	cc      *grpc.ClientConn
	dialled uint64
	answer  []byte
}

// largest is the largest answer that is taken.
const largest = 256 << 20

func (l *grpcLink) Call(ctx context.Context, path string, _, body []byte) (load.Answer, error) {
	if l.cc == nil {
		cc, err := grpc.NewClient("passthrough:///"+l.address,
			grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(asItIs{}), grpc.MaxCallRecvMsgSize(largest)))
		if err != nil {
			return load.Answer{}, load.Failure("connect", err)
		}
		l.cc = cc
		l.dialled++
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if err := l.cc.Invoke(ctx, path, &body, &l.answer); err != nil {
		return load.Answer{}, load.Failure(kind(err), err)
	}
	return load.Answer{Header: noHeader{}, Body: l.answer}, nil
}

// kind is what a failure is counted as: the status, but for those that have a name
// for every protocol.
func kind(err error) string {
	switch code := status.Code(err); code {
	case codes.DeadlineExceeded:
		return "timeout"
	case codes.Unavailable:
		return "connect"
	default:
		return code.String()
	}
}

func (l *grpcLink) Dialled() uint64 { return l.dialled }

func (l *grpcLink) Close() {
	if l.cc != nil {
		_ = l.cc.Close()
		l.cc = nil
	}
}

type noHeader struct{}

func (noHeader) Peek(string) []byte { return nil }

// asItIs is a codec of messages that are bytes already, *[]byte on either side. It
// has no name, so that the content-type is plain application/grpc.
type asItIs struct{}

var errNotBytes = errors.New("not *[]byte")

func (asItIs) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("message %T: %w", v, errNotBytes)
	}
	return mem.BufferSlice{mem.SliceBuffer(*b)}, nil
}

func (asItIs) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("message %T: %w", v, errNotBytes)
	}
	*b = data.Materialize()
	return nil
}

func (asItIs) Name() string { return "" }
