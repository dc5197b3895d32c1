package admin

import (
	"errors"
	"fmt"
	"net/http"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// configDump writes the configuration as JSON, names as in the protos. With
// ?resource=dynamic_listeners (any repeated field of the parts of an
// envoy.admin.v3.ConfigDump) only these, as Envoy does.
func (d *door) configDump(w http.ResponseWriter, r *http.Request) {
	m, err := d.o.ConfigDump()
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	if field := r.URL.Query().Get("resource"); field != "" {
		if m, err = only(m, field); err != nil {
			text(w, http.StatusBadRequest, err.Error()+"\n")
			return
		}
	}
	b, err := protojson.MarshalOptions{Multiline: true, Indent: " ", UseProtoNames: true}.Marshal(m)
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // whoever asked has gone if it fails
}

// only returns a dump whose configs are the elements of one field of m's
// configs.
func only(m proto.Message, field string) (proto.Message, error) {
	in := m.ProtoReflect()
	configs := in.Descriptor().Fields().ByName("configs")
	if configs == nil || !configs.IsList() || configs.Message() == nil || configs.Message().FullName() != "google.protobuf.Any" {
		return nil, errors.New("resource: this configuration has no parts")
	}
	out := in.New()
	list := out.Mutable(configs).List()
	found := false
	parts := in.Get(configs).List()
	for i := range parts.Len() {
		packed, ok := parts.Get(i).Message().Interface().(*anypb.Any)
		if !ok {
			continue
		}
		part, err := packed.UnmarshalNew()
		if err != nil {
			return nil, fmt.Errorf("configs[%d]: %w", i, err)
		}
		fd := part.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(field))
		if fd == nil || !fd.IsList() || fd.Message() == nil {
			continue
		}
		found = true
		elements := part.ProtoReflect().Get(fd).List()
		for k := range elements.Len() {
			a, err := anypb.New(elements.Get(k).Message().Interface())
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", field, k, err)
			}
			list.Append(protoreflect.ValueOfMessage(a.ProtoReflect()))
		}
	}
	if !found {
		return nil, fmt.Errorf("resource: %q not found in the configuration", field)
	}
	return out.Interface(), nil
}
