// Package listener accepts connections and watches over them until they are
// served: it notices callers who leave while they wait (gone_linux.go) and can
// stop accepting while what runs goes on.
package listener
