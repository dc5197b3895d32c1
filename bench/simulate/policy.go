package simulate

import (
	"time"

	"github.com/fridaymesh/friday/filters/batch/schedule"
)

// A Policy decides what is sent when. [schedule.Pool] is one; the others are what it
// is compared with.
type Policy interface {
	Enter(now schedule.Instant, q *schedule.Queue, e *schedule.Entry)
	Next(now schedule.Instant, batch []*schedule.Entry) ([]*schedule.Entry, *schedule.Flight, schedule.Reason)
	End(now schedule.Instant, f *schedule.Flight, answered int, good bool)
	Wake() (schedule.Instant, bool)
	Serve(targets []schedule.Target)
}

var (
	_ Policy = (*schedule.Pool)(nil)
	_ Policy = (*Simple)(nil)
)

// Simple is the batchers that are usual: it sends when Flights calls or fewer are in
// flight to a server and Most items wait, or the oldest has waited for Window.
type Simple struct {
	Most    int
	Window  time.Duration
	Flights int // 0: any number

	servers []*schedule.Server
	flights map[*schedule.Server]int
	waiting []*schedule.Entry
	items   int
	queue   *schedule.Queue
	wake    schedule.Instant
}

// Enter has e wait.
func (s *Simple) Enter(now schedule.Instant, q *schedule.Queue, e *schedule.Entry) {
	e.Arrived = now
	s.queue = q
	s.waiting = append(s.waiting, e)
	s.items += e.Items
}

// Serve says what the servers are.
func (s *Simple) Serve(targets []schedule.Target) {
	s.flights = make(map[*schedule.Server]int)
	for _, t := range targets {
		s.servers = append(s.servers, &schedule.Server{Target: t})
	}
}

// Next sends.
func (s *Simple) Next(now schedule.Instant, batch []*schedule.Entry) ([]*schedule.Entry, *schedule.Flight, schedule.Reason) {
	s.wake = 0
	if len(s.waiting) == 0 {
		return batch, nil, 0
	}
	if due := s.waiting[0].Arrived + s.Window; s.items < s.Most && due > now {
		s.wake = due
		return batch, nil, 0
	}
	best := s.servers[0]
	for _, server := range s.servers {
		if s.flights[server] < s.flights[best] {
			best = server
		}
	}
	if s.Flights > 0 && s.flights[best] >= s.Flights {
		return batch, nil, 0
	}
	n, items := 0, 0
	for n < len(s.waiting) && (n == 0 || items+s.waiting[n].Items <= s.Most) {
		items += s.waiting[n].Items
		n++
	}
	batch = append(batch, s.waiting[:n]...)
	s.waiting = s.waiting[n:]
	s.items -= items
	s.flights[best]++
	return batch, &schedule.Flight{Queue: s.queue, Server: best, Items: items, Callers: n, Began: now}, 0
}

// End counts.
func (s *Simple) End(_ schedule.Instant, f *schedule.Flight, _ int, _ bool) { s.flights[f.Server]-- }

// Wake is the end of the oldest's window.
func (s *Simple) Wake() (schedule.Instant, bool) { return s.wake, s.wake > 0 }
