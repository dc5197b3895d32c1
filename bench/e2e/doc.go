// Package e2e has tests that run fridayd, with its webhook and its policies, at a real
// kube-apiserver with etcd: pods in and pods out, the webhook up, down, not believed and
// rotated, policies and what becomes of them in a sidecar that runs, the manifests and the
// rights that they give.
//
// Both programs are built from source, by the module in the folder tools, once, into the
// user's cache directory or $FRIDAY_CACHE. Where that cannot be done the tests say
// SKIPPED, and why. There is no kubelet, so that no pod runs: what a sidecar does is seen
// in processes.
//
//	go test -tags e2e -count=1 -timeout 60m -v ./bench/e2e
package e2e
