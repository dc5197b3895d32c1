package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/fridaymesh/friday/cmd/internal/cli"
	"github.com/fridaymesh/friday/filters/jobs/store"
)

// defaultStore is where a sidecar keeps its jobs in the image.
const defaultStore = "/var/lib/friday/jobs.db"

// jobsFlags are those of commands that open a store.
type jobsFlags struct {
	door

	store    string
	postgres string
	limit    int
	head     string
}

func (f *jobsFlags) declareStore(fs *flag.FlagSet) {
	fs.StringVar(&f.store, "store", defaultStore, "the `FILE` that the sidecar keeps jobs in: jobs.db in its --state-dir, or sqlite_path")
	fs.StringVar(&f.postgres, "postgres-dsn-file", "", "in the place of --store: a `FILE` with the connection string of a PostgreSQL database, for a user who is a member of the roles in deploy/postgres/roles.sql")
	f.declareOutput(fs)
}

// needStore refuses flags that name no store.
func (f *jobsFlags) needStore() error {
	if f.postgres != "" {
		return nil
	}
	return cli.NeedPath("--store", f.store)
}

// backup, restore and the others go to the store that the flags name.
func (f *jobsFlags) backup(ctx context.Context, to string) error {
	if f.postgres != "" {
		return store.Postgres(f.postgres).Backup(ctx, to)
	}
	return store.Backup(ctx, f.store, to)
}

func (f *jobsFlags) restore(ctx context.Context, from string) (where string, err error) {
	if f.postgres != "" {
		return "the database of " + f.postgres, store.Postgres(f.postgres).Restore(ctx, from)
	}
	return f.store, store.Restore(ctx, f.store, from)
}

func (f *jobsFlags) all(ctx context.Context) ([]store.Job, error) {
	if f.postgres != "" {
		return store.Postgres(f.postgres).List(ctx, f.limit)
	}
	return store.List(ctx, f.store, f.limit)
}

func (f *jobsFlags) verify(ctx context.Context) (store.Trail, error) {
	if f.postgres != "" {
		return store.Postgres(f.postgres).Verify(ctx, f.head)
	}
	return store.Verify(ctx, f.store, f.head)
}

func jobsCommand(out io.Writer) cli.Command {
	f := new(jobsFlags)
	return cli.Command{
		Name: "jobs",
		Short: "Looks after the jobs of sidecars, in the file or the database that they keep them in. list: shows them, the newest first. " +
			"backup FILE: writes a checked copy, also while sidecars work. restore FILE: puts such a copy in the store's place, which no sidecar may have open, or into an empty database. " +
			"migrate: makes the tables of a database, or brings them up to date.",
		Usage: "list | backup FILE | restore FILE | migrate",
		Flags: func(fs *flag.FlagSet) {
			f.declareStore(fs)
			fs.IntVar(&f.limit, "limit", 100, "how many `JOBS` are listed")
		},
		Run: func(ctx context.Context, args []string) error {
			if err := f.checkOutput(); err != nil {
				return err
			}
			if len(args) == 0 {
				return cli.Usagef("what: list, backup FILE, restore FILE or migrate")
			}
			switch what, rest := args[0], args[1:]; {
			case what == "list" && len(rest) == 0:
				return f.list(ctx, out)
			case what == "backup" && len(rest) == 1:
				if err := f.needStore(); err != nil {
					return err
				}
				if err := f.backup(ctx, rest[0]); err != nil {
					return err
				}
				return say(out, "%s: written and checked\n", rest[0])
			case what == "restore" && len(rest) == 1:
				if err := cli.NeedPath("restore", rest[0]); err != nil {
					return err
				}
				where, err := f.restore(ctx, rest[0])
				if err != nil {
					return err
				}
				return say(out, "%s: restored from %s and checked\n", where, rest[0])
			case what == "migrate" && len(rest) == 0:
				if f.postgres == "" {
					return cli.Usagef("migrate needs --postgres-dsn-file: a file's tables are brought up to date by the sidecar that opens it")
				}
				if err := store.Postgres(f.postgres).Migrate(ctx); err != nil {
					return err
				}
				return say(out, "the database of %s: its tables are those of this version\n", f.postgres)
			}
			return cli.Usagef("unknown: %q; it must be list, backup FILE, restore FILE or migrate", args)
		},
	}
}

func say(out io.Writer, format string, args ...any) error {
	_, err := fmt.Fprintf(out, format, args...)
	return err
}

func (f *jobsFlags) list(ctx context.Context, out io.Writer) error {
	if f.limit < 1 {
		return cli.Usagef("--limit %d: must be at least 1", f.limit)
	}
	if err := f.needStore(); err != nil {
		return err
	}
	jobs, err := f.all(ctx)
	if err != nil {
		return err
	}
	if f.output == outputJSON {
		return printJSON(out, shown(jobs))
	}
	lines := [][]string{{"JOB", "TENANT", "STATUS", "LINES", "COMPLETED", "FAILED", "ENDPOINT", "CREATED", "ENDED"}}
	for _, j := range shown(jobs) {
		lines = append(lines, []string{
			j.ID, j.Tenant[:min(8, len(j.Tenant))], string(j.Status), strconv.FormatInt(j.Lines, 10), strconv.FormatInt(j.Completed, 10),
			strconv.FormatInt(j.Failed, 10), j.Endpoint, j.Created, j.Ended,
		})
	}
	return columns(out, lines)
}

// jobView is what is shown of a job: nothing of what callers sent.
type jobView struct {
	ID        string       `json:"id"`
	Tenant    string       `json:"tenant"`
	Kind      store.Kind   `json:"kind"`
	Status    store.Status `json:"status"`
	Endpoint  string       `json:"endpoint"`
	Lines     int64        `json:"lines"`
	Completed int64        `json:"completed"`
	Failed    int64        `json:"failed"`
	Created   string       `json:"created"`
	Ended     string       `json:"ended,omitempty"`
}

func shown(jobs []store.Job) []jobView {
	out := make([]jobView, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		out[i] = jobView{
			ID: j.ID, Tenant: j.Tenant, Kind: j.Kind, Status: j.Status, Endpoint: j.Endpoint, Lines: j.Total, Completed: j.Completed,
			Failed: j.Failed, Created: j.Created.UTC().Format(time.RFC3339),
		}
		if !j.Ended.IsZero() {
			out[i].Ended = j.Ended.UTC().Format(time.RFC3339)
		}
	}
	return out
}

func auditCommand(out io.Writer) cli.Command {
	f := new(jobsFlags)
	return cli.Command{
		Name:  "audit",
		Short: "verify: goes along the audit trail in the file or the database that sidecars keep their jobs in, and names the first entry that has been changed or removed.",
		Usage: "verify",
		Flags: func(fs *flag.FlagSet) {
			f.declareStore(fs)
			fs.StringVar(&f.head, "head", "", "a `HASH` that was noted earlier and must be in the trail, which finds a trail that was written anew")
		},
		Run: func(ctx context.Context, args []string) error {
			if err := f.checkOutput(); err != nil {
				return err
			}
			if len(args) != 1 || args[0] != "verify" {
				return cli.Usagef("what: verify")
			}
			if err := f.needStore(); err != nil {
				return err
			}
			trail, err := f.verify(ctx)
			if err != nil {
				return err
			}
			if f.output == outputJSON {
				return printJSON(out, trail)
			}
			return say(out, "%d entries, each follows from the ones before it; head %s\n", trail.Entries, trail.Head)
		},
	}
}
