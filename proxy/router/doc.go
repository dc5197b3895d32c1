// Package router finds the route of a request: the virtual host by its domain,
// then the first route whose matchers hold.
package router
