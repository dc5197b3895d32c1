package hardening

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/fridaymesh/friday/proxy/cluster"
	"github.com/fridaymesh/friday/proxy/config"
	"github.com/fridaymesh/friday/proxy/proxytest"
	"github.com/fridaymesh/friday/proxy/router"
	"github.com/fridaymesh/friday/proxy/server"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fields that are for one connection: the server must not get them.
var hopByHop = []string{"connection", "keep-alive", "te", "proxy-connection", "upgrade", "x-secret", "expect"}

// upstream answers with what it has read.
func upstream(t *testing.T) *proxytest.Server {
	t.Helper()
	return proxytest.NewServer(t, func(x *proxytest.Exchange) {
		body, err := x.ReadBody()
		text := "END"
		if x.Method+x.Target != "GET/end" {
			text = strings.TrimRight(x.Method+" "+x.Target+" "+x.Header("host")+" "+flat(body), " ")
		}
		if err != nil {
			text += " CUT"
		}
		for _, name := range hopByHop {
			if v := x.Header(name); v != "" {
				text += " LEAKED " + name + ": " + v
			}
		}
		x.WriteHead(200, "content-length: "+strconv.Itoa(len(text)), "x-from: server")
		x.Write(text)
	})
}

// friday is a proxy before up, host:port.
func friday(t *testing.T, up string) string {
	t.Helper()
	s, err := server.New(server.Options{Log: zap.NewNop(), Access: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	require.NoError(t, s.Apply(&config.Resources{
		Clusters: []*cluster.Config{{Name: "up", Endpoints: []cluster.EndpointConfig{{Address: up}}}},
		Listeners: []*config.Listener{{
			Name: "in", Address: "127.0.0.1:0",
			Default: &config.FilterChain{HTTP: &config.HTTP{Table: &config.RouteTable{Name: "t", VirtualHosts: []*config.VirtualHost{{
				Name: "all", Domains: []string{"*"},
				Routes: []*config.Route{{Match: router.Match{Prefix: "/"}, Clusters: []config.WeightedCluster{{Name: "up", Weight: 1}}}},
			}}}}},
		}},
	}))
	return s.Addresses()["in"]
}

// answers sends raw and the probe to address and returns the answers in Case.Want's
// words.
func answers(t *testing.T, address, raw string) string {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(proxytest.Patience)))
	sent := make(chan struct{})
	go func() { // who refuses early does not read on
		defer close(sent)
		_, _ = io.WriteString(c, raw+Probe)
	}()
	defer func() { <-sent }()
	var all []string
	br := bufio.NewReader(c)
	for {
		r, err := http.ReadResponse(br, nil)
		if err != nil {
			switch ne, ok := errors.AsType[net.Error](err); {
			case ok && ne.Timeout():
				all = append(all, "TIMEOUT")
			case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
				all = append(all, err.Error())
			}
			return strings.Join(all, " | ")
		}
		body, err := io.ReadAll(r.Body)
		text := string(body)
		if r.Header.Get("x-from") == "" {
			text = strconv.Itoa(r.StatusCode)
		}
		if err != nil {
			text += " " + err.Error()
		}
		all = append(all, text)
		if r.Close { // nothing else may come
			if _, err := br.Peek(1); err == nil {
				all = append(all, "MORE")
			}
			return strings.Join(all, " | ")
		}
	}
}

func TestFriday(t *testing.T) {
	up := upstream(t)
	address := friday(t, up.Address())
	cases := Cases()
	require.Greater(t, len(cases), 60)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			want := strings.ReplaceAll(c.Want, "SERVER", up.Address())
			require.Equal(t, want, answers(t, address, c.Raw), "%s: %.200q", c.Rule, c.Raw)
		})
	}
	require.NotContains(t, targetsOf(up), "/hidden")
}

// What comes byte by byte is what comes at once.
func TestFridayByteByByte(t *testing.T) {
	up := upstream(t)
	address := friday(t, up.Address())
	for _, c := range Cases() {
		if len(c.Raw) > 1000 {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			want := strings.ReplaceAll(c.Want, "SERVER", up.Address())
			require.Equal(t, want, slowly(t, address, c.Raw), "%s: %.200q", c.Rule, c.Raw)
		})
	}
	require.NotContains(t, targetsOf(up), "/hidden")
}

func targetsOf(up *proxytest.Server) (all []string) {
	for _, r := range up.Requests() {
		all = append(all, r.Target)
	}
	return all
}

// slowly is answers through a pipe that cuts what is sent into bytes.
func slowly(t *testing.T, address, raw string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		in, err := l.Accept()
		if err != nil {
			return
		}
		defer in.Close()
		out, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		defer out.Close()
		back := make(chan struct{})
		go func() {
			defer close(back)
			_, _ = io.Copy(in, out)
			_ = in.(*net.TCPConn).CloseWrite()
		}()
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(in, b); err != nil {
				break
			}
			if _, err := out.Write(b); err != nil {
				break
			}
		}
		<-back
	}()
	defer func() { _ = l.Close(); <-done }()
	return answers(t, l.Addr().String(), raw)
}
