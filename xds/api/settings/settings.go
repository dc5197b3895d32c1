// Package settings reads the fields that configurations of several filters have in
// common. Its errors begin with the field's path.
package settings

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// CredentialHeaders are the headers, in lower case, that say for whom a request is: what
// differs in one of them is not answered together unless a configuration says so.
func CredentialHeaders() []string {
	return []string{"authorization", "x-api-key", "api-key", "openai-organization", "openai-project"}
}

// Duration is v, or absent where it is not set. It must not be negative.
func Duration(path string, v *durationpb.Duration, absent time.Duration) (time.Duration, error) {
	if v == nil {
		return absent, nil
	}
	if err := v.CheckValid(); err != nil {
		return 0, fmt.Errorf("%s: %ds %dns: %w", path, v.GetSeconds(), v.GetNanos(), err)
	}
	if v.AsDuration() < 0 {
		return 0, fmt.Errorf("%s: %v: must not be negative", path, v.AsDuration())
	}
	return v.AsDuration(), nil
}

// HeaderNames are names in lower case, sorted, each once; [CredentialHeaders] where there
// are none.
func HeaderNames(path string, names []string) ([]string, error) {
	if len(names) == 0 {
		names = CredentialHeaders()
	}
	out := make([]string, 0, len(names))
	for i, name := range names {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, fmt.Errorf("%s[%d]: %q: not a header name", path, i, name)
		}
		out = append(out, strings.ToLower(name))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// RefuseUnknown finds fields that this version of a message does not have: to skip them
// would be to do something else than what was asked for.
func RefuseUnknown(m protoreflect.Message) error { return refuseUnknown("", m) }

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
