package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/fridaymesh/friday/bench/exposition"
	"github.com/fridaymesh/friday/bench/process"
)

// redirectBin is the programs' folder, where this process is TestRedirect in a network
// of its own.
const redirectBin = "FRIDAY_TEST_REDIRECT"

// TestRedirect: connections for a server's ports go through Friday, whatever family
// they are of, and on to where they were meant to go. It needs root and a kernel that
// lets it have a network of its own, in which nothing else is.
func TestRedirect(t *testing.T) {
	if bin := os.Getenv(redirectBin); bin != "" {
		newRedirected(t, bin).test(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, no connection was redirected: needs root")
	}
	bin := build(t)
	require.NoError(t, os.Chmod(filepath.Dir(bin), 0o755)) // for the user that friday runs as
	incapable(t, bin)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestRedirect$", "-test.v", "-test.count", "1")
	cmd.Env = append(os.Environ(), redirectBin+"="+bin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("SKIPPED, no connection was redirected: a network of its own is not allowed: %v", err)
	}
	require.NoError(t, err, "%s", out)
	if strings.Contains(string(out), "SKIPPED") {
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
}

// redirected is a pod: Friday, and servers that know nothing of it.
type redirected struct {
	bin    string
	group  *process.Group
	client *http.Client
}

const (
	fridayUID = 65532
	// Ports: HTTP on all addresses, HTTP on the loopback address of IPv4, and echo.
	everywhereHTTP, loopbackHTTP, echoes = "8000", "8001", "8002"
)

func newRedirected(t *testing.T, bin string) *redirected {
	t.Helper()
	require.NoError(t, up("lo"))
	r := &redirected{bin: bin, group: run(t), client: &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience,
	}}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello ", r.Host) })
	for _, address := range []string{":" + everywhereHTTP, "127.0.0.1:" + loopbackHTTP} {
		s := &http.Server{Handler: hello}
		ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		require.NoError(t, err)
		go s.Serve(ln)
		t.Cleanup(func() { s.Close() })
	}
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":"+echoes)
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	p, err := r.group.StartAs("friday", fridayUID, filepath.Join(bin, "friday"), "proxy", "--mode", "redirect", "--upstream", "127.0.0.1:"+everywhereHTTP)
	require.NoError(t, err)
	require.NoError(t, p.Await(t.Context(), patience, process.OK("http://"+defaultAdmin+"/ready")))
	return r
}

// up does what `ip link set up` does.
func up(link string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(link)
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// redirect runs `friday redirect`.
func (r *redirected) redirect(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(r.bin, "friday"), append([]string{"redirect"}, args...)...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "not supported by this kernel") {
		t.Skipf("SKIPPED, no connection was redirected: %s", out)
	}
	require.NoError(t, err, "%s", out)
	return string(out)
}

// get is the status and the text that a URL answers with.
func (r *redirected) get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := r.client.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// passed is how many requests Friday has had.
func (r *redirected) passed(t *testing.T) float64 {
	t.Helper()
	text, err := process.Get(t.Context(), "http://"+defaultAdmin+"/metrics")
	require.NoError(t, err)
	return exposition.Sum(string(text), "friday_requests_total")
}

func (r *redirected) test(t *testing.T) {
	args := []string{"--ports", everywhereHTTP + "-" + echoes}
	r.redirect(t, args...)
	r.redirect(t, args...) // does no harm

	hosts := []string{"127.0.0.1", "127.0.0.2"}
	if c, err := net.DialTimeout("tcp", "[::1]:"+everywhereHTTP, patience); err == nil {
		hosts = append(hosts, "[::1]")
		c.Close()
	} else {
		t.Logf("no IPv6 here: %v", err)
	}
	for _, host := range hosts {
		address := host + ":" + everywhereHTTP
		before := r.passed(t)
		status, text := r.get(t, "http://"+address+"/")
		require.Equal(t, 200, status, address)
		require.Equal(t, "hello "+address, text)
		require.InDelta(t, before+1, r.passed(t), 0, "%s: went past Friday", address)
		require.Equal(t, "\x16\x03 this is no HTTP", r.echo(t, host+":"+echoes, "\x16\x03 this is no HTTP"))

		status, text = r.get(t, "http://"+host+":19080/")
		require.Equal(t, http.StatusMisdirectedRequest, status, "%s: the port that is redirected to: %s", host, text)
	}

	// Who listens on one address only is not to be had by another.
	status, _ := r.get(t, "http://127.0.0.1:"+loopbackHTTP)
	require.Equal(t, 200, status)
	status, text := r.get(t, "http://127.0.0.2:"+loopbackHTTP)
	require.Equal(t, 503, status, text)

	// Friday's own user must be left alone; else a request goes round once, not for ever.
	r.redirect(t, append(args, "--uid", "1")...)
	status, text = r.get(t, "http://127.0.0.3:"+everywhereHTTP) // to which there is no connection yet
	require.Equal(t, http.StatusLoopDetected, status, text)
	require.Contains(t, text, "--uid")
	require.Empty(t, r.echo(t, "127.0.0.1:"+echoes, "\x16\x03"))

	r.redirect(t, "--undo")
	r.redirect(t, "--undo")
	before := r.passed(t)
	for _, host := range hosts {
		status, _ := r.get(t, "http://"+host+":"+everywhereHTTP)
		require.Equal(t, 200, status)
	}
	require.InDelta(t, before, r.passed(t), 0, "still redirected")
}

// echo sends text to a server and returns what comes back before the connection ends.
func (r *redirected) echo(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, patience)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	_ = c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if !errors.Is(err, unix.ECONNRESET) {
		require.NoError(t, err)
	}
	return string(got)
}

// incapable: without the capability nothing is done, and it is said what is missing.
func incapable(t *testing.T, bin string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "friday"), "redirect", "--ports", "8000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "friday redirect: the capability NET_ADMIN is missing (uid 65534): ")
}
