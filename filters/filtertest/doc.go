// Package filtertest stands in for what surrounds a filter: a model server as the
// next Handler of its chain, requests, and the Env that the house would lend it.
package filtertest
