// Package edge is what a listener does to every request before its route is looked for,
// and to every answer: paths and hosts in one form, where the request comes from
// (x-forwarded-for, via, x-forwarded-client-cert), its id, the server's name, and the
// text of the listener's own answers. The words and their meaning are those of Envoy's
// HttpConnectionManager.
//
// Without any of it nothing is added to what the server and the caller see, and a
// request costs one look over its header's names.
package edge
