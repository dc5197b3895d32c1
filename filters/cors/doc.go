// Package cors answers the questions that browsers ask before they let a page of another
// origin call the server, and marks answers that the page may read (Envoy's
// envoy.filters.http.cors; https://fetch.spec.whatwg.org/#http-cors-protocol).
package cors
