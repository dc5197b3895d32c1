// Package stream is the filter friday.filters.http.stream: it watches over answers
// that arrive piece by piece. It measures the time to the first content and between
// pieces with content, ends streams that have stopped moving, says within a stream why
// it ends badly, keeps callers with comments while the server thinks, and counts the
// tokens that answers say they took.
//
// Begin with stream.go, which chooses, and body.go, the stream on its way. content.go
// tells content from signs of life; complaint.go has the words for bad ends; pulse.go
// is the heartbeat, and the only part that starts a goroutine. Nothing is collected:
// a piece passes with a look at it, of a stream of text with a copy of its last 2 KiB.
package stream
