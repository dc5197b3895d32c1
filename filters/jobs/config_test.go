package jobs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/fridaymesh/friday/filters/filtertest"
)

func TestDefaults(t *testing.T) {
	c, err := Factory{}.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, &Config{MaxAttempts: 5, Retention: 720 * time.Hour, TenantHeader: "authorization"}, c)
}

func TestParse(t *testing.T) {
	c, err := Factory{}.Parse(filtertest.Any(t, Factory{},
		`store {sqlite_path: "/x/jobs.db"} concurrency {value: 3} max_attempts: 7 retention {seconds: 7200} tenant_header: "X-Team" disabled: true`))
	require.NoError(t, err)
	require.Equal(t, &Config{SQLitePath: "/x/jobs.db", Concurrency: 3, MaxAttempts: 7, Retention: 2 * time.Hour, TenantHeader: "x-team", Disabled: true}, c)
	for text, want := range map[string]string{
		`store {postgres_dsn_file: ""}`: `store.postgres_dsn_file: "": must be the path of a file with a connection string`,
		`store {sqlite_path: ""}`:       `store.sqlite_path: "": must be the path`,
		`store {sqlite_path: "a?b"}`:    `store.sqlite_path: "a?b": must be the path`,
		`concurrency {value: 0}`:        `concurrency: 0: must be 1 to 4096`,
		`concurrency {value: 5000}`:     `concurrency: 5000: must be 1 to 4096`,
		`max_attempts: 101`:             `max_attempts: 101: must be at most 100`,
		`retention {seconds: 60}`:       `retention: 1m0s: must be at least 1h0m0s`,
		`retention {seconds: -60}`:      `retention: -1m0s: must not be negative`,
		`tenant_header: "a b"`:          `tenant_header: "a b": not a header name`,
		`webhook_secret_file: "/s"`:     `webhook_secret_file: "/s": webhooks are not supported yet`,
	} {
		_, err := Factory{}.Parse(filtertest.Any(t, Factory{}, text))
		require.ErrorContains(t, err, want, text)
	}
	_, err = Factory{}.Parse(&anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Any"})
	require.ErrorContains(t, err, "type_url")
	_, err = Factory{}.Parse(&anypb.Any{TypeUrl: TypeURL, Value: []byte{0xff}})
	require.ErrorContains(t, err, "value: not a")
}

// A store has to be somewhere.
func TestStorePath(t *testing.T) {
	dir := t.TempDir() // before the house, so that it goes after it
	h := filtertest.NewHouse(t, 1)
	c, err := Factory{}.Parse(nil)
	require.NoError(t, err)
	_, err = Factory{}.Build(c, h.Env())
	require.EqualError(t, err, "store: sqlite_path or postgres_dsn_file is needed, since the process runs without --state-dir")
	h.StateDir = dir
	f, err := Factory{}.Build(c, h.Env())
	require.NoError(t, err)
	g, err := Factory{}.Build(c, h.Env())
	require.NoError(t, err)
	require.Same(t, f.(*filter).state, g.(*filter).state, "of one file, one store")
	off, err := Factory{}.Parse(filtertest.Any(t, Factory{}, "disabled: true"))
	require.NoError(t, err)
	h.StateDir = ""
	_, err = Factory{}.Build(off, h.Env())
	require.NoError(t, err, "what is off needs no store")
}
