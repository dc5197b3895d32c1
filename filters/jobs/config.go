package jobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/fridaymesh/friday/filters/jobs/pipeline"
	"github.com/fridaymesh/friday/filters/jobs/store"
	jobsv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/jobs/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// The defaults of [jobsv1.Jobs], and what bounds its fields.
const (
	defaultAttempts     = 5
	maxAttempts         = 100
	defaultRetention    = 720 * time.Hour
	minRetention        = time.Hour
	maxConcurrency      = 4096
	defaultTenantHeader = "authorization"
)

// Config is a parsed [jobsv1.Jobs] with the defaults filled in. It is immutable.
type Config struct {
	// SQLitePath is the store's file; empty: jobs.db where the process keeps files, unless
	// PostgresDSNFile says where PostgreSQL is.
	SQLitePath, PostgresDSNFile string
	// Concurrency is how many lines run at once; 0: found by trying.
	Concurrency int
	MaxAttempts int
	Retention   time.Duration
	// TenantHeader is in lower case.
	TenantHeader string
	// Pipelines are by name.
	Pipelines map[string]*pipeline.Pipeline
	Disabled  bool
}

// maxPipelines bounds them.
const maxPipelines = 100

// parse is the factory's Parse on the message itself.
func parse(m *jobsv1.Jobs) (*Config, error) {
	if err := settings.RefuseUnknown(m.ProtoReflect()); err != nil {
		return nil, err
	}
	c := &Config{
		SQLitePath: m.GetStore().GetSqlitePath(), MaxAttempts: defaultAttempts, TenantHeader: defaultTenantHeader, Disabled: m.GetDisabled(),
	}
	switch kind := m.GetStore().GetKind().(type) {
	case *jobsv1.Jobs_Store_PostgresDsnFile:
		if kind.PostgresDsnFile == "" || strings.Contains(kind.PostgresDsnFile, "\x00") {
			return nil, fmt.Errorf("store.postgres_dsn_file: %q: must be the path of a file with a connection string", kind.PostgresDsnFile)
		}
		c.PostgresDSNFile = kind.PostgresDsnFile
	case *jobsv1.Jobs_Store_SqlitePath:
		if kind.SqlitePath == "" || strings.ContainsAny(kind.SqlitePath, "\x00?#") {
			return nil, fmt.Errorf("store.sqlite_path: %q: must be the path of a file, without ? and #", kind.SqlitePath)
		}
	}
	if f := m.GetWebhookSecretFile(); f != "" {
		return nil, fmt.Errorf("webhook_secret_file: %q: webhooks are not supported yet: poll for the status", f)
	}
	if v := m.GetConcurrency(); v != nil {
		if v.GetValue() < 1 || v.GetValue() > maxConcurrency {
			return nil, fmt.Errorf("concurrency: %d: must be 1 to %d", v.GetValue(), maxConcurrency)
		}
		c.Concurrency = int(v.GetValue())
	}
	if n := m.GetMaxAttempts(); n > 0 {
		if n > maxAttempts {
			return nil, fmt.Errorf("max_attempts: %d: must be at most %d", n, maxAttempts)
		}
		c.MaxAttempts = int(n)
	}
	var err error
	if c.Retention, err = settings.Duration("retention", m.GetRetention(), defaultRetention); err != nil {
		return nil, err
	}
	if c.Retention < minRetention {
		return nil, fmt.Errorf("retention: %v: must be at least %v", c.Retention, minRetention)
	}
	if len(m.GetPipelines()) > maxPipelines {
		return nil, fmt.Errorf("pipelines: more than %d", maxPipelines)
	}
	for i, one := range m.GetPipelines() {
		p, err := pipeline.Parse(one)
		if err != nil {
			return nil, fmt.Errorf("pipelines[%d].%w", i, err)
		}
		if c.Pipelines[p.Name] != nil {
			return nil, fmt.Errorf("pipelines[%d].name: %q: stands twice", i, p.Name)
		}
		if c.Pipelines == nil {
			c.Pipelines = map[string]*pipeline.Pipeline{}
		}
		c.Pipelines[p.Name] = p
	}
	if h := m.GetTenantHeader(); h != "" {
		if !httpguts.ValidHeaderFieldName(h) {
			return nil, fmt.Errorf("tenant_header: %q: not a header name", h)
		}
		c.TenantHeader = strings.ToLower(h)
	}
	return c, nil
}

// place is where the store is.
func (c *Config) place(stateDir string) (place, error) {
	switch {
	case c.PostgresDSNFile != "":
		return place{postgres: c.PostgresDSNFile}, nil
	case c.SQLitePath != "":
		return place{path: c.SQLitePath}, nil
	case stateDir == "":
		return place{}, errors.New("store: sqlite_path or postgres_dsn_file is needed, since the process runs without --state-dir")
	}
	return place{path: strings.TrimSuffix(stateDir, "/") + "/jobs.db"}, nil
}

// place is where a store is: a file, or a database whose connection string stands in one.
type place struct{ path, postgres string }

func (p place) String() string {
	if p.postgres != "" {
		return "postgres " + p.postgres
	}
	return p.path
}

func (p place) open(ctx context.Context) (*store.Store, error) {
	if p.postgres != "" {
		return store.Postgres(p.postgres).Open(ctx)
	}
	return store.Open(ctx, p.path)
}
