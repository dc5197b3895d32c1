// Package rbac lets requests pass, or not, by who sends them and what they ask for
// (Envoy's envoy.filters.http.rbac). Shadow rules only count what they would have done.
package rbac
