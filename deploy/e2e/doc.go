// Package e2e tries Friday against a real API server of Kubernetes and its etcd: the
// webhook, the policies, the chart. There is no kubelet, so no pod runs; sidecars are
// processes. `make e2e` builds what it needs and runs it.
package e2e
