package schedule

// A Target is one address that calls go to. Both methods are cheap and never block.
type Target interface {
	// Healthy says whether calls may go there.
	Healthy() bool
	// Active is how many requests it is serving, this pool's or not.
	Active() int64
}

// Server is what a pool knows of one target.
type Server struct {
	// Target is nil for the one that stands for all where none is healthy.
	Target Target

	cost             cost
	flights, overdue int // calls in flight; those of them that count no more
}

func newServer(target Target, like *Server) *Server {
	s := &Server{Target: target}
	if like != nil { // as good a first guess as any
		s.cost = like.cost
	}
	return s
}

// Flight is one call on its way.
type Flight struct {
	Queue   *Queue
	Server  *Server
	Items   int
	Callers int
	Began   Instant

	oldest  Instant // the arrival of its oldest entry
	waited  float64 // how long its entries had waited in all, in seconds
	backlog bool    // more waited than it could hold
	trial   int     // the trial that it belongs to; 0: none
	overdue bool

	older, newer *Flight
}
