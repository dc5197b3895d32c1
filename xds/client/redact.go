package client

import (
	annotationspb "github.com/cncf/xds/go/udpa/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// redaction takes the place of what is secret, as in Envoy's config dump.
const redaction = "[redacted]"

// redacted is a without what its protos mark as sensitive: private keys, session
// ticket keys, passwords. It is a itself where there is nothing of the kind.
func redacted(a *anypb.Any) *anypb.Any {
	if a == nil {
		return nil
	}
	m, err := a.UnmarshalNew()
	if err != nil || !redact(m.ProtoReflect(), false) {
		return a
	}
	out, err := anypb.New(m)
	if err != nil {
		return new(anypb.Any)
	}
	out.TypeUrl = a.GetTypeUrl()
	return out
}

// redact overwrites every sensitive value under m, or, where all is set, every
// one at all, and says whether there was any.
func redact(m protoreflect.Message, all bool) (found bool) {
	if packed, ok := m.Interface().(*anypb.Any); ok {
		if all {
			packed.Reset()
			return true
		}
		clean := redacted(packed)
		found = clean != packed
		packed.TypeUrl, packed.Value = clean.GetTypeUrl(), clean.GetValue()
		return found
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		secret := all || sensitive(fd)
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() == nil {
				break
			}
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				found = redact(v.Message(), secret) || found
				return true
			})
			return true
		case fd.IsList():
			if fd.Message() == nil {
				break
			}
			for i := range v.List().Len() {
				found = redact(v.List().Get(i).Message(), secret) || found
			}
			return true
		case fd.Message() != nil:
			found = redact(v.Message(), secret) || found
			return true
		}
		if !secret {
			return true
		}
		found = true
		switch {
		case fd.IsList() || fd.IsMap():
			m.Clear(fd)
		case fd.Kind() == protoreflect.StringKind:
			m.Set(fd, protoreflect.ValueOfString(redaction))
		case fd.Kind() == protoreflect.BytesKind:
			m.Set(fd, protoreflect.ValueOfBytes([]byte(redaction)))
		default:
			m.Clear(fd)
		}
		return true
	})
	return found
}

func sensitive(fd protoreflect.FieldDescriptor) bool {
	is, ok := proto.GetExtension(fd.Options(), annotationspb.E_Sensitive).(bool)
	return ok && is
}
