package schedule

// Reason is why a call was sent just then.
type Reason int

// The reasons; their names are those of the metric's label.
const (
	Full        Reason = iota // as many items wait as a call may hold
	Expected                  // everyone who was expected has come
	Hold                      // those who were expected did not come in time
	Idle                      // a slot was free and nobody was expected
	Alone                     // it has to be alone, after a merged call failed
	Oversize                  // it has to be alone, being larger than a batch
	Unbatchable               // its model cannot be batched
	Aside                     // batching does not pay here: everything goes as it comes
	Late                      // not sent: it can no longer be answered within the objective
	// Reasons is how many there are.
	Reasons
)

func (r Reason) String() string {
	return [Reasons]string{"full", "expected", "hold", "idle", "alone", "oversize", "unbatchable", "aside", "late"}[r]
}
