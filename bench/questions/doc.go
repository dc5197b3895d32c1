// Package questions asks a real model server a fixed list of questions, round and
// round, and compares every answer with the one that the server itself gave to the
// same question when it was asked alone.
//
// A model that computes several rows together does not add up in the same order as
// for one, so numbers need not be the same to the last digit: those with a fraction
// may differ by [Tolerance]. Everything else must be equal.
package questions
