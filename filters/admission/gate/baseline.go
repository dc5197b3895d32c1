package gate

import (
	"math/bits"
	"time"
)

const (
	// classes are of request sizes, each four times the one before: what a prompt takes
	// grows with it.
	classes = 12
	// renew is how long what was seen says what a server can do. Then the least of the
	// newer times counts, even where it is more: the server may have become slower.
	renew = time.Minute
	// creep is by how much it may become more then without a look at a server that was
	// kept from being full.
	creep = 1.1
)

// baseline is what the beginning of an answer takes where nobody waits in the server: the
// least time that was seen, for each class of sizes.
type baseline struct{ classes [classes]least }

type least struct {
	value, next time.Duration // next: of the window that runs; 0: nothing seen
	until       Instant
}

// observe takes in a time and returns the least. looked says that the server was kept from
// being full.
func (b *baseline) observe(now Instant, cost int64, took time.Duration, looked bool) time.Duration {
	c := &b.classes[classOf(cost)]
	took = max(took, 1)
	if c.next == 0 || took < c.next {
		c.next = took
	}
	switch {
	case c.value == 0 || took < c.value:
		c.value = took
	case now >= c.until:
		if looked {
			c.value = c.next
		} else {
			c.value = min(c.next, time.Duration(float64(c.value)*creep))
		}
	default:
		return c.value
	}
	if now >= c.until {
		c.until, c.next = now+renew, took
	}
	return c.value
}

// of is the least for cost; 0: nothing seen.
func (b *baseline) of(cost int64) time.Duration { return b.classes[classOf(cost)].value }

// due says that what is known of the class of cost is old.
func (b *baseline) due(now Instant, cost int64) bool {
	c := &b.classes[classOf(cost)]
	return c.value > 0 && now >= c.until
}

func classOf(cost int64) int {
	return min(classes-1, (bits.Len64(uint64(max(cost, 1)))-1)/2) // #nosec G115 -- at least 1
}
