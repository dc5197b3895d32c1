package cache

import (
	"bytes"
	"context"
	"time"

	"github.com/fridaymesh/friday/filters/inference"
	"github.com/fridaymesh/friday/proxy"
)

// serveItems answers a request item by item: from the store, from the calls of others,
// and the rest by a call of its own. Where it cannot be put together so, the request
// goes on as it came: its answer is the one that the caller would have got.
func (l *lookup) serveItems(ctx context.Context, call *inference.Call) (*proxy.Response, error) {
	keys := itemKeys(&l.base, call)
	a := l.ask(call.Model)
	c := l.filter.state.claim(ctx, keys, a)
	defer func() { c.leave(context.Cause(ctx)) }()
	if len(c.renew) > 0 {
		if f, mine := l.filter.state.renewal(keys, c.renew, a); f != nil {
			l.sendItems(f, call.Select(mine))
			f.release() //nolint:contextcheck // nobody waits for it
		}
	}
	if c.lead != nil {
		body := bytes.Clone(call.Body)
		if len(c.mine) < call.Items {
			body = call.Select(c.mine)
		}
		l.sendItems(c.lead, body)
		if !c.lead.wait(ctx) {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
		l.trace(&c.lead.out)
	}
	for _, f := range c.joined {
		if !l.await(ctx, f) {
			return nil, proxy.AsError(ctx, context.Cause(ctx))
		}
	}
	if a.known && c.missing > 0 {
		return nil, l.unknown()
	}
	return l.assemble(ctx, call, keys, c)
}

// sendItems sends the call for a flight's items.
func (l *lookup) sendItems(f *flight, body []byte) {
	own := detach(l.req, body)
	rest, err := inference.Of(own, maxCallBytes)
	if err != nil || rest == nil || rest.Items != len(f.keys) {
		rest = nil // its answer is nobody else's
	}
	f.launch(own, l.next, func(resp *proxy.Response, took time.Duration) {
		defer resp.Close() //nolint:errcheck // read to the end, or given up
		began := time.Now()
		out := outcome{head: copyHead(&resp.Header)}
		var err error
		out.body, err = readAll(resp.Body, maxAnswerBytes)
		out.trace = own.Trace
		took += time.Since(began)
		switch {
		case err == errTooLong: //nolint:errorlint // a mark of this package, never wrapped
			f.land(outcome{again: true})
			return
		case err != nil:
			f.land(outcome{err: cut(f.ctx, err), trace: own.Trace})
			return
		}
		out.trailer = resp.Body.Trailer()
		says := l.filter.says(&resp.Header)
		out.alone = says.alone
		if rest != nil && says.plain && out.trailer == nil {
			out.entries = l.cutItems(f, rest, &out, &says, took)
			f.keep(out.entries)
		}
		f.land(out)
	})
}

// cutItems makes entries of a good answer; nil where it is none, or cannot be cut.
func (l *lookup) cutItems(f *flight, rest *inference.Call, out *outcome, says *says, took time.Duration) []*entry {
	if out.head.StatusCode() != 200 {
		return nil
	}
	if _, err := inference.TellsJSON(out.head, out.body); err != nil {
		return nil
	}
	answers, err := inference.SplitItems(rest, out.body)
	if err != nil {
		return nil
	}
	config := l.filter.config
	kept, size := f.state.intern(keptHead(out.head, true))
	entries := make([]*entry, len(answers))
	version := versionOf(out.body, false)
	f.state.learn(subject{f.cluster, f.model}, version)
	now := time.Now()
	for i, answer := range answers {
		entries[i] = &entry{
			head: kept, headBytes: size, body: clip(answer), model: f.model, version: version,
			stored: now, age: says.age, fresh: says.fresh(config.TTL), took: took / time.Duration(len(answers)),
		}
		size = 0 // it counts once
	}
	return entries
}

// assemble puts the answer together.
func (l *lookup) assemble(ctx context.Context, call *inference.Call, keys []key, c *claim) (*proxy.Response, error) {
	l.countItems(c)
	parts, what := c.found, hit
	if len(c.renew) > 0 {
		what = stale
	}
	if c.lead != nil || len(c.joined) > 0 {
		parts = make([]*entry, len(keys))
	}
	switch {
	case c.lead != nil && len(c.mine) == call.Items:
		out := &c.lead.out
		if !out.failed() || c.stale == nil {
			return l.asItCame(ctx, out, miss)
		}
		what = miss
	case c.lead != nil:
		what = partial
	case len(c.joined) == 1 && c.joined[0].sameAs(keys, c):
		out := &c.joined[0].out
		if out.alone || out.again {
			return l.pass(ctx, miss)
		}
		if out.entries == nil && (!out.failed() || c.stale == nil) {
			return l.asItCame(ctx, out, coalesced)
		}
		what = coalesced
	case len(c.joined) > 0:
		what = coalesced
	}
	for i := range parts {
		switch {
		case c.found[i] != nil:
			parts[i] = c.found[i]
			continue
		case c.seats == nil:
			continue
		}
		s := c.seats[i]
		out := &s.flight.out
		switch {
		case out.entries != nil && (!out.alone || s.flight == c.lead):
			parts[i] = out.entries[s.at]
		case out.failed() && c.stale != nil && c.stale[i] != nil:
			parts[i], what = c.stale[i], stale
		case len(c.mine) == call.Items, s.flight == c.lead && !out.again && !aboutItems(out):
			return l.asItCame(ctx, out, what)
		default:
			return l.pass(ctx, miss)
		}
	}
	return l.join(ctx, call, keys, parts, what)
}

// sameAs says whether a flight that is the only one joined is for just what is asked.
func (f *flight) sameAs(keys []key, c *claim) bool {
	if c.lead != nil || len(f.keys) != len(keys) {
		return false
	}
	for i := range keys {
		if c.found[i] != nil || c.seats[i].at != i {
			return false
		}
	}
	return true
}

// aboutItems says whether an answer that is not a good one may be about some of the
// items only, and not about the server's load or the caller's credentials.
func aboutItems(out *outcome) bool {
	if out.err != nil {
		return false
	}
	switch out.head.StatusCode() {
	case 401, 403, 429, 503:
		return false
	}
	return true
}

// join makes the answer of its parts.
func (l *lookup) join(ctx context.Context, call *inference.Call, keys []key, parts []*entry, what result) (*proxy.Response, error) {
	body := parts[0].body
	if len(parts) > 1 || call.Protocol == openInference {
		var err error
		if body, err = l.joinParts(call, keys, parts); err != nil {
			return l.pass(ctx, miss)
		}
	}
	now := time.Now()
	age := time.Duration(0)
	for _, p := range parts {
		age = max(age, p.ageAt(now))
	}
	resp := proxy.NewResponse()
	parts[0].head.CopyTo(&resp.Header)
	if call.Protocol == openInference {
		inference.DescribeAnswer(&resp.Header, body)
	}
	if what != coalesced && what != miss {
		setAge(&resp.Header, age)
	}
	setBody(resp, body)
	return l.done(resp, what), nil
}

// joinParts joins answers. Reading them is most of its cost, so that what is kept is kept
// as it was read from the first time on.
func (l *lookup) joinParts(call *inference.Call, keys []key, parts []*entry) ([]byte, error) {
	read := make([]*inference.Part, len(parts))
	for i, e := range parts {
		if read[i] = e.part; read[i] != nil {
			continue
		}
		var err error
		if read[i], err = inference.ReadPart(call, e.body); err != nil {
			return nil, err
		}
		l.filter.state.store.read(keys[i], e, read[i])
	}
	return inference.JoinParts(call, read)
}

const openInference = "open_inference"

// countItems counts what was saved.
func (l *lookup) countItems(c *claim) {
	m := l.filter.state.metrics
	hits, waited, saved := 0, 0, time.Duration(0)
	for i, e := range c.found {
		switch {
		case e != nil:
			hits++
			saved += e.took
		case c.seats != nil && c.seats[i].flight != c.lead:
			waited++
		}
	}
	for what, n := range map[result]int{hit: hits, coalesced: waited, miss: len(c.mine)} {
		if n > 0 {
			m.CacheItems.WithLabelValues(l.req.Cluster, string(what)).Add(float64(n))
		}
	}
	if saved > 0 {
		m.CacheSaved.WithLabelValues(l.req.Cluster).Add(saved.Seconds())
	}
}
