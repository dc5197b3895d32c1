package settings

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Read reads a filter's configuration into m; a nil one leaves m as it is. The errors
// name what is wrong: another type, or bytes that are none of it.
func Read(config *anypb.Any, m proto.Message) error {
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
