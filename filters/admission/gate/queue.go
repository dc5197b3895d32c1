package gate

import "slices"

// Priority is how urgent a request is. All that waits of a higher one goes first.
type Priority uint8

// The priorities, the most urgent first.
const (
	High Priority = iota
	Normal
	Low
	priorities
)

// quantum is the tokens that a tenant may have let in for each of its turns. Of a larger
// one a tenant of small requests would have many let in before the next has its turn.
const quantum = 1

// level is what waits at one priority: a queue for each tenant, served in turns by deficit
// round robin (Shreedhar and Varghese, 1995), so that tenants share what is let in by
// tokens, not by how many requests they have waiting.
//
// The tenant whose turn it is has had its quantum for it.
type level struct {
	tenants map[string]*tenant
	ring    []*tenant // those with something waiting
	at      int       // whose turn it is
	cost    int64     // of all that waits
}

// tenant is what waits of one tenant at one level.
type tenant struct {
	name        string
	first, last *Ticket
	cost        int64
	deficit     int64
}

// enter puts t behind the others of its tenant.
func (l *level) enter(t *Ticket) {
	own := l.tenants[t.Tenant]
	if own == nil {
		own = &tenant{name: t.Tenant}
		if l.tenants == nil {
			l.tenants = make(map[string]*tenant)
		}
		l.tenants[t.Tenant] = own
		if l.ring = append(l.ring, own); len(l.ring) == 1 {
			l.at, own.deficit = 0, quantum
		}
	}
	t.of, t.ahead, t.behind = own, own.last, nil
	if own.last != nil {
		own.last.behind = t
	} else {
		own.first = t
	}
	own.last = t
	own.cost += t.Cost
	l.cost += t.Cost
}

// leave takes t out.
func (l *level) leave(t *Ticket) {
	own := t.of
	if t.ahead != nil {
		t.ahead.behind = t.behind
	} else {
		own.first = t.behind
	}
	if t.behind != nil {
		t.behind.ahead = t.ahead
	} else {
		own.last = t.ahead
	}
	t.of, t.ahead, t.behind = nil, nil, nil
	own.cost -= t.Cost
	l.cost -= t.Cost
	if own.first != nil {
		return
	}
	delete(l.tenants, own.name)
	i := slices.Index(l.ring, own)
	l.ring = slices.Delete(l.ring, i, i+1)
	switch {
	case i < l.at:
		l.at--
	case i == l.at && len(l.ring) > 0:
		l.at %= len(l.ring)
		l.ring[l.at].deficit += quantum
	}
}

// next takes out whose turn it is; nil where nothing waits.
func (l *level) next() *Ticket {
	if len(l.ring) == 0 {
		return nil
	}
	// As many rounds as nobody would be let in are given at once.
	rounds := int64(-1)
	for _, t := range l.ring {
		need := max(0, (t.first.Cost-t.deficit+quantum-1)/quantum)
		if rounds < 0 || need < rounds {
			rounds = need
		}
	}
	if rounds > 1 {
		for _, t := range l.ring {
			t.deficit += (rounds - 1) * quantum
		}
	}
	for {
		own := l.ring[l.at]
		if t := own.first; t.Cost <= own.deficit {
			own.deficit -= t.Cost
			l.leave(t)
			return t
		}
		l.at = (l.at + 1) % len(l.ring)
		l.ring[l.at].deficit += quantum
	}
}

// greediest is the tenant of whom the most waits; nil where nothing does.
func (l *level) greediest() *tenant {
	var most *tenant
	for _, t := range l.ring {
		if most == nil || t.cost > most.cost {
			most = t
		}
	}
	return most
}

// before is how much is let in before a further ticket of a tenant: what waits of its own,
// and as much of each of the others at the most.
func (l *level) before(name string, cost int64) int64 {
	own, others := cost, int64(len(l.ring))
	if t := l.tenants[name]; t != nil {
		own += t.cost
		others--
	}
	return min(l.cost, own-cost+own*others)
}
