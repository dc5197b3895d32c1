// Package stream is the filter friday.filters.http.stream: it watches over
// answers that arrive piece by piece. It measures the time to the first chunk and
// between chunks, counts the streams whose callers left, and ends those that have
// stopped moving.
//
// It never looks into a stream, holds none of it and starts no goroutine: a chunk
// passes with one more function call. An answer that is no stream is not touched.
package stream
