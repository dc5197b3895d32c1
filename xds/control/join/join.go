package join

import (
	"context"
	"errors"
	"strings"

	"github.com/fridaymesh/friday/xds/control/ca"
)

// Guest is who has been let in.
type Guest struct {
	// ID is what the certificate says.
	ID ca.ID
	// Nodes are the node ids that the guest may name; none: any that nobody else has.
	Nodes []string
	// Settled ends the admission: the guest holds its certificate, or has gone without.
	// It is called once.
	Settled func(holds bool)
}

// Way is one way in. Safe for concurrent use.
type Way interface {
	// Takes says that the token is of this way.
	Takes(token string) bool
	// Join says who shows the token. An error that is [ErrRefused] is about the token;
	// any other is that it could not be found out.
	Join(ctx context.Context, token string) (*Guest, error)
}

// ErrRefused says that a token is no good.
var ErrRefused = errors.New("token refused")

// Bearer is the token of an authorization header.
func Bearer(header string) (string, bool) {
	kind, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(kind, "bearer") && token != ""
}
