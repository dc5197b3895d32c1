// Package closing has a model server that closes its idle connections early and at
// random ages, and callers who would notice: every answer that is not whole and right
// is an error.
package closing
