// Package h1 is the downstream codec for HTTP/1.1 (RFC 9112) and 1.0, on
// fasthttp's server. It is the only place that touches a fasthttp.RequestCtx: it
// makes a proxy.Request of it, has it handled, and writes the proxy.Response.
package h1
