package cache

import (
	"context"
	"io"
	"time"
)

// renewPatience is how long a call may take that nobody waits for.
const renewPatience = 5 * time.Minute

// renewal makes a flight for those of keys that nobody computes already; nil where there
// is none to make. mine are their places. It ends with release, or after renewPatience.
func (s *state) renewal(keys []key, which []int, a *ask) (f *flight, mine []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range which {
		if _, there := s.flights[keys[i]]; there {
			continue
		}
		if f == nil {
			f = newFlight(s, a)
		}
		s.flights[keys[i]] = seat{f, len(f.keys)}
		f.keys = append(f.keys, keys[i])
		mine = append(mine, i)
	}
	return f, mine
}

// release waits for a call of nobody's to its end.
func (f *flight) release() {
	timer := time.AfterFunc(renewPatience, func() { f.cancel(context.DeadlineExceeded) })
	go func() {
		defer timer.Stop()
		<-f.done
		if f.out.tape == nil {
			f.leave(nil)
			return
		}
		reel := f.out.tape.read(context.WithoutCancel(f.ctx), func() { f.leave(nil) })
		if reel == nil {
			f.leave(nil)
			return
		}
		_, _ = io.Copy(io.Discard, reel) // it is the flight that keeps it
		_ = reel.Close()
	}()
}
