package stream

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	streamv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/stream/v1"
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
	if err := refuseUnknown("", m.ProtoReflect()); err != nil {
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
	if c.FirstChunkTimeout, err = timeout("first_chunk_timeout", m.GetFirstChunkTimeout()); err != nil {
		return nil, err
	}
	if c.IdleChunkTimeout, err = timeout("idle_chunk_timeout", m.GetIdleChunkTimeout()); err != nil {
		return nil, err
	}
	if c.Heartbeat, err = timeout("heartbeat", m.GetHeartbeat()); err != nil {
		return nil, err
	}
	if c.Heartbeat > 0 && c.Heartbeat < minHeartbeat {
		return nil, fmt.Errorf("heartbeat: %v: must be at least %v", c.Heartbeat, minHeartbeat)
	}
	return c, nil
}

// timeout is 0 where it is not set or 0, which is to say: none.
func timeout(path string, v *durationpb.Duration) (time.Duration, error) {
	if v == nil {
		return 0, nil
	}
	if err := v.CheckValid(); err != nil {
		return 0, fmt.Errorf("%s: %ds %dns: %w", path, v.GetSeconds(), v.GetNanos(), err)
	}
	if v.AsDuration() < 0 {
		return 0, fmt.Errorf("%s: %v: must not be negative", path, v.AsDuration())
	}
	return v.AsDuration(), nil
}

// refuseUnknown finds fields that this version of the message does not have: to
// skip them would be to do something else than what was asked for.
func refuseUnknown(path string, m protoreflect.Message) error {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("%s%s has unknown fields", path, m.Descriptor().FullName())
	}
	var err error
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if f.Message() != nil && !f.IsList() && !f.IsMap() {
			err = refuseUnknown(path+string(f.Name())+": ", v.Message())
		}
		return err == nil
	})
	return err
}
