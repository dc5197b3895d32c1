package kube

// Names of the resource.
const (
	Group   = "friday.dev"
	Version = "v1alpha1"
	Kind    = "InferencePolicy"
	Plural  = "inferencepolicies"
)
