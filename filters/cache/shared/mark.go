package shared

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/redis"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

// Stamp is the marks that something is written under: those from before the server was
// asked. The zero Stamp says that they are not known.
type Stamp struct {
	// all and model are the marks, empty where there are none yet.
	all, model string
	known      bool
}

func (s Stamp) whole() bool { return s.known && s.all != "" && s.model != "" }

// known is what a mark was when it was last seen.
type known struct{ model, mark string }

const (
	// maxKnown is how many models' marks are watched. Beyond, all is forgotten: what is
	// seen for the first time is compared by its time.
	maxKnown = 1024
	// markLife is how long a mark stays in the store, and markAge how long it may be taken
	// for what it was where no change was told.
	markLife = 30 * 24 * time.Hour
	markAge  = time.Minute
)

// markKey is the key of a model's mark; of all models where it is empty.
func (s *Store) markKey(model string) string {
	if model == "" {
		return s.marks() + "all"
	}
	sum := sha256.Sum256([]byte(model))
	return s.marks() + hex.EncodeToString(sum[:16])
}

// marks is what marks' keys begin with.
func (s *Store) marks() string { return s.prefix + "m:" }

// A mark begins with how it came to be: purgeMark of somebody who purged, firstMark of
// somebody who found none. Then comes the time in milliseconds, and something random.
const (
	purgeMark = "p"
	firstMark = "f"
)

func newMark(kind string) string {
	return kind + strconv.FormatInt(time.Now().UnixMilli(), 10) + "-" + rand.Text()
}

// purgedAt is when a mark was put by a purge; false where it was not.
func purgedAt(mark string) (time.Time, bool) {
	rest, ok := strings.CutPrefix(mark, purgeMark)
	if !ok {
		return time.Time{}, false
	}
	digits, _, _ := strings.Cut(rest, "-")
	ms, err := strconv.ParseInt(digits, 10, 64)
	return time.UnixMilli(ms), err == nil
}

// stamp reads the marks that count for a model: mostly from the library's memory, which
// the server keeps true.
func (s *Store) stamp(ctx context.Context, l *redis.Link, model string) (Stamp, error) {
	keys := [2]string{s.markKey(""), s.markKey(model)}
	var marks [2]string
	b := l.B
	for i, r := range l.DoMultiCache(ctx,
		rueidis.CT(b().Get().Key(keys[0]).Cache(), markAge), rueidis.CT(b().Get().Key(keys[1]).Cache(), markAge)) {
		mark, err := r.ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return Stamp{}, err
		}
		marks[i] = mark
	}
	s.saw(keys[0], "", marks[0])
	s.saw(keys[1], model, marks[1])
	return Stamp{all: marks[0], model: marks[1], known: true}, nil
}

// Purged is told of a purge, by whatever Friday: of a model, of all where it is empty.
// What was stored before that time must go; the zero time: everything.
type Purged func(model string, before time.Time)

// Tell has f told of purges from now on, in place of what was told under that name.
func (s *Store) Tell(name string, f Purged) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[name] = f
}

// saw notes a mark, and tells of a purge where it says so.
func (s *Store) saw(key, model, mark string) {
	s.mu.Lock()
	before, seen := s.known[key]
	if mark == "" || before.mark == mark {
		s.mu.Unlock()
		return
	}
	if !seen && len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[key] = known{model, mark}
	told := maps.Clone(s.told)
	s.mu.Unlock()
	at, purged := purgedAt(mark)
	if !purged {
		return
	}
	if seen {
		at = time.Time{} // just now, whatever the clocks say
	}
	s.server.Log().Info("a model was purged", zap.String(telemetry.FieldModel, model))
	for _, f := range told {
		f(model, at)
	}
}

// review reads all marks that are watched. It is what a told change leads to.
func (s *Store) review(l *redis.Link) error {
	s.mu.Lock()
	watched := maps.Clone(s.known)
	s.mu.Unlock()
	if len(watched) == 0 {
		return nil
	}
	keys := make([]string, 0, len(watched))
	for key := range watched {
		keys = append(keys, key)
	}
	ctx, cancel := context.WithTimeout(s.server.Context(), redis.Patience)
	defer cancel()
	marks, err := rueidis.MGet(l, ctx, keys)
	if err != nil {
		return err
	}
	for key, was := range watched {
		m := marks[key]
		if mark, err := m.ToString(); err == nil {
			s.saw(key, was.model, mark)
		}
	}
	return nil
}

// purgePatience is how long Purge waits for the server.
const purgePatience = time.Second

// Purge makes what was written of a model, of all models where it is empty, impossible to
// find, for everybody. Where the server cannot be told at once, nothing is looked up or
// written until it was. The number is 0: what is in the store is not counted.
func (s *Store) Purge(model string) int {
	s.mu.Lock()
	if len(s.pending) >= maxKnown {
		model = ""
	}
	done, waits := s.pending[model]
	if !waits {
		done = make(chan struct{})
		s.pending[model] = done
	}
	s.mu.Unlock()
	s.server.Look()
	timer := time.NewTimer(purgePatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-s.server.Context().Done():
	case <-timer.C:
		s.server.Log().Warn("the shared store cannot be told of a purge yet: nothing of it is used until it was",
			zap.String(telemetry.FieldModel, model))
	}
	return 0
}

// flush tells the server of purges that wait.
func (s *Store) flush(l *redis.Link) error {
	s.mu.Lock()
	waiting := maps.Clone(s.pending)
	s.mu.Unlock()
	for model, done := range waiting {
		key, mark := s.markKey(model), newMark(purgeMark)
		ctx, cancel := context.WithTimeout(s.server.Context(), redis.Patience)
		err := l.Do(ctx, l.B().Set().Key(key).Value(mark).Px(markLife).Build()).Error()
		cancel()
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.known[key] = known{model, mark} // told to nobody here: they know
		delete(s.pending, model)
		s.mu.Unlock()
		close(done)
	}
	return nil
}
