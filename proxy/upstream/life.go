package upstream

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
)

// life is how long a server leaves an idle connection open, as far as it is known.
//
// Problem: a request on a connection that the server is just closing is lost. Looking
// at the connection before it is used leaves a moment between the look and the
// request's arrival, and where the server had the request in its hands unread it
// resets the connection, which proves nothing (see acked_linux.go). The only cure is
// not to use a connection near the end of its life.
//
// What is known: what the configuration says, what the server says (Keep-Alive:
// timeout=5, as Node does), and at what ages its connections were seen to end while
// they were idle. Of those the second least counts, less a tenth: a single one may
// have been an accident, and connections that end at one moment are one observation,
// at the greatest of their ages: that is a server that restarts. What was seen is
// forgotten after two minutes; connections that are too old to be used are kept and
// watched on until the configuration's time, so that there is always something to see.
type life struct {
	// Set once.
	configured time.Duration // 0: the default, which the server's own word replaces

	// Guarded by the pool's mu.
	told    time.Duration // 0: nothing
	seen    []ending      // a ring
	next    int
	learned time.Duration // of seen; 0: nothing
}

// ending is the end of an idle connection: when, and at what age.
type ending struct {
	at  time.Time
	age time.Duration
}

const (
	// defaultIdle is shorter than what common servers allow: uvicorn and Node close
	// after 5 s.
	defaultIdle = 4 * time.Second
	// longestTold bounds what a server can ask for.
	longestTold = 5 * time.Minute
	// oneMoment is the longest time between endings that have one cause.
	oneMoment = 250 * time.Millisecond
	// memory is how long an ending counts, and endings how many are kept.
	memory  = 2 * time.Minute
	endings = 64
)

// keep is how long an idle connection is kept.
func (l *life) keep() time.Duration {
	switch {
	case l.told == 0 && l.configured == 0:
		return defaultIdle
	case l.told == 0:
		return l.configured
	case l.configured == 0:
		return l.told
	}
	return min(l.told, l.configured)
}

// usable is how long it may be used.
func (l *life) usable() time.Duration {
	if l.learned > 0 {
		return min(l.keep(), l.learned)
	}
	return l.keep()
}

// tell notes what the server says, in whole seconds, less what a request may take to
// get there.
func (l *life) tell(seconds int) {
	d := time.Duration(seconds) * time.Second
	l.told = min(longestTold, max(time.Millisecond, d-min(time.Second, d/4)))
}

// see notes that an idle connection has ended at an age.
func (l *life) see(now time.Time, age time.Duration) {
	if n := len(l.seen); n > 0 {
		last := &l.seen[(l.next+n-1)%n]
		if now.Sub(last.at) < oneMoment {
			last.age = max(last.age, age)
			l.learn(now)
			return
		}
	}
	if len(l.seen) < endings {
		l.seen = append(l.seen, ending{now, age})
	} else {
		l.seen[l.next] = ending{now, age}
		l.next = (l.next + 1) % endings
	}
	l.learn(now)
}

// learn finds what follows from what was seen lately.
func (l *life) learn(now time.Time) {
	least, second := time.Duration(0), time.Duration(0)
	n := 0
	for _, e := range l.seen {
		if now.Sub(e.at) > memory {
			continue
		}
		switch n++; {
		case n == 1:
			least = e.age
		case e.age < least:
			least, second = e.age, least
		case n == 2 || e.age < second:
			second = e.age
		}
	}
	l.learned = 0
	if n > 1 {
		l.learned = max(time.Millisecond, second-second/10)
	}
}

// forget has old endings count no more.
func (l *life) forget(now time.Time) {
	if l.learned > 0 && slices.ContainsFunc(l.seen, func(e ending) bool { return now.Sub(e.at) > memory }) {
		l.learn(now)
	}
}

// keepAlive reads the seconds of a Keep-Alive field (RFC 2068 section 19.7.1.1), as
// "timeout=5, max=100".
func keepAlive(h *fasthttp.ResponseHeader) (seconds int, ok bool) {
	for name, value := range h.All() {
		if len(name) != len("keep-alive") || !bytes.EqualFold(name, []byte("keep-alive")) {
			continue
		}
		for part := range bytes.SplitSeq(value, []byte{','}) {
			key, v, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
			if !bytes.EqualFold(bytes.TrimSpace(key), []byte("timeout")) {
				continue
			}
			n, err := strconv.ParseUint(string(bytes.Trim(v, " \t\"")), 10, 31)
			if err == nil {
				return int(n), true // #nosec G115 -- of 31 bits
			}
		}
	}
	return 0, false
}
