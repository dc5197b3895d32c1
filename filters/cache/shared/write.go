package shared

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/fridaymesh/friday/proxy/redis"
)

// Item is something to be written.
type Item struct {
	Key Key
	// Life is how long it is to be found.
	Life time.Duration
	// Size is about how many bytes Append makes.
	Size int
	// Append writes it; it is called later, and once at the most.
	Append func(dst []byte) []byte
}

const (
	// maxQueue and maxQueued bound what waits to be written, in calls and in bytes.
	maxQueue  = 1024
	maxQueued = 16 << 20
	// pipeline is how many items are sent before their answers are waited for.
	pipeline = 256
	// linger is how long a write waits for others.
	linger = 5 * time.Millisecond
	// writePatience is how long the server may take for them.
	writePatience = 2 * time.Second
)

type write struct {
	model string
	stamp Stamp
	items []Item
	size  int64
}

// Set has items written under the stamp that the look-up for them returned. It does not
// wait: where there is no room, or no server, they are dropped.
func (s *Store) Set(model string, stamp Stamp, items []Item) {
	w := write{model: model, stamp: stamp, items: items}
	for i := range items {
		w.size += int64(items[i].Size)
	}
	if stamp.known && s.server.Link() != nil {
		if s.queued.Add(w.size) <= maxQueued {
			select {
			case s.writes <- w:
				return
			default:
			}
		}
		s.queued.Add(-w.size)
	}
	s.meters.dropped.Add(float64(len(items)))
}

// write writes what is queued, what came within linger together: nobody waits for it, and
// a call for each request would cost more than looking it up.
func (s *Store) write() {
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for {
		var together []write
		select {
		case <-s.server.Context().Done():
			return
		case w := <-s.writes:
			together = append(together, w)
		}
		timer.Reset(linger)
		select {
		case <-s.server.Context().Done():
			return
		case <-timer.C:
		}
		for more := true; more && len(together) < maxQueue; {
			select {
			case w := <-s.writes:
				together = append(together, w)
			default:
				more = false
			}
		}
		s.put(together)
	}
}

func (s *Store) put(together []write) {
	items := 0
	for _, w := range together {
		s.queued.Add(-w.size)
		items += len(w.items)
	}
	l := s.usable()
	if l == nil {
		s.meters.dropped.Add(float64(items))
		return
	}
	ctx, cancel := context.WithTimeout(s.server.Context(), writePatience)
	defer cancel()
	commands := make([]rueidis.Completed, 0, min(items, pipeline))
	for _, w := range together {
		if !w.stamp.whole() {
			ok, err := s.complete(ctx, l, w.model, &w.stamp)
			if err != nil {
				l.Judge(err)
			}
			if !ok {
				s.meters.dropped.Add(float64(len(w.items)))
				continue
			}
		}
		for i := range w.items {
			item := &w.items[i]
			value := item.Append(nil)
			commands = append(commands, l.B().Set().Key(s.name(&item.Key, w.stamp)).Value(rueidis.BinaryString(value)).Px(item.Life).Build())
			if len(commands) == pipeline {
				s.send(ctx, l, commands)
				commands = commands[:0]
			}
		}
	}
	s.send(ctx, l, commands)
}

func (s *Store) send(ctx context.Context, l *redis.Link, commands []rueidis.Completed) {
	if len(commands) == 0 {
		return
	}
	for _, r := range l.DoMulti(ctx, commands...) {
		if err := r.Error(); err != nil {
			s.meters.unstored.Inc()
			if _, refused := rueidis.IsRedisErr(err); !refused { // a store that is full is good to read
				l.Judge(err)
			}
			continue
		}
		s.meters.stored.Inc()
	}
}

// complete puts the marks that were not there. It is false where somebody has purged
// since.
func (s *Store) complete(ctx context.Context, l *redis.Link, model string, stamp *Stamp) (bool, error) {
	for _, m := range []struct {
		model string
		mark  *string
	}{{"", &stamp.all}, {model, &stamp.model}} {
		if *m.mark != "" {
			continue
		}
		key, mark := s.markKey(m.model), newMark(firstMark)
		err := l.Do(ctx, l.B().Set().Key(key).Value(mark).Nx().Px(markLife).Build()).Error()
		if rueidis.IsRedisNil(err) { // somebody else was first
			mark, err = l.Do(ctx, l.B().Get().Key(key).Build()).ToString()
		}
		if err != nil {
			return false, err
		}
		s.saw(key, m.model, mark)
		if _, purged := purgedAt(mark); purged {
			return false, nil
		}
		*m.mark = mark
	}
	return true, nil
}
