package peer

import "fmt"

// envoyConfig is a static bootstrap: one listener, one route, one cluster.
func envoyConfig(upstream, listen string) string {
	host, port := split(upstream)
	ownHost, ownPort := split(listen)
	return fmt.Sprintf(`static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: %q, port_value: %s}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: server, timeout: 0s}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: server
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {thresholds: [{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}]}
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: %q, port_value: %s}}}
`, ownHost, ownPort, host, port)
}

// nginxConfig keeps 256 connections to the server for each worker.
func nginxConfig(upstream, listen string) string {
	return fmt.Sprintf(`daemon off;
pid nginx.pid;
worker_processes 2;
events { worker_connections 8192; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  upstream server { server %s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %s;
    location / {
      proxy_pass http://server;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }
  }
}
`, upstream, listen)
}

func haproxyConfig(upstream, listen string) string {
	return fmt.Sprintf(`global
  nbthread 2
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
listen main
  bind %s
  server one %s
`, listen, upstream)
}
