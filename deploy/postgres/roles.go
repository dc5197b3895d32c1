// Package postgres has what a PostgreSQL database needs before Friday keeps jobs in it:
// docs/jobs.md says what for.
package postgres

import _ "embed"

// Roles is a script for psql, with the variables sidecar and operator, the passwords of who
// logs in.
//
//go:embed roles.sql
var Roles string
