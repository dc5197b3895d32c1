package format

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/fridaymesh/friday/proxy"
)

// find returns what a command stands for.
func find(name, argument string, hasArgument bool) (v value, number bool, err error) {
	if v, ok := plain[name]; ok {
		if hasArgument {
			return nil, false, fmt.Errorf("%s: takes no argument", name)
		}
		return v, numbers[name], nil
	}
	switch name {
	case "REQ", "RESP", "TRAILER":
		v, err = field(name, argument, hasArgument)
		return v, false, err
	case "REQ_WITHOUT_QUERY":
		whole, err := field("REQ", argument, hasArgument)
		return func(f *Facts) (string, bool) {
			s, ok := whole(f)
			s, _, _ = strings.Cut(s, "?")
			return s, ok
		}, false, err
	case "START_TIME", "START_TIME_LOCAL":
		v, err = startTime(argument, name == "START_TIME_LOCAL")
		return v, false, err
	case "ENVIRONMENT":
		text, ok := os.LookupEnv(argument)
		return func(*Facts) (string, bool) { return text, ok }, false, nil
	case "GRPC_STATUS", "GRPC_STATUS_NUMBER":
		return func(f *Facts) (string, bool) { return grpcStatus(f) }, true, nil
	case "QUERY_PARAM":
		return func(f *Facts) (string, bool) {
			_, query, _ := strings.Cut(string(f.Request.Header.RequestURI()), "?")
			for pair := range strings.SplitSeq(query, "&") {
				if k, v, _ := strings.Cut(pair, "="); k == argument {
					return v, true
				}
			}
			return "", false
		}, false, nil
	case "DYNAMIC_METADATA":
		if !hasArgument {
			break
		}
		return metadata(strings.Split(argument, ":")), false, nil
	case "CLUSTER_METADATA", "UPSTREAM_METADATA", "FILTER_STATE", "UPSTREAM_FILTER_STATE",
		"PER_REQUEST_STATE", "METADATA", "UPSTREAM_PEER_CERT_V_START", "UPSTREAM_PEER_CERT_V_END",
		"DOWNSTREAM_PEER_CERT_V_START", "DOWNSTREAM_PEER_CERT_V_END", "COALESCE":
		if !hasArgument || name == "COALESCE" {
			break
		}
		return missing, false, nil
	}
	return nil, false, fmt.Errorf("%s: not a command that is known", name)
}

func missing(*Facts) (string, bool) { return "", false }

// metadata is what a filter has found out, at a path that begins with its name: a text as
// it is, all else in JSON.
func metadata(path []string) value {
	return func(f *Facts) (string, bool) {
		var v any = f.Request.Metadata[path[0]]
		for _, key := range path[1:] {
			in, _ := v.(map[string]any)
			v = in[key]
		}
		if m, ok := v.(map[string]any); v == nil || ok && m == nil {
			return "", false
		}
		if s, ok := v.(string); ok {
			return s, true
		}
		text, err := json.Marshal(v)
		return string(text), err == nil
	}
}

// numbers are the commands that stand for one.
//
//nolint:gochecknoglobals // an immutable table
var numbers = map[string]bool{
	"RESPONSE_CODE": true, "BYTES_RECEIVED": true, "BYTES_SENT": true, "DURATION": true, "REQUEST_DURATION": true,
	"RESPONSE_DURATION": true, "RESPONSE_TX_DURATION": true, "UPSTREAM_REQUEST_ATTEMPT_COUNT": true,
	"DOWNSTREAM_REMOTE_PORT": true, "DOWNSTREAM_LOCAL_PORT": true, "DOWNSTREAM_DIRECT_REMOTE_PORT": true, "UPSTREAM_REMOTE_PORT": true,
}

// plain are the commands without an argument.
//
//nolint:gochecknoglobals // an immutable table
var plain = map[string]value{
	"PROTOCOL": func(f *Facts) (string, bool) { return protocol(f.Request.Protocol), true },
	"RESPONSE_CODE": func(f *Facts) (string, bool) {
		return strconv.Itoa(f.Status), f.Status != 0
	},
	"RESPONSE_CODE_DETAILS": details,
	"RESPONSE_FLAGS":        flags,
	"RESPONSE_FLAGS_LONG":   flags,
	"BYTES_RECEIVED":        func(f *Facts) (string, bool) { return strconv.FormatInt(f.Received, 10), true },
	"BYTES_SENT":            func(f *Facts) (string, bool) { return strconv.FormatInt(f.Sent, 10), true },
	"DURATION":              duration,
	"REQUEST_DURATION":      missing,
	"RESPONSE_DURATION":     missing,
	"RESPONSE_TX_DURATION":  missing,
	"ROUTE_NAME":            func(f *Facts) (string, bool) { return f.Request.Route, f.Request.Route != "" },
	"VIRTUAL_HOST_NAME":     func(f *Facts) (string, bool) { return f.Request.VirtualHost, f.Request.VirtualHost != "" },
	"VIRTUAL_CLUSTER_NAME":  missing,
	"UPSTREAM_CLUSTER":      func(f *Facts) (string, bool) { return f.Request.Cluster, f.Request.Cluster != "" },
	"UPSTREAM_CLUSTER_RAW":  func(f *Facts) (string, bool) { return f.Request.Cluster, f.Request.Cluster != "" },
	"UPSTREAM_HOST":         upstream, "UPSTREAM_REMOTE_ADDRESS": upstream,
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": part1(upstream), "UPSTREAM_REMOTE_PORT": part2(upstream),
	"UPSTREAM_LOCAL_ADDRESS": missing, "UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT": missing, "UPSTREAM_LOCAL_PORT": missing,
	"UPSTREAM_REQUEST_ATTEMPT_COUNT": func(f *Facts) (string, bool) {
		return strconv.Itoa(f.Request.Trace.Attempts), true
	},
	"UPSTREAM_TRANSPORT_FAILURE_REASON":             missing,
	"CONNECTION_TERMINATION_DETAILS":                missing,
	"DOWNSTREAM_TRANSPORT_FAILURE_REASON":           missing,
	"DOWNSTREAM_REMOTE_ADDRESS":                     remote,
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":        part1(remote),
	"DOWNSTREAM_REMOTE_PORT":                        part2(remote),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":              peer,
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": part1(peer),
	"DOWNSTREAM_DIRECT_REMOTE_PORT":                 part2(peer),
	"DOWNSTREAM_LOCAL_ADDRESS":                      local,
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":         part1(local),
	"DOWNSTREAM_LOCAL_PORT":                         part2(local),
	"REQUESTED_SERVER_NAME":                         serverName,
	"DOWNSTREAM_PEER_URI_SAN":                       peerURIs,
	"DOWNSTREAM_LOCAL_URI_SAN":                      missing,
	"DOWNSTREAM_PEER_DNS_SAN":                       peerNames,
	"DOWNSTREAM_LOCAL_DNS_SAN":                      missing,
	"DOWNSTREAM_PEER_SUBJECT":                       peerSubject,
	"DOWNSTREAM_LOCAL_SUBJECT":                      missing,
	"DOWNSTREAM_PEER_ISSUER":                        peerIssuer,
	"DOWNSTREAM_PEER_SERIAL":                        peerSerial,
	"DOWNSTREAM_PEER_FINGERPRINT_256":               peerFingerprint,
	"DOWNSTREAM_PEER_FINGERPRINT_1":                 missing,
	"DOWNSTREAM_PEER_CERT":                          missing,
	"DOWNSTREAM_TLS_VERSION":                        tlsVersion,
	"DOWNSTREAM_TLS_CIPHER":                         tlsCipher,
	"DOWNSTREAM_TLS_SESSION_ID":                     missing,
	"UPSTREAM_TLS_VERSION":                          missing,
	"UPSTREAM_TLS_CIPHER":                           missing,
	"UPSTREAM_PEER_SUBJECT":                         missing,
	"UPSTREAM_PEER_URI_SAN":                         missing,
	"UPSTREAM_PROTOCOL":                             missing,
	"CONNECTION_ID":                                 missing,
	"UPSTREAM_CONNECTION_ID":                        missing,
	"STREAM_ID":                                     missing,
	"LOCAL_REPLY_BODY":                              func(f *Facts) (string, bool) { return f.LocalBody, true },
	"HOSTNAME": func(*Facts) (string, bool) {
		name, err := os.Hostname()
		return name, err == nil
	},
}

func protocol(codec string) string {
	if codec == "http1" {
		return "HTTP/1.1"
	}
	return "HTTP/2"
}

func flags(f *Facts) (string, bool) {
	if f.Err == nil || f.Err.Flag == "" {
		return "-", true // which is how none is written
	}
	return string(f.Err.Flag), true
}

// details are Envoy's words for the commonest reasons.
func details(f *Facts) (string, bool) {
	if f.Err == nil {
		return "via_upstream", f.Request.Trace.Attempts > 0
	}
	switch f.Err.Flag { //nolint:exhaustive // the others have no word of Envoy's
	case proxy.FlagNoRoute:
		return "route_not_found", true
	case proxy.FlagNoCluster:
		return "cluster_not_found", true
	case proxy.FlagNoHealthyUpstream:
		return "no_healthy_upstream", true
	case proxy.FlagTimeout:
		return "response_timeout", true
	case proxy.FlagUpstreamConnection:
		return "upstream_reset_before_response_started{connection_failure}", true
	case proxy.FlagUpstreamReset:
		return "upstream_reset_before_response_started{connection_termination}", true
	case proxy.FlagDownstreamGone:
		return "downstream_remote_disconnect", true
	}
	return strings.ReplaceAll(f.Err.Message, " ", "_"), f.Err.Message != ""
}

func duration(f *Facts) (string, bool) {
	return strconv.FormatInt(f.Duration.Milliseconds(), 10), f.Status != 0
}

func upstream(f *Facts) (string, bool) {
	return f.Request.Trace.Upstream, f.Request.Trace.Upstream != ""
}

func remote(f *Facts) (string, bool) { return address(f.Request.Remote) }
func local(f *Facts) (string, bool)  { return address(f.Request.Local) }

func address(a net.Addr) (string, bool) {
	if a == nil {
		return "", false
	}
	return a.String(), true
}

// part1 is an address's host, part2 its port.
func part1(v value) value {
	return func(f *Facts) (string, bool) {
		s, ok := v(f)
		if host, _, err := net.SplitHostPort(s); err == nil {
			return host, ok
		}
		return s, ok
	}
}

func part2(v value) value {
	return func(f *Facts) (string, bool) {
		s, ok := v(f)
		_, port, err := net.SplitHostPort(s)
		return port, ok && err == nil
	}
}

// field reads "NAME" or "NAME?OTHER", where ":method", ":path" and ":authority" may be
// names of a request's. The alternative counts where NAME is not there.
func field(of, argument string, hasArgument bool) (value, error) {
	name, other, hasOther := strings.Cut(argument, "?")
	if !hasArgument || name == "" || hasOther && other == "" || strings.Contains(other, "?") {
		return nil, fmt.Errorf("%s(%s): needs the name of a header, perhaps ? and another", of, argument)
	}
	return func(f *Facts) (string, bool) {
		v, ok := lookup(f, of, name)
		if !ok && hasOther {
			return lookup(f, of, other)
		}
		return v, ok
	}, nil
}

func lookup(f *Facts, of, name string) (string, bool) {
	var head *fasthttp.ResponseHeader
	switch of {
	case "REQ":
		return RequestField(f.Request, name)
	case "RESP":
		head = f.Response
	default:
		head = f.Trailer
	}
	if head == nil {
		return "", false
	}
	return proxy.FieldValue(head, name)
}

// RequestField is a header's value, of several lines the first, or a pseudo-header's.
func RequestField(r *proxy.Request, name string) (string, bool) {
	switch strings.ToLower(name) {
	case ":method":
		return string(r.Header.Method()), true
	case ":path":
		return string(r.Header.RequestURI()), true
	case ":authority", "host":
		host := string(r.Header.Host())
		return host, host != ""
	case ":scheme":
		if r.TLS != nil {
			return "https", true
		}
		return "http", true
	}
	values := proxy.FieldValues(r.Header, name)
	if len(values) == 0 {
		return "", false
	}
	return values[0], true
}

func grpcStatus(f *Facts) (string, bool) {
	for _, head := range []*fasthttp.ResponseHeader{f.Trailer, f.Response} {
		if head == nil {
			continue
		}
		if v, ok := proxy.FieldValue(head, "grpc-status"); ok {
			return v, true
		}
	}
	return "", false
}
