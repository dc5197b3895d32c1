package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Model is one version of a model, as a server is asked about it.
type Model struct {
	// Name is the server's. Version is empty where the server has but one.
	Name, Version string
	// Path is where its source lies, as the server finds it; empty: the server knows.
	Path string
}

// State is what a server says of a model.
type State int

// The states.
const (
	// Unloaded: it is not there, and would be after a Load.
	Unloaded State = iota
	// Loading: it will be there.
	Loading
	// Ready: it answers.
	Ready
	// Failed: the server has tried to load it.
	Failed
)

func (s State) String() string { return [...]string{"unloaded", "loading", "ready", "failed"}[s] }

// Report is a State and, where the server gives one, its reason.
type Report struct {
	State  State
	Reason string
}

// An API is the way in which servers of a kind are spoken to. It is stateless; all
// methods may be called from several goroutines at once, and end with ctx.
type API interface {
	// Name is that of the configuration's enum.
	Name() string
	// Status asks about m. The error is that the server could not be asked.
	Status(ctx context.Context, c *Client, m Model) (Report, error)
	// Load has the server load m. It may return before it is Ready.
	Load(ctx context.Context, c *Client, m Model) error
	// Unload has the server let go of m; of a version, only of that one.
	Unload(ctx context.Context, c *Client, m Model) error
	// Versions says that a server may hold several versions of a model, each of which is
	// asked for by the path that [Pin] makes.
	Versions() bool
}

// ErrCannot is what a server's API has no way to do.
var ErrCannot = errors.New("the server has no way to do that")

// refusal makes an error of an answer that is none of the good ones.
func refusal(method, path string, status int, answer []byte) error {
	words := strings.Join(strings.Fields(string(answer)), " ")
	if len(words) > 300 {
		words = words[:300] + "…"
	}
	return fmt.Errorf("%s %s: status %d: %s", method, path, status, strings.ToValidUTF8(words, "?"))
}

// Pin makes the target of a request for the model, which names no version, one for a
// version; false where it names one, or is not of a form that could.
func Pin(target, model, version string) (pinned string, ok bool) {
	path, query, asked := strings.Cut(target, "?")
	for _, form := range [...]struct{ before, between string }{
		{"/v2/models/", "/versions/"}, // the Open Inference Protocol
		{"/predictions/", "/"},        // TorchServe
	} {
		at := strings.LastIndex(path, form.before+model)
		if at < 0 {
			continue
		}
		head, rest := path[:at+len(form.before)+len(model)], path[at+len(form.before)+len(model):]
		if rest != "" && rest[0] != '/' || strings.HasPrefix(rest, "/versions/") || form.between == "/" && rest != "" {
			continue
		}
		pinned = head + form.between + version + rest
		if asked {
			pinned += "?" + query
		}
		return pinned, true
	}
	return target, false
}
