//go:build !linux

package artefact

// room is not known here.
func room(string, int64) error { return nil }
