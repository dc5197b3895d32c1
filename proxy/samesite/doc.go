// Package samesite keeps the doors for operators from being opened by other sites' pages.
package samesite
