//go:build interop

package differential

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const toA = `[{match: {prefix: /}, route: {cluster: a}}]`

// edged routes everything to a under further fields of the HttpConnectionManager.
func edged(hcm string) Config { return Config{Routes: toA, HCM: `{` + hcm + `}`} }

func edgeCases() []Case {
	odd := get("/a/../b", "/a/./b", "/a/b/..", "/a/b/.", "/../a", "/a//b", "/a/%2e%2e/b", "/a/%2E/b", "/%7Ea", "/%41bc", "/a%2Fb", "/a%2fb/../c", `/a\b`, "/a%5Cb", "/a%20b", "/a/..;/b", "/a/.;x/b", "/a/..;x=1/b", "/a?x=/../y", "/", "/a/...", "/a%", "/a%zz", "/a%00b", "/.", "/..", "/a/../../b")
	return []Case{
		{Name: "paths as they are", Config: edged(`normalize_path: false`), Requests: odd},
		{Name: "normalised paths", Config: edged(`normalize_path: true`), Requests: odd},
		{Name: "merged slashes", Config: edged(`merge_slashes: true`), Requests: get("/a//b", "//a", "/a///", "/a?x=//", "/a//..//b")},
		{Name: "normalised and merged", Config: edged(`normalize_path: true, merge_slashes: true`), Requests: get("/a//../b", "//a/./b//", "/a/%2e%2e//b")},
		{Name: "escaped slashes are refused", Config: edged(`path_with_escaped_slashes_action: REJECT_REQUEST`), Requests: get("/a%2Fb", "/a%5cb", "/a/b", "/a?x=%2F")},
		{Name: "escaped slashes are unescaped", Config: edged(`path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD`), Requests: get("/a%2Fb", "/a%5cb", "/a/b", "/a?x=%2F")},
		{Name: "escaped slashes redirect", Config: edged(`path_with_escaped_slashes_action: UNESCAPE_AND_REDIRECT`), Requests: get("/a%2Fb?q", "/a/b")},
		{Name: "escaped slashes are unescaped and normalised", Config: edged(`normalize_path: true, path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD`), Requests: get("/a%2F..%2Fb", "/a%5c..%5cb")},
		{Name: "any port is stripped", Config: edged(`strip_any_host_port: true`), Requests: []Request{{Host: "h.test:99"}, {Host: "h.test"}, {Host: "[::1]:99"}, {Host: "[::1]"}}},
		{
			Name: "the own port is stripped", Config: edged(`strip_matching_host_port: true`), Requests: []Request{{Host: "h.test:1"}, {Host: "h.test"}},
			Each: func(t *testing.T, s *side) any {
				t.Helper()
				a, err := s.send(t.Context(), &Request{Host: "h.test:" + portOf(s.listen)})
				require.NoError(t, err)
				return a.Seen[0].Host
			},
		},
		{Name: "a dot at the end is stripped", Config: edged(`strip_trailing_host_dot: true`), Requests: []Request{{Host: "h.test."}, {Host: "h.test.:80"}, {Host: "h.test"}}},
		{Name: "the server's name", Config: edged(`server_name: mesh, server_header_transformation: OVERWRITE`), Requests: []Request{{}, {Play: "set=server:own"}, {Host: "nobody", Path: "/"}}},
		{Name: "the server's name where there is none", Config: edged(`server_name: mesh, server_header_transformation: APPEND_IF_ABSENT`), Requests: []Request{{}, {Play: "set=server:own"}}},
		{Name: "the server's own name", Config: edged(`server_name: mesh, server_header_transformation: PASS_THROUGH`), Requests: []Request{{}, {Play: "set=server:own"}}},
		{Name: "the server's name on own answers", Config: Config{Routes: `[{match: {prefix: /d}, direct_response: {status: 200}}]`, HCM: `{server_name: mesh, server_header_transformation: OVERWRITE}`}, Requests: get("/d", "/none")},
		{Name: "via", Config: edged(`via: "1.1 mesh"`), Requests: []Request{{}, {Header: []string{"via: 1.0 a"}, Play: "set=via:x"}}},
		{Name: "x-forwarded-for by the connection", Config: edged(`use_remote_address: true`), Requests: with("", "x-forwarded-for: 1.2.3.4", "x-forwarded-for: 1.2.3.4, 5.6.7.8"), Allow: []string{"x-envoy headers", "loopback callers"}},
		{Name: "x-forwarded-for is left alone", Config: edged(`use_remote_address: true, skip_xff_append: true`), Requests: with("", "x-forwarded-for: 1.2.3.4"), Allow: []string{"x-envoy headers", "loopback callers"}},
		{Name: "x-forwarded-for of others", Config: edged(`use_remote_address: false`), Requests: with("", "x-forwarded-for: 1.2.3.4")},
		{
			Name:     "who the caller is",
			Config:   Config{Routes: `[{match: {prefix: /}, route: {cluster: a}, request_headers_to_add: [{header: {key: x-remote, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}, {header: {key: x-peer, value: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%"}}]}]`, HCM: `{use_remote_address: true, xff_num_trusted_hops: 1}`},
			Requests: with("", "x-forwarded-for: 1.2.3.4", "x-forwarded-for: 1.2.3.4,5.6.7.8", "x-forwarded-for: rubbish"), Allow: []string{"x-envoy headers", "loopback callers"},
		},
		{
			Name:     "who the caller is, by others",
			Config:   Config{Routes: `[{match: {prefix: /}, route: {cluster: a}, request_headers_to_add: [{header: {key: x-remote, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}]}]`, HCM: `{xff_num_trusted_hops: 1}`},
			Requests: with("", "x-forwarded-for: 1.2.3.4", "x-forwarded-for: 1.2.3.4,5.6.7.8", "x-forwarded-for: 9.9.9.9,1.2.3.4,5.6.7.8"),
		},
		{
			Name: "request ids", Config: edged(`generate_request_id: true, always_set_request_id_in_response: true`),
			Each: func(t *testing.T, s *side) any {
				t.Helper()
				uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
				a, err := s.send(t.Context(), &Request{})
				require.NoError(t, err)
				id := a.Seen[0].Header.Get("X-Request-Id")
				assert.Regexp(t, uuid, id, s.name)
				assert.Equal(t, id, a.Header.Get("X-Request-Id"), s.name)
				given, err := s.send(t.Context(), &Request{Header: []string{"x-request-id: mine"}})
				require.NoError(t, err)
				return []string{given.Seen[0].Header.Get("X-Request-Id"), given.Header.Get("X-Request-Id")}
			},
		},
		{Name: "x-forwarded-client-cert is dropped", Config: edged(``), Requests: with("x-forwarded-client-cert: Hash=1", "")},
		{Name: "x-forwarded-client-cert is dropped without a certificate", Config: edged(`forward_client_cert_details: APPEND_FORWARD, set_current_client_cert_details: {uri: true}`), Requests: with("x-forwarded-client-cert: Hash=1")},
		{Name: "x-forwarded-client-cert always passes", Config: edged(`forward_client_cert_details: ALWAYS_FORWARD_ONLY`), Requests: with("x-forwarded-client-cert: Hash=1")},
		{
			Name: "local replies",
			Config: Config{Routes: `[{match: {prefix: /empty}, route: {cluster: empty}}, {match: {prefix: /a}, route: {cluster: a}}]`, HCM: `{local_reply_config: {
mappers: [
{filter: {status_code_filter: {comparison: {op: EQ, value: {default_value: 404, runtime_key: k}}}}, status_code: 410, body: {inline_string: gone}, headers_to_add: [{header: {key: x-local, value: "1"}}]},
{filter: {response_flag_filter: {flags: [UH]}}, body_format_override: {json_format: {text: "%LOCAL_REPLY_BODY%", path: "%REQ(:PATH)%"}}}],
body_format: {text_format_source: {inline_string: "<%LOCAL_REPLY_BODY%>"}}}}`},
			Requests: []Request{{Path: "/none"}, {Path: "/empty"}, {Path: "/a", Play: "status=404"}},
		},
		logCase("access log in text", `log_format: {text_format_source: {inline_string: "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %REQ(X-A)% %RESP(X-ENDPOINT)% %UPSTREAM_CLUSTER% %ROUTE_NAME% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(:AUTHORITY)% %RESPONSE_CODE_DETAILS% %REQUESTED_SERVER_NAME%\n"}}`, ""),
		logCase("access log in JSON", `log_format: {json_format: {method: "%REQ(:METHOD)%", code: "%RESPONSE_CODE%", flags: "%RESPONSE_FLAGS%", sent: "%BYTES_SENT%", none: "%REQ(absent)%", mixed: "a %REQ(absent)%", nested: {cluster: "%UPSTREAM_CLUSTER%"}}}`, ""),
		logCase("access log of some", `log_format: {text_format_source: {inline_string: "%RESPONSE_CODE%\n"}}`, `filter: {or_filter: {filters: [{status_code_filter: {comparison: {op: GE, value: {default_value: 500, runtime_key: k}}}}, {response_flag_filter: {flags: [NR]}}]}},`),
	}
}

// logCase compares the lines of an access log.
func logCase(name, config, filter string) Case {
	dir, err := os.MkdirTemp("", "access-logs")
	if err != nil {
		panic(err)
	}
	file := filepath.Join(dir, "${side}")
	return Case{
		Name: name,
		Config: Config{
			Routes: `[{name: one, match: {prefix: /a}, route: {cluster: a}}, {name: none, match: {prefix: /empty}, route: {cluster: empty}}]`,
			HCM:    `{access_log: [{name: l, ` + filter + ` typed_config: {'@type': type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: '` + file + `', ` + config + `}}], access_log_flush_interval: 0.05s}`,
		},
		Each: func(t *testing.T, s *side) any {
			t.Helper()
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			for _, r := range []Request{{Path: "/a?q", Header: []string{"x-a: 1"}}, {Path: "/a", Play: "status=503"}, {Path: "/empty"}, {Path: "/none"}, {Method: "POST", Path: "/a", Body: "hello", HTTP2: true}} {
				_, err := s.send(t.Context(), &r)
				require.NoError(t, err)
			}
			want := 5
			if filter != "" {
				want = 3
			}
			var lines []string
			s.await(t, "the lines of the log", func() bool {
				text, _ := os.ReadFile(strings.ReplaceAll(file, "${side}", s.name))
				lines = nil
				for line := range strings.Lines(string(text)) {
					if !strings.Contains(line, versionHost) && !strings.Contains(line, `"cluster":null`) || strings.Contains(line, "404") {
						lines = append(lines, canonical(line))
					}
				}
				time.Sleep(20 * time.Millisecond)
				return len(lines) >= want
			})
			return lines
		},
	}
}

// canonical is a line of JSON with its members in order; other lines stay.
func canonical(line string) string {
	var v any
	if json.Unmarshal([]byte(line), &v) != nil {
		return line
	}
	out, _ := json.Marshal(v)
	return string(out)
}
