//go:build interop

package interop_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/jobs"
	"github.com/fridaymesh/friday/bench/process"
	"github.com/fridaymesh/friday/bench/realserver"
	"github.com/fridaymesh/friday/bench/sidecar"
)

// replicas are sidecars that share a store in a real PostgreSQL, before a server that takes
// its time.
type replicas struct {
	*house
	t        *testing.T
	server   *jobs.Server
	database *realserver.RunningPostgres
	// dsn is the sidecars' connection string, operator that of fridayctl.
	dsn, operator string
	fridays       []*sidecar.Sidecar
}

func newReplicas(t *testing.T, n int) *replicas {
	t.Helper()
	h := bareHouse(t)
	program, err := realserver.PreparePostgres(h.ctx, func(s string) { t.Log(s) })
	if errors.Is(err, realserver.ErrUnavailable) {
		t.Skipf("SKIPPED, PostgreSQL was not called: %v", err)
	}
	require.NoError(t, err)
	r := &replicas{house: h, t: t, server: &jobs.Server{Pause: 100 * time.Millisecond}}
	require.NoError(t, r.server.Listen(h.ctx))
	t.Cleanup(func() { require.NoError(t, r.server.Close()) })
	r.database, err = program.Start(h.ctx, h.group)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.database.Remove()) })
	r.dsn, r.operator = r.make("jobs")
	require.Contains(t, r.fridayctl("jobs", "migrate", "--postgres-dsn-file", r.operator), "its tables are those of this version")
	for i := range n {
		r.start(fmt.Sprint("friday ", i))
	}
	return r
}

// make makes a database, and the files with how sidecars and fridayctl connect.
func (r *replicas) make(name string) (dsn, operator string) {
	r.t.Helper()
	require.NoError(r.t, r.database.Make(r.ctx, name))
	dsn, operator = r.group.File(name+"-dsn"), r.group.File(name+"-operator")
	require.NoError(r.t, os.WriteFile(dsn, []byte(r.database.DSN("friday", name)), 0o600))
	require.NoError(r.t, os.WriteFile(operator, []byte(r.database.DSN("friday_operator", name)), 0o600))
	return dsn, operator
}

func (r *replicas) start(name string) {
	r.t.Helper()
	addresses, err := process.FreeAddresses(0, 0)
	require.NoError(r.t, err)
	s, err := sidecar.WithPostgresJobs(r.ctx, r.group, r.bin, name, r.server.Address(), addresses[0], addresses[1], r.dsn)
	require.NoError(r.t, err)
	r.fridays = append(r.fridays, s)
}

// fridayctl runs it, and returns what it says.
func (r *replicas) fridayctl(args ...string) string {
	r.t.Helper()
	out, err := exec.CommandContext(r.ctx, filepath.Join(r.bin, "fridayctl"), args...).CombinedOutput()
	require.NoError(r.t, err, "fridayctl %v: %s", args, out)
	return string(out)
}

// client speaks to the i-th replica.
func (r *replicas) client(i int, authorization string) *jobs.Client {
	transport := new(http.Transport)
	r.t.Cleanup(transport.CloseIdleConnections)
	return &jobs.Client{Address: r.fridays[i].Listen, Authorization: authorization, HTTP: &http.Client{Transport: transport, Timeout: time.Minute}}
}

// lines is how many lines the i-th replica has had with a result.
func (r *replicas) lines(i int, result string) float64 {
	text, err := process.Get(r.ctx, "http://"+r.fridays[i].Admin+"/metrics")
	if err != nil {
		return 0
	}
	return exposition.Sum(string(text), "friday_job_lines_total", `result="`+result+`"`)
}

// One of three replicas is stopped for longer than its leases last, and another is gone
// with all that it had: the third does their lines, and what the first says when it goes on
// is refused.
func TestPostgresReplicas(t *testing.T) {
	r := newReplicas(t, 3)
	const n = 2000
	c := r.client(0, "Bearer a")
	file, err := c.Upload(r.ctx, jobs.Lines(n), "upload")
	require.NoError(t, err)
	b, err := r.client(2, "Bearer a").Create(r.ctx, file, 0, "create")
	require.NoError(t, err)
	working := func(i int, least float64) {
		t.Helper()
		require.Eventually(t, func() bool { return r.lines(i, "completed") >= least }, 2*time.Minute, 20*time.Millisecond, "replica %d does nothing", i)
	}
	working(1, 20)
	working(2, 20)
	r.fridays[2].Kill() // it had nothing on a disk
	b = r.withoutOne(c, b, n)

	// Where it has noticed that its leases are lost before it had an answer in its hands, it is
	// stopped once more.
	for round := 1; r.lines(1, "stale") == 0; round++ {
		require.Less(t, round, 10, "a result of lost leases must be refused")
		other, err := c.Create(r.ctx, file, round, fmt.Sprint("create ", round))
		require.NoError(t, err)
		working(1, r.lines(1, "completed")+20)
		r.withoutOne(c, other, n)
	}
	after, err := r.client(1, "Bearer a").Get(r.ctx, b.ID)
	require.NoError(t, err)
	require.Equal(t, b, after, "it sees what the others have done, and has changed nothing")
	t.Logf("%d lines, the server was asked %d times; %v results were stale", n, r.server.Answered.Load(), r.lines(1, "stale"))
	require.Contains(t, r.fridayctl("audit", "verify", "--postgres-dsn-file", r.operator), "each follows from the ones before it")
}

// withoutOne stops replica 1 until others have ended a batch of n lines, each with one result,
// has it go on, and gives it some time to be refused.
func (r *replicas) withoutOne(c *jobs.Client, b jobs.Batch, n int) jobs.Batch {
	t := r.t
	t.Helper()
	require.NoError(t, syscall.Kill(r.fridays[1].PID(), syscall.SIGSTOP))
	goOn := sync.OnceValue(func() error { return syscall.Kill(r.fridays[1].PID(), syscall.SIGCONT) })
	defer func() { _ = goOn() }() // else nobody could end it
	b, err := c.Await(r.ctx, b.ID, 50*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, "completed", b.Status)
	require.Equal(t, [3]int{n, n, 0}, [3]int{b.Counts.Total, b.Counts.Completed, b.Counts.Failed})
	times, err := c.Results(r.ctx, b.OutputFileID, n)
	require.NoError(t, err)
	for i, n := range times {
		require.Equal(t, 1, n, "results of line %d", i)
	}
	require.NoError(t, goOn())
	// What it had in its hands when it was stopped is tried again, also where the database has
	// ended the change that it was in the middle of.
	for end := time.Now().Add(15 * time.Second); r.lines(1, "stale") == 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond) // between two questions
	}
	return b
}

// What is one tenant's is not there for another: not at any replica, and not in psql.
func TestPostgresTenants(t *testing.T) {
	r := newReplicas(t, 2)
	a, b := r.client(0, "Bearer a"), r.client(1, "Bearer b")
	file, err := a.Upload(r.ctx, jobs.Lines(3), "")
	require.NoError(t, err)
	made, err := a.Create(r.ctx, file, 0, "")
	require.NoError(t, err)
	_, err = r.client(1, "Bearer a").Await(r.ctx, made.ID, 20*time.Millisecond)
	require.NoError(t, err)
	_, err = b.Get(r.ctx, made.ID)
	require.ErrorContains(t, err, "404")
	_, err = b.Create(r.ctx, file, 0, "")
	require.ErrorContains(t, err, "404")

	sql := func(script string) string {
		t.Helper()
		out, err := r.database.SQL(r.ctx, "friday", "jobs", "SET search_path = friday; SET ROLE friday_runtime; "+script)
		require.NoError(t, err)
		return strings.TrimSpace(out)
	}
	const count = "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM jobs), (SELECT count(*) FROM chunks), (SELECT count(*) FROM audit)"
	require.Equal(t, "0|0|0|0", sql(count))
	require.Equal(t, "0|0|0|0", sql("SET friday.tenant = 'another'; "+count))
	require.Equal(t, "0", sql("SET friday.tenant = 'another'; UPDATE files SET filename = 'x'; DELETE FROM jobs; SELECT count(*) FROM files"))
	mine, err := r.database.SQL(r.ctx, "postgres", "jobs", "SELECT tenant FROM friday.jobs")
	require.NoError(t, err)
	require.Regexp(t, `^2\|1\|\d+\|\d+$`, sql("SET friday.tenant = '"+strings.TrimSpace(mine)+"'; "+count), "its input and its output, its batch")

	// A row that a superuser has edited is found.
	_, err = r.database.SQL(r.ctx, "postgres", "jobs", "SET search_path = friday; ALTER TABLE audit DISABLE TRIGGER ALL; UPDATE audit SET outcome = 500 WHERE seq = 2")
	require.NoError(t, err)
	out, err := exec.CommandContext(r.ctx, filepath.Join(r.bin, "fridayctl"), "audit", "verify", "--postgres-dsn-file", r.operator).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "the audit trail is broken: entry 2 ")
}

// A copy that is made while sidecars work comes back in another database, and the work goes
// on there.
func TestPostgresBackup(t *testing.T) {
	r := newReplicas(t, 1)
	c := r.client(0, "Bearer a")
	const n = 1000
	file, err := c.Upload(r.ctx, jobs.Lines(n), "upload")
	require.NoError(t, err)
	b, err := c.Create(r.ctx, file, 0, "create")
	require.NoError(t, err)
	require.Eventually(t, func() bool { return r.lines(0, "completed") >= 50 }, 2*time.Minute, 20*time.Millisecond)
	copied := r.group.File("copy.db")
	require.Contains(t, r.fridayctl("jobs", "backup", copied, "--postgres-dsn-file", r.operator), "written and checked")
	require.NoError(t, r.fridays[0].Stop(time.Minute))
	require.Contains(t, r.fridayctl("audit", "verify", "--store", copied), "each follows from the ones before it")

	r.dsn, r.operator = r.make("restored")
	r.fridayctl("jobs", "migrate", "--postgres-dsn-file", r.operator)
	require.Contains(t, r.fridayctl("jobs", "restore", copied, "--postgres-dsn-file", r.operator), "restored from")
	require.Contains(t, r.fridayctl("jobs", "list", "--postgres-dsn-file", r.operator), b.ID)
	r.start("friday after")
	c = r.client(1, "Bearer a")
	b, err = c.Await(r.ctx, b.ID, 50*time.Millisecond)
	require.NoError(t, err)
	require.Equal(t, [3]int{n, n, 0}, [3]int{b.Counts.Total, b.Counts.Completed, b.Counts.Failed})
	times, err := c.Results(r.ctx, b.OutputFileID, n)
	require.NoError(t, err)
	for i, n := range times {
		require.Equal(t, 1, n, "results of line %d", i)
	}
	require.Contains(t, r.fridayctl("audit", "verify", "--postgres-dsn-file", r.operator), "each follows from the ones before it")
}
