//go:build !linux

package redirect

import (
	"context"
	"errors"
)

var errSystem = errors.New("redirecting connections needs Linux")

// Apply needs Linux.
func Apply(context.Context, Firewall, Rules) (by string, err error) { return "", errSystem }

// Undo needs Linux.
func Undo(context.Context, Firewall) error { return errSystem }
