// Package pipeline is several calls as one: what one answers goes into what the next is
// asked. It knows nothing of requests, stores or time: whoever runs a pipeline lends it a
// way to call (Host), and a memory of what has been answered already, so that a run that
// was cut off goes on where it was.
//
// What is asked is written by templates (proxy/template), of which no more is used than what
// is sure to end: a template calls no other, and what it writes is bounded. Every action in
// a body writes JSON, whatever the caller has sent.
package pipeline
