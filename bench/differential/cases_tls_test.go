//go:build interop

package differential

import (
	"crypto/tls"
	"fmt"
	"strings"
)

const socketType = `name: envoy.transport_sockets.tls, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.`

// pair is a certificate of the pki with its key.
func pair(name string) string {
	return `{certificate_chain: {inline_string: "${` + name + `}"}, private_key: {inline_string: "${` + name + `.key}"}}`
}

// downstream is a listener's transport socket.
func downstream(context, common string) string {
	return `{` + socketType + `DownstreamTlsContext, ` + context + ` common_tls_context: {` + common + `}}}`
}

// secured speaks TLS on the listener's port, beside cleartext, which tells the version.
func secured(routes, hcm string, chains ...string) Config {
	all := append([]string{`{filter_chain_match: {transport_protocol: raw_buffer}}`}, chains...)
	return Config{Routes: routes, HCM: hcm, Listener: `{
listener_filters: [{name: i, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector}}],
filter_chains: [` + strings.Join(all, ", ") + `]}`}
}

// oneChain is TLS whatever the server's name.
func oneChain(context, common string) string {
	return `{filter_chain_match: {transport_protocol: tls}, transport_socket: ` + downstream(context, common) + `}`
}

// asked asks "/" once as each of them.
func asked(all ...Hello) (requests []Request) {
	for _, h := range all {
		requests = append(requests, Request{TLS: &h})
	}
	return requests
}

func downstreamTLSCases() []Case {
	own := `tls_certificates: [` + pair("own") + `], alpn_protocols: [h2, http/1.1]`
	trust := own + `, validation_context: {trusted_ca: {inline_string: "${ca}"}}`
	named := func(matcher string) string {
		return own + `, validation_context: {trusted_ca: {inline_string: "${ca}"}, match_typed_subject_alt_names: [` + matcher + `]}`
	}
	callers := asked(Hello{}, Hello{As: "client"}, Hello{As: "other"}, Hello{As: "stranger"})
	required := `require_client_certificate: true,`
	told := `[{match: {prefix: /}, route: {cluster: a}, request_headers_to_add: [
{header: {key: x-uri, value: "%DOWNSTREAM_PEER_URI_SAN%"}}, {header: {key: x-dns, value: "%DOWNSTREAM_PEER_DNS_SAN%"}}, {header: {key: x-subject, value: "%DOWNSTREAM_PEER_SUBJECT%"}},
{header: {key: x-serial, value: "%DOWNSTREAM_PEER_SERIAL%"}}, {header: {key: x-print, value: "%DOWNSTREAM_PEER_FINGERPRINT_256%"}}, {header: {key: x-version, value: "%DOWNSTREAM_TLS_VERSION%"}}, {header: {key: x-name, value: "%REQUESTED_SERVER_NAME%"}}]}]`
	xfcc := func(how string) Case {
		return Case{Name: "x-forwarded-client-cert over TLS: " + how, Config: secured(toA, `{forward_client_cert_details: `+how+`, set_current_client_cert_details: {subject: true, uri: true, dns: true}}`, oneChain("", trust)), Requests: []Request{
			{TLS: &Hello{As: "client"}, Header: []string{"x-forwarded-client-cert: Hash=1;URI=spiffe://before/it"}}, {TLS: &Hello{As: "client"}}, {TLS: &Hello{}, Header: []string{"x-forwarded-client-cert: Hash=1"}},
		}}
	}
	principal := func(p string) Config {
		c := secured(toA, "", oneChain("", trust))
		c.Filters = filter("rbac", "rbac.v3.RBAC", `rules: {policies: {p: {permissions: [{any: true}], principals: [{authenticated: `+p+`}]}}}`)
		return c
	}
	cases := []Case{
		{Name: "TLS", Config: secured(toA, "", oneChain("", own)), Requests: append(asked(
			Hello{}, Hello{ServerName: "own.test"}, Hello{Protocols: []string{"http/1.1"}}, Hello{Protocols: []string{"foo"}}, Hello{Most: tls.VersionTLS12}, Hello{Most: tls.VersionTLS11}),
			Request{HTTP2: true, TLS: &Hello{Protocols: []string{"h2"}}}, Request{})},
		{Name: "TLS 1.3 alone", Config: secured(toA, "", oneChain("", `tls_params: {tls_minimum_protocol_version: TLSv1_3}, `+own)), Requests: asked(Hello{}, Hello{Most: tls.VersionTLS12})},
		{Name: "TLS 1.2 alone", Config: secured(toA, "", oneChain("", `tls_params: {tls_maximum_protocol_version: TLSv1_2}, `+own)), Requests: asked(Hello{}, Hello{Most: tls.VersionTLS12})},
		{
			Name: "filter chains by the server's name",
			Config: secured(toA, "",
				`{filter_chain_match: {transport_protocol: tls, server_names: [second.test]}, transport_socket: `+downstream("", `tls_certificates: [`+pair("second")+`]`)+`}`,
				`{filter_chain_match: {transport_protocol: tls, server_names: ["*.own.test", own.test]}, transport_socket: `+downstream("", `tls_certificates: [`+pair("own")+`]`)+`}`),
			Requests: asked(Hello{ServerName: "second.test"}, Hello{ServerName: "own.test"}, Hello{ServerName: "a.own.test"}, Hello{ServerName: "a.b.own.test"}, Hello{ServerName: "SECOND.test"}, Hello{ServerName: "third.test"}, Hello{}),
		},
		{
			Name: "filter chains by ALPN",
			Config: secured(toA, "",
				`{filter_chain_match: {transport_protocol: tls, application_protocols: [mesh]}, transport_socket: `+downstream("", `tls_certificates: [`+pair("second")+`], alpn_protocols: [mesh]`)+`}`,
				`{filter_chain_match: {transport_protocol: tls}, transport_socket: `+downstream("", own)+`}`),
			Requests: asked(Hello{Protocols: []string{"mesh"}}, Hello{Protocols: []string{"http/1.1"}}, Hello{}),
		},
		{Name: "certificates are asked for and not needed", Config: secured(toA, "", oneChain("", trust)), Requests: callers},
		{Name: "certificates are needed", Config: secured(toA, "", oneChain(required, trust)), Requests: callers},
		{Name: "certificates of any CA", Config: secured(toA, "", oneChain(required, own+`, validation_context: {trusted_ca: {inline_string: "${ca}"}, trust_chain_verification: ACCEPT_UNTRUSTED}`)), Requests: callers},
		{Name: "a caller's URI", Config: secured(toA, "", oneChain(required, named(`{san_type: URI, matcher: {exact: "spiffe://case.test/client"}}`))), Requests: callers},
		{Name: "a caller's URI begins with", Config: secured(toA, "", oneChain(required, named(`{san_type: URI, matcher: {prefix: "spiffe://case.test/"}}`))), Requests: callers},
		{Name: "a caller's DNS name", Config: secured(toA, "", oneChain(required, named(`{san_type: DNS, matcher: {suffix: .test}}, {san_type: DNS, matcher: {exact: nobody}}`))), Requests: callers},
		{Name: "a URI is no DNS name", Config: secured(toA, "", oneChain(required, named(`{san_type: DNS, matcher: {exact: "spiffe://case.test/client"}}`))), Requests: callers},
		{Name: "names of any type", Config: secured(toA, "", oneChain(required, own+`, validation_context: {trusted_ca: {inline_string: "${ca}"}, match_subject_alt_names: [{exact: other.test}]}`)), Requests: callers},
		{Name: "what is told of a caller", Config: secured(told, "", oneChain("", trust)), Requests: asked(Hello{As: "client", ServerName: "own.test"}, Hello{As: "other"}, Hello{ServerName: "own.test"})},
		{Name: "rbac by certificate", Config: principal(`{principal_name: {exact: "spiffe://case.test/client"}}`), Requests: callers},
		{Name: "rbac by a DNS name", Config: principal(`{principal_name: {exact: other.test}}`), Requests: callers},
		{Name: "rbac by TLS", Config: principal(`{}`), Requests: append(callers, Request{})},
		{
			Name: "secrets", Config: func() Config {
				c := secured(toA, "", oneChain("", `tls_certificate_sds_secret_configs: [{name: s, sds_config: {ads: {}, resource_api_version: V3}}], validation_context_sds_secret_config: {name: v, sds_config: {ads: {}, resource_api_version: V3}}`))
				c.Secrets = `[{name: s, tls_certificate: ` + pair("second") + `}, {name: v, validation_context: {trusted_ca: {inline_string: "${ca}"}}}]`
				return c
			}(), Requests: callers,
		},
		{
			Name: "TLS is required of some hosts", Config: func() Config {
				c := secured("", "", oneChain("", own))
				c.VirtualHosts = `[{name: s, domains: [case.test], require_tls: ALL, routes: [{match: {prefix: /}, route: {cluster: a}}]}]`
				return c
			}(), Requests: []Request{{TLS: &Hello{}}, {Path: "/x?y"}},
		},
	}
	for _, how := range []string{"SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"} {
		cases = append(cases, xfcc(how))
	}
	return cases
}

// over is a cluster of one endpoint of TLS.
func over(endpoint, context, common, fields string) Config {
	return pick(fields+` transport_socket: {`+socketType+`UpstreamTlsContext, `+context+` common_tls_context: {`+common+`}}},`, group("", member(endpoint)))
}

func upstreamTLSCases() []Case {
	trust := func(more string) string {
		return `validation_context: {trusted_ca: {inline_string: "${ca}"}` + more + `}`
	}
	san := func(kind, matcher string) string {
		return trust(`, match_typed_subject_alt_names: [{san_type: ` + kind + `, matcher: {` + matcher + `}}]`)
	}
	options := func(what string) string {
		return `typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {'@type': type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, ` + what + `}},`
	}
	version := []string{"TLS 1.3 with endpoints"}
	failure := append([]string{"failure text"}, version...)
	once := []Request{{}}
	hosts := []Request{{Host: "up.test"}, {Host: "other.test"}, {Host: "up.test:8080"}}
	matches := fmt.Sprint("x", fresh.Add(1))
	return []Case{
		{Name: "upstream TLS", Config: over("secure", "sni: up.test,", trust(""), ""), Requests: once, Allow: version},
		{Name: "upstream TLS without a name", Config: over("secure", "", trust(""), ""), Requests: once, Allow: version},
		{Name: "upstream TLS that is not verified", Config: over("strange", "", "", ""), Requests: once, Allow: version},
		{Name: "upstream of another CA", Config: over("strange", "", trust(""), ""), Requests: once, Allow: failure},
		{Name: "upstream of another CA, which is trusted", Config: over("strange", "", `validation_context: {trusted_ca: {inline_string: "${stranger.ca}"}}`, ""), Requests: once, Allow: version},
		{Name: "upstream in cleartext", Config: over("a", "", trust(""), ""), Requests: once, Allow: failure},
		{Name: "upstream's DNS name", Config: over("secure", "", san("DNS", "exact: up.test"), ""), Requests: once, Allow: version},
		{Name: "upstream's DNS name is another", Config: over("secure", "", san("DNS", "exact: down.test"), ""), Requests: once, Allow: failure},
		{Name: "upstream's URI", Config: over("secure", "", san("URI", `exact: "spiffe://case.test/up"`), ""), Requests: once, Allow: version},
		{Name: "upstream's URI is another", Config: over("secure", "", san("URI", `prefix: "spiffe://elsewhere.test/"`), ""), Requests: once, Allow: failure},
		{Name: "upstream's URI is no DNS name", Config: over("secure", "", san("DNS", `exact: "spiffe://case.test/up"`), ""), Requests: once, Allow: failure},
		{Name: "upstream's name by a pattern", Config: over("secure", "", san("DNS", `safe_regex: {regex: "up[.].*"}`), ""), Requests: once, Allow: version},
		{Name: "upstream that asks for a certificate", Config: over("mutual", "", `tls_certificates: [`+pair("client")+`], `+trust(""), ""), Requests: once, Allow: version},
		{Name: "upstream that asks for a certificate and gets none", Config: over("mutual", "", trust(""), ""), Requests: once, Allow: failure},
		{Name: "upstream that asks for another's certificate", Config: over("mutual", "", `tls_certificates: [`+pair("stranger")+`], `+trust(""), ""), Requests: once, Allow: failure},
		{Name: "upstream that speaks TLS 1.3, which is not allowed", Config: over("secure", "", `tls_params: {tls_maximum_protocol_version: TLSv1_2}, `+trust(""), ""), Requests: once, Allow: version},
		{Name: "h2 by ALPN", Config: over("secure", "", trust(""), options(`auto_config: {http2_protocol_options: {}}`)), Requests: once, Allow: version},
		{Name: "h2 over TLS", Config: over("secure", "", `alpn_protocols: [h2], `+trust(""), options(`explicit_http_config: {http2_protocol_options: {}}`)), Requests: once, Allow: version},
		{Name: "the host's name is asked for", Config: over("secure", "", trust(""), options(`explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true}`)), Requests: hosts, Allow: version},
		{Name: "the host's name must be the upstream's", Config: over("secure", "", trust(""), options(`explicit_http_config: {http_protocol_options: {}}, upstream_http_protocol_options: {auto_sni: true, auto_san_validation: true}`)), Requests: hosts, Allow: failure},
		{
			Name: "TLS with some endpoints",
			Config: Config{Routes: to(matches), Clusters: `[` + static(matches, `transport_socket_matches: [{name: t, match: {mode: secure}, transport_socket: {`+socketType+`UpstreamTlsContext, common_tls_context: {`+trust("")+`}}}}, {name: p, match: {}, transport_socket: {name: raw, typed_config: {'@type': type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer}}}],`,
				group("", member("secure", "metadata: {filter_metadata: {envoy.transport_socket_match: {mode: secure}}}"), member("a"))) + `]`},
			Each: who(12),
		},
	}
}

// networkCases are about filters before HTTP.
func networkCases() []Case {
	judge := func(rules string) Config {
		return Config{Routes: toA, Network: `[{name: rbac, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC, stat_prefix: net, ` + rules + `}}]`}
	}
	closed := func(rules string) Config {
		c := judge(rules)
		c.Closed = true
		return c
	}
	const anything, anybody = `permissions: [{any: true}]`, `principals: [{any: true}]`
	bytes := Config{Routes: toA, Listener: `{filter_chains: [{filters: [{name: tcp, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: tcp, cluster: b}}]}]}`}
	return []Case{
		{Name: "bytes are relayed", Config: bytes, Requests: get("/", "/x")},
		{Name: "bytes to nobody", Config: func() Config {
			c := bytes
			c.Listener, c.Closed = strings.Replace(c.Listener, "cluster: b", "cluster: gone", 1), true
			return c
		}(), Requests: get("/")},
		{Name: "connections are let in", Config: judge(`rules: {policies: {p: {permissions: [{destination_ip: {address_prefix: 127.0.0.0, prefix_len: 8}}], principals: [{direct_remote_ip: {address_prefix: 127.0.0.1, prefix_len: 32}}]}}}`), Requests: get("/")},
		{Name: "connections are denied", Config: closed(`rules: {action: DENY, policies: {p: {` + anything + `, ` + anybody + `}}}`), Requests: get("/")},
		{Name: "connections without a policy", Config: closed(`rules: {}`), Requests: get("/")},
		{Name: "connections to another port", Config: closed(`rules: {policies: {p: {permissions: [{destination_port: 1}], ` + anybody + `}}}`), Requests: get("/")},
		{Name: "connections in the shadow", Config: judge(`shadow_rules: {action: DENY, policies: {p: {` + anything + `, ` + anybody + `}}}, shadow_rules_stat_prefix: s`), Requests: get("/")},
		{Name: "connections without rules", Config: judge(``), Requests: get("/")},
		{Name: "rules of requests are refused for connections", Config: Config{Routes: toA}, Requests: get("/"), Then: []Step{
			{Refused: listenerURL, Config: judge(`rules: {action: DENY, policies: {p: {permissions: [{header: {name: x, present_match: true}}], ` + anybody + `}}}`), Requests: get("/")},
		}},
	}
}
