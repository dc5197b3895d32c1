// Package version says what was built.
package version

import (
	"runtime"
	"runtime/debug"
)

// release is set by the linker:
// -ldflags "-X github.com/fridaymesh/friday/cmd/internal/version.release=v0.1.0".
var release string //nolint:gochecknoglobals // only the linker writes it

// String is the version: the linker's, else the module's, else "dev"; with the
// commit where the build knows it.
func String() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return describe(release, &debug.BuildInfo{})
	}
	return describe(release, info)
}

// Long is the version with the Go release and the platform, for people.
func Long() string {
	return String() + " (" + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + ")"
}

// shortCommit is how many letters of a commit are shown.
const shortCommit = 12

func describe(release string, info *debug.BuildInfo) string {
	v := release
	if v == "" && info.Main.Version != "(devel)" {
		v = info.Main.Version
	}
	if v == "" {
		v = "dev"
	}
	var commit, dirty string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if release != "" || commit == "" {
		return v
	}
	return v + "+" + commit[:min(len(commit), shortCommit)] + dirty
}
