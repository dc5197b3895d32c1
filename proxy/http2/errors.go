package http2

import (
	"errors"

	"golang.org/x/net/http2"
)

// Why a connection ends.
var (
	ErrClosed   = errors.New("connection closed")
	ErrIdle     = errors.New("connection idle for too long")
	ErrSilent   = errors.New("peer does not answer pings")
	errFlooded  = errors.New("peer has more made for it than it reads")
	errAbusive  = errors.New("peer keeps the connection busy with nothing")
	ErrNotHTTP2 = errors.New("peer does not begin with its settings")
)

// Error is why a stream has ended before its end.
type Error struct {
	// Code is the reset's, where Reset; Remote says that the peer has sent it.
	Code          http2.ErrCode
	Reset, Remote bool
	// Unprocessed says that the peer has not acted on the request, and never will.
	Unprocessed bool
	// Err is the connection's, or what was wrong with the stream.
	Err error
}

func (e *Error) Error() string {
	s := "stream ended"
	if e.Reset {
		s = "stream reset here: "
		if e.Remote {
			s = "stream reset by the peer: "
		}
		s += e.Code.String()
	}
	if e.Unprocessed {
		s += ", not processed"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
