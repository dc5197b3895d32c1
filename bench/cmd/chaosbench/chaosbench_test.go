package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUsedWrongly(t *testing.T) {
	for _, args := range [][]string{{"--no"}, {"more"}, {"--phase", "1ms"}} {
		var out, errs bytes.Buffer
		require.Equal(t, 2, run(args, &out, &errs), args)
		require.Contains(t, errs.String(), "chaosbench:")
	}
}

// The alerts that are shipped are those that are fired, with shorter times and nothing else
// changed; each of them has a fault.
func TestEveryAlertHasAFault(t *testing.T) {
	text, names, err := hasten("../../../deploy/monitoring/friday.rules.yaml")
	require.NoError(t, err)
	var caused []string
	for _, a := range alarms() {
		caused = append(caused, a.alerts...)
	}
	require.ElementsMatch(t, names, caused)
	var all rules
	require.NoError(t, json.Unmarshal(text, &all))
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			switch r.Alert {
			case "FridayErrors":
				require.Equal(t, 2, strings.Count(r.Expr, "[5000ms]"), r.Expr)
				require.Equal(t, "5000ms", r.For)
				require.Contains(t, r.Annotations["summary"], "{{ $value | humanizePercentage }}")
			case "FridayCacheCollapsed":
				require.Equal(t, 2, strings.Count(r.Expr, "[180000ms]"), r.Expr)
			}
		}
	}
}

func TestFaultsAreToldApart(t *testing.T) {
	var names []string
	for _, f := range faults() {
		names = append(names, f.name)
	}
	slices.Sort(names)
	require.Len(t, slices.Compact(slices.Clone(names)), len(names))
}

// A liar lies to calls of several items, and to no others.
func TestLies(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"data":[{"index":0},{"index":1}]}`)
	}))
	t.Cleanup(up.Close)
	l, err := newLiar(t.Context(), strings.TrimPrefix(up.URL, "http://"))
	require.NoError(t, err)
	t.Cleanup(l.close)
	ask := func(body string) (string, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.at+"/v1/embeddings", strings.NewReader(body))
		require.NoError(t, err)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	}
	for _, c := range []struct {
		lie  lie
		want string // of the answer; empty: there is none that is whole
	}{
		{honest, `{"index":1}]`},
		{fewer, `[{"index":0}]`},
		{more, `{"index":1},{"index":0}]`},
		{garbage, `{"data":[{"index"`},
		{textual, "<html>"},
		{failing, "no"},
		{longer, ""},
		{headless, ""},
	} {
		l.lie.Store(c.lie)
		text, err := ask(`{"input":["a","b"]}`)
		if c.want == "" {
			require.Error(t, err, c.lie)
		} else {
			require.NoError(t, err, c.lie)
			require.Contains(t, text, c.want)
		}
		text, err = ask(`{"input":"a"}`)
		require.NoError(t, err)
		require.Contains(t, text, `{"index":1}]`, c.lie)
	}
}

// A link passes what it gets, and cuts what it is told to.
func TestLink(t *testing.T) {
	echo, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = echo.Close() })
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := newLink(ctx, echo.Addr().String())
	require.NoError(t, err)
	t.Cleanup(l.close)
	say := func(text string) string {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.address())
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, text)
		require.NoError(t, err)
		p := make([]byte, len(text))
		n, _ := io.ReadFull(c, p)
		return string(p[:n])
	}
	require.Equal(t, "hello", say("hello"))
	l.cut.Store(3)
	require.NotEqual(t, "hello", say("hello"))
}
