// Package join is how a sidecar that has no certificate yet proves who it is, by a
// token that goes with its stream: one that an operator has made for it and that
// counts once (Tokens), or that of its Kubernetes service account (Review).
package join
