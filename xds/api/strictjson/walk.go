package strictjson

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
)

// walk goes over decoded JSON along a message's descriptor.
type walk struct{ errs []error }

func (w *walk) fail(path string, value any, reason string) {
	w.errs = append(w.errs, &FieldError{Path: path, Value: short(value), Reason: reason})
}

// message checks v against md.
func (w *walk) message(path string, md protoreflect.MessageDescriptor, v any) {
	if v == nil {
		if path == "" {
			w.fail(path, nil, "null: not a message")
		}
		return // null is the default
	}
	switch name := md.FullName(); {
	case name == "google.protobuf.Any":
		w.any(path, v)
		return
	case ownJSON(name):
		w.leaf(path, v, md, "not a "+kindName(name))
		return
	}
	object, ok := v.(map[string]any)
	if !ok {
		w.fail(path, v, "not a "+string(md.FullName()))
		return
	}
	w.fields(path, md, object)
}

// fields checks an object's members against md's fields.
func (w *walk) fields(path string, md protoreflect.MessageDescriptor, object map[string]any) {
	oneofs := map[protoreflect.FullName]protoreflect.Name{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		at, v := join(path, key), object[key]
		fd := md.Fields().ByJSONName(key)
		if fd == nil {
			fd = md.Fields().ByTextName(key)
		}
		if fd == nil {
			w.fail(at, nil, "unknown field")
			continue
		}
		at = join(path, string(fd.Name()))
		if v == nil {
			continue
		}
		if o := fd.ContainingOneof(); o != nil && !o.IsSynthetic() {
			if other, twice := oneofs[o.FullName()]; twice {
				w.fail(at, nil, "cannot stand beside "+string(other))
			}
			oneofs[o.FullName()] = fd.Name()
		}
		w.field(at, fd, v)
	}
}

func (w *walk) field(path string, fd protoreflect.FieldDescriptor, v any) {
	switch {
	case fd.IsMap():
		object, ok := v.(map[string]any)
		if !ok {
			w.fail(path, v, "not a map")
			return
		}
		for _, key := range slices.Sorted(maps.Keys(object)) {
			at := path + "[" + strconv.Quote(key) + "]"
			if fd.MapValue().Message() != nil && object[key] != nil {
				w.message(at, fd.MapValue().Message(), object[key])
				continue
			}
			w.single(at, fd, map[string]any{key: object[key]}, object[key], fd.MapValue())
		}
	case fd.IsList():
		list, ok := v.([]any)
		if !ok {
			w.fail(path, v, "not a list")
			return
		}
		for i, item := range list {
			at := path + "[" + strconv.Itoa(i) + "]"
			if fd.Message() != nil && item != nil {
				w.message(at, fd.Message(), item)
				continue
			}
			w.single(at, fd, []any{item}, item, fd)
		}
	case fd.Message() != nil:
		w.message(path, fd.Message(), v)
	default:
		w.single(path, fd, v, v, fd)
	}
}

// single lets protojson judge the field fd holding v alone; shown is what the
// error shows, and of is the field whose kind it tells.
func (w *walk) single(path string, fd protoreflect.FieldDescriptor, v, shown any, of protoreflect.FieldDescriptor) {
	data, err := json.Marshal(map[string]any{string(fd.Name()): v})
	if err == nil {
		err = protojson.Unmarshal(data, dynamicpb.NewMessage(fd.ContainingMessage()))
	}
	if err == nil {
		return
	}
	reason := "not a " + of.Kind().String()
	if e := of.Enum(); e != nil {
		reason = "not one of " + enumNames(e)
	}
	w.fail(path, shown, reason)
}

// leaf lets protojson judge a message whose JSON is its own.
func (w *walk) leaf(path string, v any, md protoreflect.MessageDescriptor, reason string) {
	data, err := json.Marshal(v)
	if err == nil {
		err = protojson.Unmarshal(data, dynamicpb.NewMessage(md))
	}
	if err != nil {
		w.fail(path, v, reason)
	}
}

// any checks a google.protobuf.Any: @type beside the fields of what it holds.
func (w *walk) any(path string, v any) {
	object, ok := v.(map[string]any)
	if !ok {
		w.fail(path, v, "not a google.protobuf.Any")
		return
	}
	if len(object) == 0 {
		return
	}
	url, ok := object["@type"].(string)
	if !ok {
		w.fail(join(path, "@type"), object["@type"], "missing, or not a string")
		return
	}
	mt, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		w.fail(join(path, "@type"), url, "unknown type")
		return
	}
	rest := maps.Clone(object)
	delete(rest, "@type")
	md := mt.Descriptor()
	if !ownJSON(md.FullName()) && md.FullName() != "google.protobuf.Any" {
		w.fields(path, md, rest)
		return
	}
	value, ok := rest["value"]
	delete(rest, "value")
	for key := range rest {
		w.fail(join(path, key), nil, "unknown field")
	}
	if !ok {
		w.fail(join(path, "value"), nil, "missing")
		return
	}
	w.message(join(path, "value"), md, value)
}

// ownJSON tells which messages JSON writes in a way of their own.
func ownJSON(name protoreflect.FullName) bool {
	if name.Parent() != "google.protobuf" {
		return false
	}
	switch name.Name() {
	case "Duration", "Timestamp", "FieldMask", "Struct", "Value", "ListValue",
		"BoolValue", "StringValue", "BytesValue", "DoubleValue", "FloatValue",
		"Int32Value", "Int64Value", "UInt32Value", "UInt64Value":
		return true
	}
	return false
}

func kindName(name protoreflect.FullName) string {
	switch name.Name() {
	case "Duration":
		return `duration in seconds, such as "0.005s"`
	case "Timestamp":
		return `time such as "2026-11-23T10:00:00Z"`
	}
	return strings.ToLower(strings.TrimSuffix(string(name.Name()), "Value"))
}

func enumNames(e protoreflect.EnumDescriptor) string {
	names := make([]string, e.Values().Len())
	for i := range names {
		names[i] = string(e.Values().Get(i).Name())
	}
	return strings.Join(names, ", ")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// short writes v as JSON, for an error.
func short(v any) string {
	if v == nil {
		return ""
	}
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	const most = 80
	if len(data) > most {
		return strings.ToValidUTF8(string(data[:most]), "") + "…"
	}
	return string(data)
}
