// Package cache is the filter friday.filters.http.cache: it answers what has been
// answered before, and has computed once what several ask for at the same time.
//
// The unit is the item where filters/inference knows items (one text, one instance, one
// document), and the whole answer of a chat or a completion (asked.go). A request's
// items are looked up one by one; those that are known are taken from the store, those
// that are being computed for somebody else are waited for, and the rest goes on as one
// request, which the batcher may put together with others (items.go). The answer is
// put together on the bytes. Whole answers, also those that are streamed, are in
// whole.go, and a stream on its way to several callers in tape.go.
//
// What leads to equal answers is the key (key.go): a digest of who asks (the tenant's
// headers), what is asked (route, path and query, model, options, item), all of it with
// its exact text. Nobody gets what was computed for somebody whose key differs in a
// byte. What cannot be written in one way only passes through (canonical.go).
//
// A call to the server belongs to nobody (flight.go): it runs apart from the request
// that made it necessary, for as long as anybody waits for it, and ends when nobody
// does. A failure is told to those who wait for just that and is never stored.
//
// Stores and calls outlive configurations (state.go, store.go). docs/caching.md tells
// all this to those who run it.
package cache
