// Package telemetry names everything that Friday tells about itself: the metrics
// in metrics.go, the log fields in fields.go, the access log in access.go.
package telemetry
