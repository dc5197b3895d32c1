// Package server puts the sidecar together: it takes configurations, swaps them
// in, opens and closes listeners, and ends gracefully.
package server
