// Package ca is fridayd's certificate authority: it vouches for sidecars, by
// certificates that live for a day and have a SPIFFE id
// (https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md), and for
// fridayd itself.
//
// Its own roots (Open) are kept in a folder and overlap: the next one is made, and
// trusted by everybody, long before it signs anything, and the one before stays
// trusted until it ends. So no certificate of a root that a peer has not heard of
// is ever shown. A CA that is given by files (Given) is read anew when they change.
package ca
