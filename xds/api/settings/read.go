package settings

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Parse reads a filter's configuration, a message of a type of its own, by parse; a nil one
// is one with nothing set. The errors name what is wrong: another type, bytes that are none
// of it, or what parse says.
func Parse[P interface {
	*M
	proto.Message
}, M, C any](config *anypb.Any, parse func(P) (*C, error)) (any, error) {
	m := P(new(M))
	if err := read(config, m); err != nil {
		return nil, err
	}
	c, err := parse(m)
	if err != nil {
		return nil, err // and not a nil *C
	}
	return c, nil
}

func read(config *anypb.Any, m proto.Message) error {
	if config == nil {
		return nil
	}
	name := m.ProtoReflect().Descriptor().FullName()
	if config.MessageName() != name {
		return fmt.Errorf("type_url: %q: must be %q", config.GetTypeUrl(), "type.googleapis.com/"+string(name))
	}
	if err := proto.Unmarshal(config.GetValue(), m); err != nil {
		return fmt.Errorf("value: not a %s: %w", name, err)
	}
	return nil
}
