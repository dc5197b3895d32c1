// Package peer runs the proxies that Friday is compared with, each as a person would
// set it up to pass HTTP/1.1 from one port to one server with kept-alive connections,
// streams unbuffered, no access log and two workers, and no features besides.
package peer
