package filters

import (
	"errors"
	"fmt"

	udpav1 "github.com/cncf/xds/go/udpa/type/v1"
	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/xds/api/strictjson"
)

// ErrUnknownFilter says that no factory takes a configuration's type.
var ErrUnknownFilter = errors.New("unknown filter type")

// Parse finds the factory of a filter's configuration and parses it. The
// configuration is of the factory's own type, or a TypedStruct (xds.type.v3 or
// udpa.type.v1) that names this type: control planes send the latter for types
// that they do not know. It is pure.
//
// Unknown fields are errors that name their path. [ErrUnknownFilter] is the one
// that is_optional excuses; the others tell of a bad configuration of a filter
// that is known.
func (r *Registry) Parse(config *anypb.Any) (proxy.Factory, proxy.FilterConfig, error) {
	if config.GetTypeUrl() == "" {
		return nil, nil, errors.New("missing")
	}
	inner, value, err := typedStruct(config)
	if err != nil {
		return nil, nil, err
	}
	url := config.GetTypeUrl()
	if value != nil {
		url = inner
	}
	factory, ok := r.find(url)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %q (known: %q)", ErrUnknownFilter, url, r.TypeURLs())
	}
	if value != nil {
		config, err = native(factory.TypeURL(), value)
	} else {
		err = known(config)
	}
	if err != nil {
		return factory, nil, err
	}
	parsed, err := factory.Parse(config)
	if err != nil {
		return factory, nil, err
	}
	return factory, parsed, nil
}

// Unwrap makes of a TypedStruct the message that it names, where this build knows it;
// everything else stays as it is. The name is that of the message, known or not.
func Unwrap(config *anypb.Any) (unwrapped *anypb.Any, name string, err error) {
	url, value, err := typedStruct(config)
	if err != nil || value == nil {
		return config, messageName(config.GetTypeUrl()), err
	}
	if _, err := protoregistry.GlobalTypes.FindMessageByURL(url); err != nil {
		return config, messageName(url), nil //nolint:nilerr // a type that is not known
	}
	unwrapped, err = native(url, value)
	return unwrapped, messageName(url), err
}

// typedStruct unpacks both kinds of TypedStruct; value is nil where config is
// neither.
func typedStruct(config *anypb.Any) (typeURL string, value *structpb.Struct, err error) {
	var m interface {
		proto.Message
		GetTypeUrl() string
		GetValue() *structpb.Struct
	}
	switch messageName(config.GetTypeUrl()) {
	case "xds.type.v3.TypedStruct":
		m = new(xdsv3.TypedStruct)
	case "udpa.type.v1.TypedStruct":
		m = new(udpav1.TypedStruct)
	default:
		return "", nil, nil
	}
	if err := proto.Unmarshal(config.GetValue(), m); err != nil {
		return "", nil, fmt.Errorf("not a %s: %w", messageName(config.GetTypeUrl()), err)
	}
	value = m.GetValue()
	if value == nil {
		value = new(structpb.Struct) // all defaults
	}
	return m.GetTypeUrl(), value, nil
}

// native makes a message of typeURL out of a struct.
func native(typeURL string, value *structpb.Struct) (*anypb.Any, error) {
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(typeURL)
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", typeURL, err)
	}
	data, err := protojson.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	m := mt.New().Interface()
	if err := strictjson.Unmarshal(data, m); err != nil {
		return nil, err
	}
	config := &anypb.Any{TypeUrl: typeURL}
	if config.Value, err = (proto.MarshalOptions{Deterministic: true}).Marshal(m); err != nil {
		return nil, fmt.Errorf("type %q: %w", typeURL, err)
	}
	return config, nil
}

// known refuses fields that this build does not know: proto keeps them aside,
// and the filter would never see them.
func known(config *anypb.Any) error {
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(config.GetTypeUrl())
	if err != nil {
		return nil //nolint:nilerr // a factory may parse what is no registered message
	}
	m := mt.New()
	if err := proto.Unmarshal(config.GetValue(), m.Interface()); err != nil {
		return fmt.Errorf("not a %s: %w", m.Descriptor().FullName(), err)
	}
	return errors.Join(unknown("", m)...)
}

func unknown(path string, m protoreflect.Message) (errs []error) {
	for b := m.GetUnknown(); len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if n <= 0 {
			break // proto.Unmarshal would not have let it through
		}
		errs = append(errs, fmt.Errorf("%sfield number %d: unknown field of %s", path, num, m.Descriptor().FullName()))
		b = b[n:]
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := path + string(fd.Name())
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() == nil {
				return true
			}
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				errs = append(errs, unknown(fmt.Sprintf("%s[%q].", name, k.String()), v.Message())...)
				return true
			})
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				errs = append(errs, unknown(fmt.Sprintf("%s[%d].", name, i), v.List().Get(i).Message())...)
			}
		default:
			errs = append(errs, unknown(name+".", v.Message())...)
		}
		return true
	})
	return errs
}
