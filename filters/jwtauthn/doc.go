// Package jwtauthn lets requests pass that carry a JSON Web Token (RFC 7519) of an issuer
// that is trusted (Envoy's envoy.filters.http.jwt_authn), and hands on what a token claims:
// in headers, and as metadata that rbac can ask for.
//
// A rule says what a request must carry (require.go): a token of one provider, of one of
// several, none at all. A provider says where its tokens stand in a request (extract.go),
// what one must claim (token.go), and by which keys it is signed (keys.go): keys of the
// configuration, or of a server that is asked for them and remembered (remote.go).
//
// A key's own type decides which algorithms it may verify (RFC 8725 section 3.1): that a
// token names another changes nothing, and "none" is no algorithm.
package jwtauthn
