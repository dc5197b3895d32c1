// Package policy has the ways to draw one of several endpoints, one to a file. They know
// nothing of health: who uses them makes one of the endpoints that may be drawn.
package policy
