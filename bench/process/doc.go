// Package process starts the programs of a measurement, waits until they are
// ready and ends them, by their own process id, on every way out.
package process
