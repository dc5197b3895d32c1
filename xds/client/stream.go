package client

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

const (
	// maxWords bounds the text of a NACK.
	maxWords = 16 << 10
	// maxHold bounds how long a NACK is held back.
	maxHold = 5 * time.Second
	// burst and rate bound the responses of one stream that are looked at: so many
	// at once, and so many a second. A control plane that floods is read slowly,
	// and gRPC's flow control tells it.
	burst, rate = 1000, 200
)

// stream is one open stream. One goroutine runs it.
type stream struct {
	c        *Client
	feed     *feed
	wire     wire
	target   string
	received bool
	subs     [kinds]subscription
	pace     pace
}

// subscription is one kind's part of a stream.
type subscription struct {
	open  bool
	names []string // as last sent
	// version and nonce are those of the last response.
	version, nonce string

	// refused is what was said of the last response, where that was refused, and
	// times how often in a row.
	//
	// A control plane may answer a NACK with the same response at once, and
	// go-control-plane does: the version that a NACK names is not the newest. The
	// two would keep each other busy for ever. So the second and later NACKs of
	// one version are held back, and go out at heldUntil.
	refused   refusal
	times     int
	heldUntil time.Time
	held      error
}

// refusal is a response that was refused. In delta the version may be empty, and
// then the words tell one from another.
type refusal struct{ version, words string }

// run subscribes and answers until the stream ends: nil where updates is closed.
func (s *stream) run(ctx context.Context, updates <-chan *update) error {
	up := s.c.metrics.XDSConnected.WithLabelValues(s.target)
	up.Set(1)
	defer func() {
		up.Set(0)
		s.c.disconnected(s.feed.source)
	}()
	s.c.connected(s.feed.source)
	if err := s.subscribe(); err != nil {
		return err
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(s.wait())
		from := updates
		if s.pace.spent() {
			from = nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.feed.wake:
			if err := s.acknowledge(); err != nil {
				return err
			}
			if err := s.subscribe(); err != nil {
				return err
			}
		case now := <-timer.C:
			if err := s.release(now); err != nil {
				return err
			}
		case u, ok := <-from:
			if !ok {
				return nil
			}
			s.pace.take()
			if err := s.answer(u); err != nil {
				return err
			}
		}
	}
}

// wait is the time until there is something to do without a response.
func (s *stream) wait() time.Duration {
	wait := time.Hour
	for k := range s.subs {
		if s.subs[k].held != nil {
			wait = min(wait, time.Until(s.subs[k].heldUntil))
		}
	}
	if s.pace.spent() {
		wait = min(wait, time.Second/rate)
	}
	return max(wait, 0)
}

// answer takes a response, acknowledges or refuses it, and asks for what follows
// from it.
func (s *stream) answer(u *update) error {
	k := u.kind
	if !s.received {
		s.received = true
		s.c.log.Info("control plane answers", zap.String("target", s.target), zap.String("control_plane", u.from))
	}
	if !s.subs[k].open {
		s.c.log.Warn("response of a type that was not asked for", zap.String("type_url", k.typeURL()))
		return nil
	}
	now := time.Now()
	u.target = s.target
	refused := s.c.handle(s.feed.source, u, now)
	sub := &s.subs[k]
	sub.version, sub.nonce, sub.held = u.version, u.nonce, nil
	if refused == nil {
		sub.times = 0
	} else {
		what := refusal{u.version, ""}
		if !u.full {
			what.words = cut(refused.Error())
		}
		if sub.times > 0 && sub.refused == what {
			sub.times++
			sub.held = refused
			sub.heldUntil = now.Add(min(backoff(sub.times-1, .5), maxHold))
			return s.subscribe()
		}
		sub.refused, sub.times = what, 1
	}
	if err := s.send(k, refused); err != nil {
		return err
	}
	return s.subscribe()
}

// acknowledge answers those that were refused and are in force by now.
func (s *stream) acknowledge() error {
	for _, k := range s.c.acknowledged(s.feed) {
		s.subs[k].times = 0
		if err := s.send(k, nil); err != nil {
			return err
		}
	}
	return nil
}

// release sends the NACKs that have been held back for long enough.
func (s *stream) release(now time.Time) error {
	for k := range kinds {
		if sub := &s.subs[k]; sub.held != nil && !now.Before(sub.heldUntil) {
			if err := s.send(k, sub.held); err != nil {
				return err
			}
		}
	}
	return nil
}

// subscribe sends the requests whose names have changed, in the order of the
// kinds. A NACK carries the names of the last request, since a control plane
// need not look at those of a NACK; so a change of them is a request of its own,
// and a NACK that is still held goes before it.
func (s *stream) subscribe() error {
	st := s.c.state.Load()
	for _, k := range s.feed.kinds {
		sub, names := &s.subs[k], st.lists[part{k, s.feed.source}]
		if sub.open && slices.Equal(names, sub.names) || !sub.open && !k.whole() && len(names) == 0 {
			continue
		}
		if sub.held != nil {
			if err := s.send(k, sub.held); err != nil {
				return err
			}
		}
		sub.open, sub.names = true, names
		if err := s.wire.ask(k, names); err != nil {
			return err
		}
	}
	return nil
}

// send answers the last response of k.
func (s *stream) send(k kind, refused error) error {
	sub := &s.subs[k]
	sub.held = nil
	return s.wire.answer(k, sub.version, sub.nonce, refused)
}

func cut(words string) string {
	if len(words) > maxWords {
		words = words[:maxWords] + "…"
	}
	return strings.ToValidUTF8(words, "?")
}

// pace is a bucket of responses that may be looked at; the zero value is full.
type pace struct {
	taken float64
	at    time.Time
}

func (p *pace) fill() {
	now := time.Now()
	p.taken = max(0, p.taken-now.Sub(p.at).Seconds()*rate)
	p.at = now
}

func (p *pace) spent() bool {
	if p.taken < burst-1 {
		return false
	}
	p.fill()
	return p.taken > burst-1
}

func (p *pace) take() {
	p.fill()
	p.taken++
}
