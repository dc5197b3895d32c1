// Package admin is the door for operators: HTTP in Envoy's words
// (https://www.envoyproxy.io/docs/envoy/latest/operations/admin). It holds no
// state of its own; everything it shows and does goes through Options.
//
// It answers on net/http, for it is not on the way of any request. Who can reach
// it can end the process, so it listens on loopback only; Public is what may be
// reached from elsewhere.
package admin
