package cluster

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fridaymesh/friday/proxy"
)

// askGRPC asks by grpc.health.v1.Health/Check
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
func (k *checker) askGRPC(ctx context.Context, cfg *GRPCCheck) (verdict, error) {
	h := newCheckHead("POST", k.called(cfg.Authority), "/grpc.health.v1.Health/Check")
	h.SetContentType("application/grpc")
	h.Set("te", "trailers")
	for _, f := range cfg.Metadata {
		h.Add(strings.ToLower(f[0]), f[1])
	}
	var message []byte
	if cfg.Service != "" {
		message = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), cfg.Service)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))) // #nosec G115 -- a name's length
	req := &proxy.Request{Header: h, Body: proxy.NewBytesBody(append(frame, message...)), Protocol: "grpc", Start: time.Now()}
	resp, text, err := k.send(ctx, req, true)
	if err != nil {
		return fails, err
	}
	defer resp.Close() //nolint:errcheck // it has been read
	if status := resp.Header.StatusCode(); status != 200 {
		return fails, fmt.Errorf("status %d", status)
	}
	if code := resp.GRPCStatus(); code != "0" {
		return failsNow, fmt.Errorf("grpc-status %q", code)
	}
	serving, err := isServing(text)
	switch {
	case err != nil:
		return fails, err
	case !serving:
		return failsNow, errors.New("not serving")
	}
	return passes, nil
}

// isServing reads a HealthCheckResponse in its frame: field 1 is SERVING.
func isServing(frame []byte) (bool, error) {
	if len(frame) < 5 || frame[0] != 0 || int64(binary.BigEndian.Uint32(frame[1:])) != int64(len(frame)-5) {
		return false, errors.New("not one plain message")
	}
	status := uint64(0)
	for b := frame[5:]; len(b) > 0; {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false, protowire.ParseError(n)
		}
		b = b[n:]
		if num == 1 && kind == protowire.VarintType {
			v, n := protowire.ConsumeVarint(b)
			if n < 0 {
				return false, protowire.ParseError(n)
			}
			status, b = v, b[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, kind, b); n < 0 {
			return false, protowire.ParseError(n)
		}
		b = b[n:]
	}
	return status == 1, nil
}
