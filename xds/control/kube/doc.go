// Package kube has fridayd serve the InferencePolicies of a Kubernetes API in place of
// a folder's: they are watched, made resources of by the same code, and told in their
// status what became of them, in the words of the sidecars that took or refused them.
//
// A policy P of the namespace N is called P.N, and is for the sidecars of the node
// cluster P.N: those of N's pods that name it in the annotation friday.dev/policy. A
// group of servers may be a Service of N, whose ready endpoints are then the replicas.
//
// Any number of fridayd may run side by side. All serve the same; each writes into a
// policy's status what its own sidecars say, under its own name, and the conditions
// follow from all of these.
package kube
