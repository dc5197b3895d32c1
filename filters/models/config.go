package models

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/fridaymesh/friday/filters/models/api"
	"github.com/fridaymesh/friday/filters/models/artefact"
	modelsv1 "github.com/fridaymesh/friday/xds/api/friday/filters/http/models/v1"
	"github.com/fridaymesh/friday/xds/api/settings"
)

// The defaults of [modelsv1.Models], and what bounds its fields.
const (
	defaultHoldTimeout  = time.Minute
	defaultMaxHeld      = 256
	defaultMaxHeldBytes = 64 << 20
	defaultResidence    = 30 * time.Second
	defaultKeepPrevious = time.Minute
	defaultLoadTimeout  = 10 * time.Minute
	defaultManagement   = 8081
	defaultHealth       = "/health"
	minIdleTTL          = time.Second
	maxTimes            = 1000
	maxRecords          = 32
	maxModels           = 1000
	maxNameLength       = 256
)

// Config is a parsed [modelsv1.Models] with the defaults filled in. It is immutable.
type Config struct {
	// API is nil where it is to be found out.
	API    api.API
	Models []*ModelConfig

	HoldTimeout  time.Duration
	MaxHeld      int
	MaxHeldBytes int64
	// Budget is in bytes; 0: none.
	Budget                                  uint64
	MinResidence, KeepPrevious, LoadTimeout time.Duration
	Repository                              string
	Management                              uint32
	Health                                  string
	Disabled                                bool

	// id is equal for equal configurations only.
	id string
}

// ModelConfig is one model of a Config.
type ModelConfig struct {
	Name, Version string
	// Source is nil where the server has the model.
	Source            *artefact.Source
	Preload, Required bool
	Warmup            []Warmup
	Bytes             uint64
	IdleTTL           time.Duration // 0: never
	Priority          int32
	Record            int // requests that are kept for warming up

	// id is equal for what is loaded in the same way: version, source and sum.
	id string
}

// Warmup is a request that is sent so many times.
type Warmup struct {
	Path, Body, ContentType string
	Times                   int
}

// parse is the factory's Parse on the message itself.
func parse(m *modelsv1.Models) (*Config, error) {
	if err := settings.RefuseUnknown(m.ProtoReflect()); err != nil {
		return nil, err
	}
	c := &Config{
		MaxHeld: defaultMaxHeld, MaxHeldBytes: defaultMaxHeldBytes, Budget: m.GetMemoryBudgetBytes(), Repository: m.GetRepository(),
		Management: defaultManagement, Health: defaultHealth, Disabled: m.GetDisabled(),
	}
	name, ok := modelsv1.Models_Api_name[int32(m.GetApi())]
	if !ok {
		return nil, fmt.Errorf("api: %d: not a value of Api", m.GetApi())
	}
	c.API = api.Named(name)
	for _, d := range []struct {
		field  string
		given  *durationpb.Duration
		to     *time.Duration
		absent time.Duration
	}{
		{"hold_timeout", m.GetHoldTimeout(), &c.HoldTimeout, defaultHoldTimeout},
		{"min_residence", m.GetMinResidence(), &c.MinResidence, defaultResidence},
		{"keep_previous", m.GetKeepPrevious(), &c.KeepPrevious, defaultKeepPrevious},
		{"load_timeout", m.GetLoadTimeout(), &c.LoadTimeout, defaultLoadTimeout},
	} {
		var err error
		if *d.to, err = settings.Duration(d.field, d.given, d.absent); err != nil {
			return nil, err
		}
	}
	if c.LoadTimeout == 0 {
		return nil, errors.New("load_timeout: 0s: must be positive")
	}
	if v := m.GetMaxHeldRequests(); v != nil {
		c.MaxHeld = int(v.GetValue())
	}
	if v := m.GetMaxHeldBytes(); v != nil {
		c.MaxHeldBytes = int64(min(v.GetValue(), math.MaxInt64)) // #nosec G115 -- bounded
	}
	if p := m.GetManagementPort(); p != 0 {
		if p > math.MaxUint16 {
			return nil, fmt.Errorf("management_port: %d: must be at most %d", p, math.MaxUint16)
		}
		c.Management = p
	}
	if p := m.GetHealthPath(); p != "" {
		if !strings.HasPrefix(p, "/") || strings.ContainsAny(p, " \r\n\t") {
			return nil, fmt.Errorf("health_path: %q: must begin with / and hold no white space", p)
		}
		c.Health = p
	}
	if c.Repository != "" && !filepath.IsAbs(c.Repository) {
		return nil, fmt.Errorf("repository: %q: must be an absolute path", c.Repository)
	}
	if err := c.addModels(m.GetModels()); err != nil {
		return nil, err
	}
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	c.id = digest(string(text))
	return c, nil
}

func digest(text string) string {
	h := sha256.Sum256([]byte(text))
	return hex.EncodeToString(h[:])[:16]
}

func (c *Config) addModels(all []*modelsv1.Models_Model) error {
	if len(all) > maxModels {
		return fmt.Errorf("models: %d: must be at most %d", len(all), maxModels)
	}
	names := make(map[string]int, len(all))
	for i, m := range all {
		at := fmt.Sprintf("models[%d]", i)
		if other, twice := names[m.GetName()]; twice {
			return fmt.Errorf("%s.name: %q: is the name of models[%d]", at, m.GetName(), other)
		}
		names[m.GetName()] = i
		mc, err := c.model(m)
		if err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		c.Models = append(c.Models, mc)
	}
	return nil
}

// model reads one model. Errors begin with the field.
func (c *Config) model(m *modelsv1.Models_Model) (*ModelConfig, error) {
	out := &ModelConfig{
		Name: m.GetName(), Version: m.GetVersion(), Preload: m.GetPreload(), Required: m.GetRequired(), Bytes: m.GetBytes(),
		Priority: m.GetPriority(), Record: int(m.GetRecordWarmup()), id: digest(strings.Join([]string{m.GetVersion(), m.GetSource(), m.GetSha256()}, "\n")),
	}
	switch {
	case out.Name == "" || len(out.Name) > maxNameLength || strings.ContainsAny(out.Name, "?#\r\n"):
		return nil, fmt.Errorf("name: %q: must be 1 to %d letters, none of them ?, # or a line's end", out.Name, maxNameLength)
	case !folder(out.Version) && out.Version != "":
		return nil, fmt.Errorf("version: %q: must be letters, digits, dots, dashes and underscores", out.Version)
	case m.GetSha256() != "" && m.GetSource() == "":
		return nil, fmt.Errorf("sha256: %q: is of a source, and there is none", m.GetSha256())
	case m.GetRecordWarmup() > maxRecords:
		return nil, fmt.Errorf("record_warmup: %d: must be at most %d", m.GetRecordWarmup(), maxRecords)
	case c.Budget > 0 && out.Bytes > c.Budget:
		return nil, fmt.Errorf("bytes: %d: is more than memory_budget_bytes, %d", out.Bytes, c.Budget)
	}
	var err error
	if out.IdleTTL, err = settings.Duration("idle_ttl", m.GetIdleTtl(), 0); err != nil {
		return nil, err
	}
	if out.IdleTTL > 0 && out.IdleTTL < minIdleTTL {
		return nil, fmt.Errorf("idle_ttl: %v: must be at least %v", out.IdleTTL, minIdleTTL)
	}
	if err := c.source(out, m); err != nil {
		return nil, err
	}
	for i, w := range m.GetWarmup() {
		if out.Warmup, err = addWarmup(out.Warmup, w); err != nil {
			return nil, fmt.Errorf("warmup[%d].%w", i, err)
		}
	}
	return out, nil
}

// source reads where a model comes from, and finds out whether it can be brought there.
func (c *Config) source(out *ModelConfig, m *modelsv1.Models_Model) (err error) {
	if m.GetSource() == "" {
		return nil
	}
	out.id = digest(out.id + c.Repository)
	if out.Source, err = artefact.Parse(m.GetSource(), m.GetSha256()); err != nil {
		return err
	}
	switch {
	case c.API == (api.Ollama{}), c.API == (api.LlamaCpp{}):
		return fmt.Errorf("source: %q: the server loads from a store of its own (api: %s)", m.GetSource(), c.API.Name())
	case c.API == (api.TorchServe{}) && (c.Repository != "" || m.GetSha256() != ""):
		return fmt.Errorf("source: %q: TorchServe fetches by itself: leave out repository and sha256", m.GetSource())
	case c.API == (api.TorchServe{}), c.API == (api.VLLM{}) && out.Source.Local() != "":
	case c.Repository == "":
		return fmt.Errorf("source: %q: needs repository, the folder in which the server finds its models", m.GetSource())
	case !folder(out.Name):
		return fmt.Errorf("name: %q: with a source it is a folder's, too: letters, digits, dots, dashes and underscores", out.Name)
	}
	return nil
}

// folder says whether a name can be that of a folder.
func folder(name string) bool {
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("._-", r) {
			return false
		}
	}
	return name != "" && !strings.HasPrefix(name, ".")
}

func addWarmup(all []Warmup, w *modelsv1.Models_Warmup) ([]Warmup, error) {
	out := Warmup{Path: w.GetPath(), Body: w.GetBody(), ContentType: w.GetContentType(), Times: max(1, int(w.GetTimes()))}
	switch {
	case !strings.HasPrefix(out.Path, "/") || strings.ContainsAny(out.Path, " \r\n\t"):
		return nil, fmt.Errorf("path: %q: must begin with / and hold no white space", out.Path)
	case out.Times > maxTimes:
		return nil, fmt.Errorf("times: %d: must be at most %d", out.Times, maxTimes)
	case !httpguts.ValidHeaderFieldValue(out.ContentType):
		return nil, fmt.Errorf("content_type: %q: not a header's value", out.ContentType)
	}
	if out.ContentType == "" {
		out.ContentType = "application/json"
	}
	return append(all, out), nil
}
