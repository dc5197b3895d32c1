// Package interop has tests that call real servers through Friday with the
// clients that people really use, and compare what comes back with what the
// server answers directly: tritonclient against MLServer, the openai SDK against
// the stand-in.
//
// They need Python 3.11 or 3.12 and, the first time, its package index; what they
// install is kept in the user's cache directory or in $FRIDAY_CACHE. Without
// them they fail, they do not skip.
//
//	go test -tags interop -count=1 -v ./bench/interop/...
//
// The programs are built for the occasion, unless FRIDAY_BIN names a folder that
// has friday and standin.
package interop
