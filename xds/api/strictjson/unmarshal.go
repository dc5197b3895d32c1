package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// ErrSyntax says that the text is no JSON.
var ErrSyntax = errors.New("not valid JSON")

// FieldError is what is wrong with one field.
type FieldError struct {
	// Path from the message decoded, such as static_resources.clusters[0].name;
	// empty for the message itself.
	Path string
	// Value as JSON, cut short; empty where there is no value to speak of.
	Value string
	// Reason without path and value.
	Reason string
}

func (e *FieldError) Error() string {
	s := e.Reason
	if e.Value != "" {
		s = e.Value + ": " + s
	}
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	return s
}

// Unmarshal decodes data into m, which it resets first. Unknown fields are
// errors. The error joins one [*FieldError] for each field that is wrong, or is
// [ErrSyntax].
func Unmarshal(data []byte, m proto.Message) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than one value", ErrSyntax)
	}
	var w walk
	w.message("", m.ProtoReflect().Descriptor(), v)
	if len(w.errs) > 0 {
		return errors.Join(w.errs...)
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		// What only protojson sees, such as a key that is there twice.
		return &FieldError{Reason: words(err)}
	}
	return nil
}

// words is err's text without the prefix, whose blank protobuf-go varies on
// purpose.
func words(err error) string {
	s := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return strings.TrimPrefix(s, "proto: ")
}
