package bootstrap

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	credentialv3 "github.com/envoyproxy/go-control-plane/envoy/config/grpc_credential/v3"
)

// fileBased is Envoy's name for credentials that are a header with a file's text.
const fileBased = "envoy.grpc_credentials.file_based_metadata"

// Token is by what the sidecar proves who it is while it has no certificate.
type Token struct {
	// Key is the header, Prefix what stands before the token in it.
	Key, Prefix string
	Source      Source
}

var errNoToken = errors.New("no token in it")

// Header reads the token anew: it may be replaced in place.
func (t *Token) Header() (key, value string, err error) {
	text, err := t.Source.read()
	value = strings.TrimSpace(string(text))
	if err == nil && (value == "" || strings.ContainsAny(value, "\r\n")) {
		err = fmt.Errorf("%s: %w", cmp.Or(t.Source.File, "the token"), errNoToken)
	}
	return t.Key, t.Prefix + value, err
}

// token reads the call credentials of a target.
func (c *compiler) token(at string, g *corev3.GrpcService_GoogleGrpc, secure bool) *Token {
	all := g.GetCallCredentials()
	if len(all) == 0 {
		return nil
	}
	at += ".call_credentials"
	m := new(credentialv3.FileBasedMetadataConfig)
	err := all[0].GetFromPlugin().GetTypedConfig().UnmarshalTo(m)
	switch {
	case len(all) > 1:
		c.failf("%s: %d of them: only one", at, len(all))
	case err != nil:
		c.failf("%s[0].from_plugin.typed_config: missing: only FileBasedMetadataConfig", at)
	case !secure:
		c.failf("%s: a token in plain text is everybody's: channel_credentials.ssl_credentials must stand beside it", at)
	case m.GetSecretData() == nil:
		c.failf("%s[0].from_plugin.typed_config.secret_data: missing", at)
	}
	return &Token{
		Key: strings.ToLower(cmp.Or(m.GetHeaderKey(), "authorization")), Prefix: m.GetHeaderPrefix(),
		Source: c.source(at+"[0].from_plugin.typed_config.secret_data", m.GetSecretData()),
	}
}
