package simulate

import (
	"container/heap"
	"time"
)

// event is something that happens at a moment.
type event struct {
	at   time.Duration
	turn uint64 // in the order of their making, among events of the same moment
	do   func()
}

// clock is the queue of events.
type clock struct {
	now    time.Duration
	turns  uint64
	events events
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].turn < e[j].turn
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) } //nolint:forcetypeassert // this heap's own
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// at has do called at a moment that is not before now.
func (c *clock) at(at time.Duration, do func()) {
	c.turns++
	heap.Push(&c.events, event{max(at, c.now), c.turns, do})
}

// run lets everything happen up to end.
func (c *clock) run(end time.Duration) {
	for len(c.events) > 0 && c.events[0].at <= end {
		e := heap.Pop(&c.events).(event) //nolint:forcetypeassert // this heap's own
		c.now = e.at
		e.do()
	}
}
