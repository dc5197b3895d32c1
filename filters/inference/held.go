package inference

import (
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// held counts what bodies take that are read whole, over all requests of the process: what
// comes beyond it is not read, and goes on as it comes, piece by piece. Bodies of up to
// firstRead bytes do not count.
//
//nolint:gochecknoglobals // the process has one memory
var held = memory{most: sync.OnceValue(mostHeld)}

// withoutLimit is what may be held where Go knows no limit of memory (GOMEMLIMIT).
const withoutLimit = 1 << 30

// mostHeld is a quarter of what Go may take: reading a body needs up to twice its size
// for a moment, and calls and answers are made of what was read.
func mostHeld() int64 {
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return limit / 4
	}
	return withoutLimit
}

type memory struct {
	used atomic.Int64
	most func() int64
}

// share is what one body takes of a memory.
type share struct {
	of    *memory
	bytes int64
}

func (m *memory) share() *share { return &share{of: m} }

// grow has the share be of n bytes at least, and says whether there is room.
func (s *share) grow(n int64) bool {
	more := n - s.bytes
	if n <= firstRead || more <= 0 {
		return true
	}
	if s.of.used.Add(more) > s.of.most() {
		s.of.used.Add(-more)
		return false
	}
	s.bytes = n
	return true
}

// release gives it back.
func (s *share) release() {
	s.of.used.Add(-s.bytes)
	s.bytes = 0
}
