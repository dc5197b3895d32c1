package action

import (
	"context"
	"strconv"
	"strings"

	"github.com/fridaymesh/friday/proxy"
	"github.com/fridaymesh/friday/proxy/format"
)

// Redirect answers with a Location made of the request's address. What is empty stays
// as the caller has it. At most one of the fields for the path is set.
type Redirect struct {
	// Status is 301 where 0.
	Status int
	// Scheme, Host and Port replace those; Port 0: none is named.
	Scheme, Host string
	Port         uint32
	// Path replaces the path and, where it has a "?", the query.
	Path       string
	Rewrite    Rewrite // of the path
	StripQuery bool
}

// NewRedirect compiles a redirect with the header mutations of its levels.
func NewRedirect(r *Redirect, levels []Headers) (proxy.Handler, error) {
	m, err := newMutations(levels)
	if err != nil {
		return nil, err
	}
	status := r.Status
	if status == 0 {
		status = 301
	}
	return proxy.HandlerFunc(func(_ context.Context, req *proxy.Request) (*proxy.Response, error) {
		resp := proxy.NewResponse()
		resp.Header.SetStatusCode(status)
		proxy.AddField(&resp.Header, "location", r.location(req))
		m.respond(req, &resp.Header, nil)
		return resp, nil
	}), nil
}

func (r *Redirect) location(req *proxy.Request) string {
	OriginForm(req.Header)
	was := Scheme(req)
	scheme := was
	if r.Scheme != "" {
		scheme = r.Scheme
	}
	host, port := r.Host, ""
	if r.Port != 0 {
		port = ":" + strconv.FormatUint(uint64(r.Port), 10)
	}
	if host == "" {
		host = hostFor(string(req.Header.Host()), was, scheme, port != "")
	}
	return scheme + "://" + host + port + r.target(req)
}

// target makes the path and the query.
func (r *Redirect) target(req *proxy.Request) string {
	path, query := splitPath(string(req.Header.RequestURI()))
	if r.StripQuery {
		query = ""
	}
	switch {
	case r.Path != "" && strings.Contains(r.Path, "?"):
		if r.StripQuery {
			path, _ := splitPath(r.Path)
			return path
		}
		return r.Path
	case r.Path != "":
		return r.Path + query
	}
	return r.Rewrite.path(req, path) + query
}

// hostFor drops a port that another takes the place of, and one that the old scheme
// meant anyway where the new one would not.
func hostFor(host, was, scheme string, replaced bool) string {
	end := strings.LastIndexByte(host, ':')
	if end < 0 || strings.LastIndexByte(host, ']') > end {
		return host
	}
	usual := map[string]string{"http": ":80", "https": ":443"}
	if replaced || was != scheme && host[end:] == usual[was] {
		return host[:end]
	}
	return host
}

// Scheme is what the caller speaks: http or https.
func Scheme(req *proxy.Request) string {
	scheme, _ := format.RequestField(req, ":scheme")
	return scheme
}
