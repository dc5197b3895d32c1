package server

import (
	"strings"

	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"

	"github.com/fridaymesh/friday/proxy/admin/dashboard"
)

// refusals are the resources that have a version which was not taken.
func refusals(all *statusv3.ClientConfig) (out []dashboard.Refusal) {
	for _, g := range all.GetGenericXdsConfigs() {
		failed := g.GetErrorState()
		if failed == nil {
			continue
		}
		r := dashboard.Refusal{
			Type: g.GetTypeUrl()[strings.LastIndexByte(g.GetTypeUrl(), '.')+1:], Name: g.GetName(),
			Version: failed.GetVersionInfo(), Problem: failed.GetDetails(),
		}
		if at := failed.GetLastUpdateAttempt(); at != nil {
			r.At = at.AsTime()
		}
		out = append(out, r)
	}
	return out
}
