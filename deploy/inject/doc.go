// Package inject puts Friday into pods, and takes it out again. It is one function
// of a pod's JSON, which fridayd's webhook and `fridayctl inject` share: it asks
// nobody and keeps nothing, so that equal pods become equal pods wherever it runs.
//
// It works on the JSON as it is, and reads it through Kubernetes' types: what this
// release of them does not know is carried along untouched. What it changes is
// written into the annotation friday.dev/status, which makes a second injection
// change nothing and lets [Injector.Remove] restore what was there.
//
// What becomes of a pod, in the mode "port":
//
//   - a container "friday": a native sidecar (an init container that restarts)
//     where the server knows these, after all other init containers, whose network
//     is as it was; else an ordinary container, the last one;
//   - the names and host ports of the model server's ports move to that container's
//     ports, so that a Service whose targetPort is a name leads to Friday. Probes
//     and hooks that go by such a name get the number, and so ask the model server,
//     as before. Behind Knative's queue-proxy it is that one's USER_PORT that moves;
//   - a preStop hook that waits, in containers without one, for as long as it takes
//     others to hear that the pod goes: Friday still has requests for them.
//
// In the mode "redirect" ports and names stay, and an init step has the kernel lead
// what arrives for them to Friday.
package inject
