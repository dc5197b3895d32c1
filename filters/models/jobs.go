package models

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/fridaymesh/friday/filters/models/api"
	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/telemetry"
)

type endpoint = *proxy.Endpoint

// How servers are asked whether a model is there.
const (
	// askTimeout is how long one question may take.
	askTimeout = 10 * time.Second
	// firstLook to lastLook is between two questions while a model is loading. A caller
	// waits for the later half of it on average.
	firstLook, lastLook = 5 * time.Millisecond, 40 * time.Millisecond
	// settle is how long a server that has agreed to load or to unload may go on saying
	// that it has not begun.
	settle = 5 * time.Second
	// settleFailed is how long it may go on saying that an attempt before has failed.
	settleFailed = 250 * time.Millisecond
	// watched is how often a required model is asked about that is ready.
	watched = 5 * time.Second
)

// servers are the endpoints of the cluster.
func (f *fleet) servers() []endpoint {
	if find := f.endpoints.Load(); find != nil {
		return (*find)()
	}
	return nil
}

func (f *fleet) client(e endpoint) *api.Client {
	c := f.config.Load()
	return &api.Client{Endpoint: e, Management: c.Management, Health: c.Health}
}

// run has do done in a goroutine of its own, and then done by the loop, unless the job was
// given up.
func (f *fleet) run(v *version, limit time.Duration, do func(ctx context.Context) error, done func(err error)) {
	ctx, cancel := context.WithTimeout(f.ctx, limit)
	j := &job{cancel: cancel}
	v.job = j
	go func() {
		defer cancel()
		err := errors.New("panic")
		func() {
			defer func() {
				if p := recover(); p != nil {
					f.log.Error("panic in a model's job", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
				}
			}()
			err = do(ctx)
		}()
		if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("not done within %v: %w", limit, err)
		}
		f.post(func() {
			if v.job == j {
				v.job = nil
				done(err)
			}
		})
	}()
}

// each calls do for every server at once. Servers that cannot be reached are passed over
// as long as one can. It returns those for which there was no error.
func (f *fleet) each(ctx context.Context, do func(ctx context.Context, c *api.Client, a api.API) error) (at []endpoint, err error) {
	servers := f.servers()
	if len(servers) == 0 {
		return nil, errors.New("the cluster has no endpoint")
	}
	errs := make([]error, len(servers))
	var g errgroup.Group
	for i, e := range servers {
		g.Go(func() error {
			defer func() {
				if p := recover(); p != nil {
					errs[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			c := f.client(e)
			a, err := f.kind(ctx, c)
			if err == nil {
				err = do(ctx, c, a)
			}
			errs[i] = err
			return nil
		})
	}
	_ = g.Wait() // the errors are in errs
	for i, err := range errs {
		if err == nil {
			at = append(at, servers[i])
		}
	}
	for i, err := range errs {
		if err != nil && (len(at) == 0 || !unreachable(err)) {
			if len(servers) > 1 {
				err = fmt.Errorf("%s: %w", servers[i].Address, err)
			}
			return at, err
		}
	}
	return at, nil
}

// unreachable says that nothing was asked of the server.
func unreachable(err error) bool {
	pe, ok := errors.AsType[*proxy.Error](err)
	return ok && pe.Unsent
}

// kind is the API of the servers, found out with the first of them that answers.
func (f *fleet) kind(ctx context.Context, c *api.Client) (api.API, error) {
	if a := f.api.Load(); a != nil {
		return *a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := api.Probe(ctx, c)
	if err != nil {
		return nil, err
	}
	if f.api.CompareAndSwap(nil, &a) {
		f.log.Info("the server's way to load models was found out", zap.String("api", a.Name()))
	}
	return *f.api.Load(), nil
}

// probe asks the servers whether they have v.
func (f *fleet) probe(v *version) {
	var reports []api.Report
	asked := v.asked()
	f.run(v, askTimeout, func(ctx context.Context) error {
		all := make(chan api.Report, len(f.servers())+16)
		_, err := f.each(ctx, func(ctx context.Context, c *api.Client, a api.API) error {
			r, err := a.Status(ctx, c, asked)
			if err == nil {
				select {
				case all <- r:
				default:
				}
			}
			return err
		})
		close(all)
		for r := range all {
			reports = append(reports, r)
		}
		return err
	}, func(err error) { f.probed(v, reports, err) })
}

// probed heeds what the servers have said.
func (f *fleet) probed(v *version, reports []api.Report, err error) {
	v.checked = time.Now()
	m := v.model
	ok := err == nil && len(reports) > 0 && !slices.ContainsFunc(reports, func(r api.Report) bool { return r.State != api.Ready })
	was := v.state
	if was == ready && err != nil && !unreachable(err) {
		// It may only be busy: that is no reason to let nobody in.
		v.reason = err.Error()
		f.answer(v, true)
		return
	}
	if was == ready && !ok {
		m.shut()
		v.leaving.Store(false)
		v.eager = v.spec.Preload || v.spec.Required
		v.warmed, v.at = false, map[endpoint]bool{}
		f.world.note(f.cluster, m.name, record{})
		f.log.Info("the server does not have the model any more", zap.String(telemetry.FieldModel, m.name), zap.Error(err))
	}
	switch {
	case err != nil:
		v.fail(err)
	case ok && was == ready:
	case m.crowded(v): // what the server has is another version
		v.set(unloaded, "")
	case ok && f.mine(v):
		f.loaded(v)
	case ok:
		// What the server has is a version of before a restart.
		old := m.newVersion(v.spec)
		old.id, old.ours, old.resident, old.why = "", false, true, "replaced"
		m.going = append(m.going, old)
		v.set(unloaded, "")
		f.goOn(m, time.Now())
	case slices.ContainsFunc(reports, func(r api.Report) bool { return r.State == api.Loading || r.State == api.Ready }):
		f.start(v) // it has begun by itself
	default:
		v.resident = false
		v.set(unloaded, reports[0].Reason)
	}
	f.answer(v, v.state == ready)
}

// mine says whether what the server has under the model's name is v. Where it knows
// versions, it was asked about this one.
func (f *fleet) mine(v *version) bool {
	was := f.world.was(f.cluster, v.model.name)
	if a := f.api.Load(); a != nil && (*a).Versions() && v.name != "" && was.Name != v.name {
		return true
	}
	return was.Version == "" || was.Version == v.id
}

// answer tells those who have had an answer that may mean that the server is not ready.
func (f *fleet) answer(v *version, isReady bool) {
	for _, c := range v.asking {
		c <- isReady // there is room for it
	}
	v.asking = nil
}

// fetch brings the source to where the server looks for it.
func (f *fleet) fetch(v *version) {
	v.set(fetching, "")
	repository, to, source := f.config.Load().Repository, v.path, v.spec.Source
	began, before := time.Now(), v.progress.Done.Load()
	var bytes int64
	f.run(v, time.Hour*24, func(ctx context.Context) (err error) {
		bytes, err = source.Fetch(ctx, repository, to, &v.progress)
		return err
	}, func(err error) {
		f.metrics.ModelFetched.WithLabelValues(f.cluster, v.model.name).Add(float64(max(0, v.progress.Done.Load()-before)))
		if err != nil {
			f.failedTo("fetch", v, err)
			return
		}
		f.took(v, fetching, began)
		v.fetched = true
		if v.bytes == 0 {
			v.bytes = uint64(max(0, bytes)) // #nosec G115 -- not negative
		}
		v.set(unloaded, "")
	})
}

func (f *fleet) failedTo(do string, v *version, err error) {
	v.fail(err)
	f.metrics.ModelLoads.WithLabelValues(f.cluster, v.model.name, "failed").Inc()
	f.log.Warn("model failed to "+do, zap.String(telemetry.FieldModel, v.model.name), zap.String(telemetry.FieldVersion, v.name),
		zap.Int("attempts", v.attempts), zap.Duration("again_in", time.Until(v.retryAt)), zap.Error(err))
}

func (f *fleet) took(v *version, phase state, began time.Time) {
	f.metrics.ModelLoadSeconds.WithLabelValues(f.cluster, v.model.name, string(phase)).Observe(time.Since(began).Seconds())
}

// seen notes which servers there were when v was loaded.
func (v *version) seen(servers []endpoint) {
	clear(v.at)
	for _, e := range servers {
		v.at[e] = true
	}
}

// start has every server load v that has not, and waits until all have.
func (f *fleet) start(v *version) {
	if v.state != ready { // else there is another server
		v.set(loading, "")
	}
	v.resident = true
	asked := v.asked()
	began := time.Now()
	loads := make(chan struct{}, 1024)
	var at []endpoint
	f.run(v, f.config.Load().LoadTimeout, func(ctx context.Context) (err error) {
		at, err = f.each(ctx, func(ctx context.Context, c *api.Client, a api.API) error { return load(ctx, c, a, asked, loads) })
		return err
	}, func(err error) {
		v.loads += uint64(len(loads)) // #nosec G115 -- a length
		v.seen(f.servers())           // one that did not do it tells so by its answers
		switch {
		case v.state == ready && err != nil:
			f.log.Warn("a server has not loaded the model", zap.String(telemetry.FieldModel, v.model.name), zap.Error(err))
			v.reason = err.Error()
		case v.state == ready:
		case err != nil:
			v.resident = len(at) > 0
			f.failedTo("load", v, err)
		default:
			f.took(v, loading, began)
			v.model.took.Store(int64(time.Since(began)))
			f.loaded(v)
		}
	})
}

// load has one server load a model and returns when it has.
func load(ctx context.Context, c *api.Client, a api.API, m api.Model, loads chan<- struct{}) error {
	r, err := a.Status(ctx, c, m)
	if err != nil || r.State == api.Ready {
		return err
	}
	if r.State != api.Loading {
		select {
		case loads <- struct{}{}:
		default:
		}
		if err := a.Load(ctx, c, m); err != nil {
			return err
		}
	}
	began := time.Now()
	for wait := firstLook; ; wait = min(wait*5/4, lastLook) {
		r, err := a.Status(ctx, c, m)
		switch {
		case err != nil && !unreachable(err):
			return err
		case err == nil && r.State == api.Ready:
			return nil
		case err == nil && (r.State == api.Failed && time.Since(began) > settleFailed || r.State == api.Unloaded && time.Since(began) > settle):
			return fmt.Errorf("the server has agreed to load it, and says that it is %s: %s", r.State, r.Reason)
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// loaded warms a version that the servers have.
func (f *fleet) loaded(v *version) {
	v.resident = true
	requests := v.spec.Warmup
	recorded := len(requests) == 0
	if recorded {
		requests = v.model.records.kept()
	}
	if v.warmed || len(requests) == 0 || f.world.was(f.cluster, v.model.name).Version == v.id && v.loads == 0 {
		f.isReady(v)
		return
	}
	v.set(warming, "")
	began := time.Now()
	f.run(v, f.config.Load().LoadTimeout, func(ctx context.Context) error {
		_, err := f.each(ctx, func(ctx context.Context, c *api.Client, a api.API) error { return f.warm(ctx, c, a, v, requests) })
		return err
	}, func(err error) {
		switch {
		case err != nil && recorded: // they came with credentials, which are not kept
			f.log.Info("a recorded request failed to warm the model up", zap.String(telemetry.FieldModel, v.model.name), zap.Error(err))
		case err != nil:
			f.failedTo("warm up", v, err)
			return
		}
		f.took(v, warming, began)
		v.warmed = true
		f.isReady(v)
	})
}

// warm sends the requests to one server, one after the other.
func (f *fleet) warm(ctx context.Context, c *api.Client, a api.API, v *version, requests []Warmup) error {
	for i, w := range requests {
		path, method := w.Path, http.MethodPost
		if a.Versions() && v.name != "" {
			path, _ = api.Pin(path, v.model.name, url.PathEscape(v.name))
		}
		var body []byte
		if body = []byte(w.Body); len(body) == 0 {
			body, method = nil, http.MethodGet
		}
		for range w.Times {
			status, answer, err := c.Send(ctx, method, path, w.ContentType, body)
			if err != nil {
				return fmt.Errorf("warmup[%d]: %w", i, err)
			}
			if status >= http.StatusBadRequest {
				return fmt.Errorf("warmup[%d]: %s %s: status %d: %.300q", i, method, path, status, answer)
			}
		}
	}
	return nil
}

// isReady opens a version to requests.
func (f *fleet) isReady(v *version) {
	m := v.model
	v.attempts, v.retryAt, v.reason = 0, time.Time{}, ""
	v.readyAt = time.Now()
	v.set(ready, "")
	v.seen(f.servers())
	f.metrics.ModelLoads.WithLabelValues(f.cluster, m.name, "ok").Inc()
	f.log.Info("model ready", zap.String(telemetry.FieldModel, m.name), zap.String(telemetry.FieldVersion, v.name))
	if v == m.next {
		m.next = nil
		m.shift(v)
		return
	}
	m.open()
}

// unload has the servers let go of a version that is idle.
func (f *fleet) unload(v *version) {
	m := v.model
	gone := v != m.current
	asked := v.asked()
	if !slices.ContainsFunc(m.versions(), func(o *version) bool { return o != v && o.resident }) {
		asked.Version = "" // the last of them: the model itself goes
	}
	f.run(v, f.config.Load().LoadTimeout, func(ctx context.Context) error {
		_, err := f.each(ctx, func(ctx context.Context, c *api.Client, a api.API) error { return unload(ctx, c, a, asked) })
		if err == nil && gone && v.ours {
			err = os.RemoveAll(v.path)
		}
		return err
	}, func(err error) {
		switch {
		case errors.Is(err, api.ErrCannot):
			f.fixed = true
			if !gone { // it stays
				v.set(ready, "")
				m.open()
				return
			}
		case err != nil && !unreachable(err):
			v.attempts++
			v.reason = err.Error()
			v.retryAt = time.Now().Add(pause(v.attempts))
			f.log.Warn("model not unloaded", zap.String(telemetry.FieldModel, m.name), zap.Error(err))
			return
		default:
			v.unloads++
			f.metrics.ModelUnloads.WithLabelValues(f.cluster, m.name, v.why).Inc()
			f.log.Info("model unloaded", zap.String(telemetry.FieldModel, m.name), zap.String(telemetry.FieldVersion, v.name), zap.String("reason", v.why))
		}
		v.resident, v.warmed, v.attempts, v.retryAt, v.reason = false, false, 0, time.Time{}, ""
		v.leaving.Store(false)
		v.set(unloaded, "")
		m.going = slices.DeleteFunc(m.going, func(o *version) bool { return o == v })
		if !gone {
			f.world.note(f.cluster, m.name, record{})
		}
	})
}

// unload has one server let go of a model and returns when it has.
func unload(ctx context.Context, c *api.Client, a api.API, m api.Model) error {
	if err := a.Unload(ctx, c, m); err != nil {
		return err
	}
	if m.Version != "" && m.Path == "" {
		return nil // the server keeps it
	}
	began := time.Now()
	for time.Since(began) < settle {
		r, err := a.Status(ctx, c, m)
		if err != nil || r.State != api.Ready {
			return err
		}
		if err := sleep(ctx, lastLook); err != nil {
			return err
		}
	}
	return errors.New("the server has agreed to unload it, and still has it")
}
