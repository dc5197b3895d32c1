package stream

import (
	"fmt"
	"time"

	streamv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/stream/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

const (
	defaultMaxBufferBytes = 64 << 10
	// minHeartbeat keeps a slip of the pen from flooding callers.
	minHeartbeat = 100 * time.Millisecond
)

// Config is a parsed [streamv1.Stream] with the defaults filled in. It is
// immutable.
type Config struct {
	// FirstChunkTimeout is the longest time from the request to the first content of
	// the answer; 0: none.
	FirstChunkTimeout time.Duration
	// IdleChunkTimeout is the longest time that the server may go on without content
	// while the caller is ready to read; 0: none.
	IdleChunkTimeout time.Duration
	// Heartbeat is how long a caller of server-sent events hears nothing at most; 0:
	// for ever.
	Heartbeat time.Duration
	// MaxBufferBytes is the most that one Read takes.
	MaxBufferBytes int
}

func parse(m *streamv1.Stream) (*Config, error) {
	if err := settings.RefuseUnknown(m.ProtoReflect()); err != nil {
		return nil, err
	}
	c := &Config{MaxBufferBytes: defaultMaxBufferBytes}
	if n := m.GetMaxBufferBytes(); n > 0 {
		if n > 1<<30 {
			return nil, fmt.Errorf("max_buffer_bytes: %d: must be at most %d", n, 1<<30)
		}
		c.MaxBufferBytes = int(n)
	}
	var err error
	if c.FirstChunkTimeout, err = settings.Duration("first_chunk_timeout", m.GetFirstChunkTimeout(), 0); err != nil {
		return nil, err
	}
	if c.IdleChunkTimeout, err = settings.Duration("idle_chunk_timeout", m.GetIdleChunkTimeout(), 0); err != nil {
		return nil, err
	}
	if c.Heartbeat, err = settings.Duration("heartbeat", m.GetHeartbeat(), 0); err != nil {
		return nil, err
	}
	if c.Heartbeat > 0 && c.Heartbeat < minHeartbeat {
		return nil, fmt.Errorf("heartbeat: %v: must be at least %v", c.Heartbeat, minHeartbeat)
	}
	return c, nil
}
