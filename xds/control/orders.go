package control

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/xds/control/join"
)

// ByHeader holds the name of whoever gives an order, as they say it.
const ByHeader = "X-Friday-User"

// maxOrder bounds an order's body.
const maxOrder = 64 << 10

// orders are what changes something.
func (a Admin) orders() []adminRoute {
	return []adminRoute{
		{"/rollback", order(func(r *http.Request) (any, error) {
			to, err := number(r, "to")
			if err != nil {
				return nil, err
			}
			return a.Rollout.Rollback(to, by(r))
		})},
		{"/release", order(func(r *http.Request) (any, error) {
			if err := a.Rollout.Release(by(r)); err != nil {
				return nil, err
			}
			return a.Rollout.History(), nil
		})},
		{"/shift", order(func(r *http.Request) (any, error) {
			q := ShiftRequest{Over: DefaultShiftOver.Seconds(), Steps: DefaultShiftSteps, MaxErrors: DefaultShiftErrors}
			d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxOrder))
			d.DisallowUnknownFields()
			if err := d.Decode(&q); err != nil {
				return nil, errors.Join(errOrder, err)
			}
			return a.Rollout.Shift(r.Context(), q, by(r))
		})},
		{"/shift/abort", order(func(r *http.Request) (any, error) {
			return a.Rollout.AbortShift(r.URL.Query().Get("route"), by(r))
		})},
		{"/token", order(a.token)},
	}
}

// errOrder says that an order cannot be read.
var errOrder = errors.New("not an order")

// order answers what was done as JSON, and what was not as text.
func order(do func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		done, err := do(r)
		if err != nil {
			text(w, statusOf(err), err.Error()+"\n")
			return
		}
		writeJSON(w, done)
	})
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errOrder), errors.Is(err, join.ErrRequest):
		return http.StatusBadRequest
	case errors.Is(err, ErrUnknownVersion):
		return http.StatusNotFound
	case errors.Is(err, ErrNothing), errors.Is(err, ErrShift), errors.Is(err, errNoTokens):
		return http.StatusConflict
	default:
		return http.StatusInternalServerError
	}
}

// by is who gives the order: where from, and who they say that they are.
func by(r *http.Request) string {
	said := strings.ToValidUTF8(r.Header.Get(ByHeader), "")
	if said == "" {
		return r.RemoteAddr
	}
	return said[:min(len(said), 200)] + " at " + r.RemoteAddr
}

// number is a version from the query; 0: not given.
func number(r *http.Request, name string) (int, error) {
	value := r.URL.Query().Get(name)
	if value == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 {
		return 0, errors.Join(errOrder, errors.New(name+": "+strconv.Quote(value)+": must be the number of a version"))
	}
	return n, nil
}

func (a Admin) diff(w http.ResponseWriter, r *http.Request) {
	from, err := number(r, "from")
	to := 0
	if err == nil {
		to, err = number(r, "to")
	}
	var out string
	if err == nil {
		out, err = a.Rollout.Diff(from, to)
	}
	if err != nil {
		text(w, statusOf(err), err.Error()+"\n")
		return
	}
	text(w, http.StatusOK, out)
}

func (a Admin) dump(w http.ResponseWriter, r *http.Request) {
	list, err := a.Nodes.Dump(r.URL.Query().Get("node"))
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	writeJSON(w, list)
}
