package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/fridaymesh/friday/proxy/telemetry"
)

// A state file is a line, the SHA-256 of what follows, and a
// service.status.v3.ClientConfig in binary.
const (
	stateMagic = "friday state 1\n"
	// saveDelay gathers the changes that come close together, and saveShare bounds
	// what writing takes: after a write that took a time, so many times that long
	// passes before the next. A large configuration that changes all the time must
	// not keep the disk and a core busy.
	saveDelay = 200 * time.Millisecond
	saveShare = 50
	// maxSaveDelay bounds that.
	maxSaveDelay = 10 * time.Second
)

// errCorrupt says that a state file is none, or damaged.
var errCorrupt = errors.New("corrupt")

// save has s written soon. It does not block.
func (c *Client) save(s *state) {
	if c.opts.StateFile == "" {
		return
	}
	for {
		select {
		case c.saves <- s:
			return
		default:
		}
		select {
		case <-c.saves: // an older one
		default:
		}
	}
}

// Resave writes the state file once more: another process may have written it. It does
// not block.
func (c *Client) Resave() {
	if s := c.state.Load(); s.complete {
		c.save(s)
	}
}

// keep writes what save hands over until ctx ends.
func (c *Client) keep(ctx context.Context) {
	delay := saveDelay
	for {
		select {
		case <-ctx.Done():
			// What came last is still written.
			select {
			case s := <-c.saves:
				c.write(s)
			default:
			}
			return
		case s := <-c.saves:
			timer := time.NewTimer(delay)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
			select {
			case s = <-c.saves:
			default:
			}
			began := time.Now()
			c.write(s)
			delay = min(max(saveDelay, saveShare*time.Since(began)), maxSaveDelay)
		}
	}
}

func (c *Client) write(s *state) {
	if err := writeFile(c.opts.StateFile, encodeState(s)); err != nil {
		c.log.Error("the last good configuration could not be kept", zap.String("file", c.opts.StateFile), zap.Error(err))
	}
}

// encodeState writes what is in force, which is what a restart has to serve; what
// is newer and still warming comes again from the control plane.
func encodeState(s *state) []byte {
	m := new(statusv3.ClientConfig)
	force := s.inForce()
	for k := range kinds {
		for _, name := range slices.Sorted(maps.Keys(force[k])) {
			i := force[k][name]
			if i.raw == nil || i.ttl > 0 { // made up here, or meant not to last
				continue
			}
			m.GenericXdsConfigs = append(m.GenericXdsConfigs, &statusv3.ClientConfig_GenericXdsConfig{
				TypeUrl: k.typeURL(), Name: name, VersionInfo: i.version, XdsConfig: i.raw, LastUpdated: timestamppb.New(i.updated),
			})
		}
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // only invalid UTF-8 could do that, which was never decoded
		data = nil
	}
	return seal(data)
}

// seal is data as a file has it.
func seal(data []byte) []byte {
	sum := sha256.Sum256(data)
	return slices.Concat([]byte(stateMagic), sum[:], data)
}

// inForce are the resources that serve, by kind and name, but for secrets: private
// keys are not written to disk, and their server is asked again.
func (s *state) inForce() (out [kinds]map[string]*item) {
	out[lds], out[rds] = make(map[string]*item, len(s.listeners)), s.tables
	out[cds], out[eds] = make(map[string]*item, len(s.clusters)), map[string]*item{}
	out[ecds] = map[string]*item{}
	for name, l := range s.listeners {
		out[lds][name] = l.item
		for _, use := range l.listener().Extensions {
			if i := s.known[ecds].items[use.Name]; i != nil {
				out[ecds][use.Name] = i
			}
		}
	}
	for name, c := range s.clusters {
		out[cds][name] = c.item
		if c.source != nil {
			out[eds][c.source.endpoints().Name] = c.source
		}
	}
	return out
}

// decodeState is pure; what it returns has been checked as a whole only.
func decodeState(data []byte) (*statusv3.ClientConfig, error) {
	rest, ok := bytes.CutPrefix(data, []byte(stateMagic))
	if !ok || len(rest) < sha256.Size {
		return nil, fmt.Errorf("%w: not a state file", errCorrupt)
	}
	body := rest[sha256.Size:]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], rest[:sha256.Size]) {
		return nil, fmt.Errorf("%w: wrong checksum", errCorrupt)
	}
	m := new(statusv3.ClientConfig)
	if err := proto.Unmarshal(body, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return m, nil
}

// restore puts the last good configuration in force, if there is one. What is
// wrong with it is logged and otherwise ignored: the control plane has the
// truth.
func (c *Client) restore() {
	log := c.log.With(zap.String("file", c.opts.StateFile))
	info, err := os.Stat(c.opts.StateFile)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var data []byte
	if err == nil && info.Size() > 2*maxResponse {
		err = fmt.Errorf("%w: %d bytes", errCorrupt, info.Size())
	}
	if err == nil {
		data, err = os.ReadFile(c.opts.StateFile)
	}
	var m *statusv3.ClientConfig
	if err == nil {
		m, err = decodeState(data)
	}
	if err != nil {
		log.Error("the last good configuration cannot be read", zap.Error(err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.state.Load().clone()
	if err := next.restore(m); err != nil {
		log.Warn("parts of the last good configuration are not understood any more", zap.Error(err))
	}
	if len(next.known[lds].items) == 0 {
		log.Info("the last good configuration has no listeners")
		return
	}
	if err := c.apply(next); err != nil {
		log.Error("the last good configuration was refused", zap.Error(err))
		return
	}
	c.commit(next)
	log.Info("serving the last good configuration of "+info.ModTime().UTC().Format(time.RFC3339),
		zap.Int(telemetry.FieldListener+"s", len(next.listeners)), zap.Int(telemetry.FieldCluster+"s", len(next.clusters)))
}

// restore takes what m holds. Endpoints that are missing are not waited for. The
// versions are not restored: a control plane that has counted from one again
// could mean another configuration by the same number.
func (s *state) restore(m *statusv3.ClientConfig) error {
	var errs []error
	for _, g := range m.GetGenericXdsConfigs() {
		k, ok := kindOf(g.GetTypeUrl())
		if !ok {
			continue
		}
		name, p, err := s.parser.ParseAny(k.typeURL(), g.GetXdsConfig())
		switch {
		case err != nil:
			errs = append(errs, err)
			continue
		case name == "" || k == sds || s.taken(k, name):
			continue
		}
		i := &item{raw: g.GetXdsConfig(), version: g.GetVersionInfo(), updated: g.GetLastUpdated().AsTime(), parsed: p}
		s.known[k].items[name] = i
		s.stale = true
	}
	s.want()
	for k := range s.wanted {
		if s.held(k) == nil && (k.kind == eds || k.kind == ecds) {
			s.without[k] = true
		}
	}
	s.settle(time.Time{})
	s.complete = true
	return errors.Join(errs...)
}

// writeFile replaces path with data so that after a crash there is the old or
// the new file, whole.
func writeFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreNotExist(os.Remove(f.Name())))
		}
	}()
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir) // #nosec G304 -- the operator names the folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ignoreNotExist(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
