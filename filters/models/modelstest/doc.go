// Package modelstest has a model server that loads and unloads, in each of the APIs that
// filters/models/api speaks.
package modelstest
