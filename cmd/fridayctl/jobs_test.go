package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/filters/jobs/store"
)

// A person sees the jobs of a store that is in use, copies it, puts the copy back, and
// finds that nobody has touched the audit trail.
func TestJobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.db")
	s, err := store.Open(t.Context(), path)
	require.NoError(t, err)
	open := true
	t.Cleanup(func() {
		if open {
			require.NoError(t, s.Close())
		}
	})
	now := time.Now()
	_, err = s.Tenant("0123456789abcdef").Create(t.Context(), store.Job{
		ID: "batch_1", Kind: store.Batch, Origin: "o", Endpoint: "/v1/embeddings", Metadata: []byte("null"), Digest: []byte("d"),
		Headers: [][2]string{{"authorization", "Bearer secret"}}, Retention: time.Hour, Status: store.Validating, Created: now, Expires: now.Add(time.Hour),
	}, nil, store.Twice{}, store.Entry{At: now, Action: "batch.create", Address: "10.0.0.1:1", Outcome: 200})
	require.NoError(t, err)

	code, out, errs := fridayctl(t, "jobs", "list", "--store", path)
	require.Zero(t, code, errs)
	require.Regexp(t, `(?m)^batch_1 +01234567 +validating +0 +0 +0 +/v1/embeddings +20`, out)
	code, out, errs = fridayctl(t, "jobs", "list", "--store", path, "-o", "json")
	require.Zero(t, code, errs)
	var list []map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	require.Equal(t, "batch_1", list[0]["id"])
	require.NotContains(t, out, "secret")

	copied := filepath.Join(t.TempDir(), "copy.db")
	code, out, errs = fridayctl(t, "jobs", "backup", copied, "--store", path)
	require.Zero(t, code, errs)
	require.Contains(t, out, "written and checked")
	code, _, errs = fridayctl(t, "jobs", "restore", copied, "--store", path)
	require.Equal(t, 1, code)
	require.Contains(t, errs, "a process has the store open")
	require.NoError(t, s.Close())
	open = false
	code, out, errs = fridayctl(t, "jobs", "restore", copied, "--store", path)
	require.Zero(t, code, errs)
	require.Contains(t, out, "restored from")

	code, out, errs = fridayctl(t, "audit", "verify", "--store", path)
	require.Zero(t, code, errs)
	require.Contains(t, out, "1 entries, each follows from the ones before it; head ")
	code, _, errs = fridayctl(t, "audit", "verify", "--store", path, "--head", "00")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "the audit trail is broken: no entry has the hash 00")
}
