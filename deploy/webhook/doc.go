// Package webhook answers an API server that asks what is to become of a new pod
// (admission.k8s.io/v1), by package inject. It asks nobody and keeps nothing, so that
// a dry run is like any other, and any number of it may run side by side.
//
// Keeper keeps its certificate: in a Secret that all of them share, and in the
// configuration by which the API server believes it.
package webhook
