// Package stream reads streams of text while they pass, without holding them up and
// without keeping them: [Lines] cuts server-sent events and NDJSON into lines, [Tail]
// remembers how a stream ended. Nothing in it allocates for a piece that passes.
package stream
