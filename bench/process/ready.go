package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
)

// OK returns a question for Await: does url answer 200?
func OK(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := Get(ctx, url)
		return err
	}
}

// Listening returns a question for Await: does address accept connections?
func Listening(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return nc.Close()
	}
}

// Get returns the body of url's answer, at most 16 MiB; any status but 200 is an
// error.
func Get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: status %d: %.200s", url, resp.StatusCode, body)
	}
	return body, nil
}

// FreePort is a loopback port that nobody listens on: preferred where it is free
// (0: any).
func FreePort(preferred int) (int, error) {
	for _, port := range []int{preferred, 0} {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		port = ln.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // asked for tcp
		return port, ln.Close()
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1")
}

// FreeAddresses are 127.0.0.1:port for each of the preferred ports, all different.
func FreeAddresses(preferred ...int) ([]string, error) {
	var addresses []string
	taken := make(map[int]bool)
	for _, want := range preferred {
		if taken[want] {
			want = 0
		}
		port, err := FreePort(want)
		for err == nil && taken[port] {
			port, err = FreePort(0)
		}
		if err != nil {
			return nil, err
		}
		taken[port] = true
		addresses = append(addresses, "127.0.0.1:"+strconv.Itoa(port))
	}
	return addresses, nil
}

// Machine names the machine in one line: processor, cores, system.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, %s/%s", processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
}
