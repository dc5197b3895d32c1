package store

import "errors"

var (
	// ErrNotFound: the tenant has nothing of that id.
	ErrNotFound = errors.New("not found")
	// ErrStale: the lease went to somebody else, or the job has ended.
	ErrStale = errors.New("the lease has been lost")
	// ErrKeyReused: the Idempotency-Key stands for another request.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrEnded: the job has ended already.
	ErrEnded = errors.New("the job has ended")
)

// Ours says that an error is an answer of the store's, and not its failure.
func Ours(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrStale) || errors.Is(err, ErrKeyReused) || errors.Is(err, ErrEnded)
}
