// Package history keeps what a control plane has served: every set of policies
// with its number, time, origin and text, and beside it a document of the control
// plane's own, its state. Both are files of a folder, or only in memory.
package history
