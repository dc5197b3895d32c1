package proxy

import "time"

// ModelStatus is what is known of one version of a model at the servers of a cluster, for
// operators.
type ModelStatus struct {
	Cluster string `json:"cluster"`
	Model   string `json:"model"`
	Version string `json:"version,omitempty"`
	// State is unknown, fetching, loading, warming, ready, draining, unloaded or failed.
	State string `json:"state"`
	// Since is when it came to be so.
	Since time.Time `json:"since"`
	// Serving says that requests for the model are answered by this version.
	Serving bool `json:"serving"`
	// Required says that the sidecar is ready only while the model is.
	Required bool `json:"required,omitempty"`
	// API is how its servers are told to load it; empty until that is known.
	API string `json:"api,omitempty"`
	// Detail says what it waits for, and LastError why it is not where it should be;
	// empty: nothing, and it is.
	Detail    string `json:"detail,omitempty"`
	LastError string `json:"last_error,omitempty"`
	// Attempts counts the failures in a row; the next attempt is not before RetryAt.
	Attempts int        `json:"attempts,omitempty"`
	RetryAt  *time.Time `json:"retry_at,omitempty"`
	// InFlight are requests at the server, Held those that wait for the model.
	InFlight int64 `json:"in_flight"`
	Held     int   `json:"held"`
	// Bytes is how much memory it counts for; Fetched and Size tell how far its source
	// has been fetched, Size 0 where it is not known.
	Bytes   uint64 `json:"bytes,omitempty"`
	Fetched int64  `json:"fetched_bytes,omitempty"`
	Size    int64  `json:"size_bytes,omitempty"`
	// Loads and Unloads count the calls that had the servers do so.
	Loads   uint64 `json:"loads"`
	Unloads uint64 `json:"unloads"`
}
