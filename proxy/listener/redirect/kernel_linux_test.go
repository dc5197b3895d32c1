package redirect

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// isolated runs f on a thread with a network of its own, or skips t. Programs that f
// starts have that network, too.
func isolated(t *testing.T, f func(ctx context.Context)) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, no rules were made: needs root")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	skipped := make(chan error, 1)
	go func() {
		defer close(skipped)   // also where a failed assertion ends this goroutine
		runtime.LockOSThread() // and never unlocked: the thread ends with its network
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			skipped <- err
			return
		}
		if err := nft(nil); errors.Is(err, errUnsupported) {
			skipped <- err
			return
		}
		f(ctx)
	}()
	if err := <-skipped; err != nil {
		t.Skipf("SKIPPED, no rules were made: %v", err)
	}
}

// tables are the names of the kernel's tables.
func tables(t *testing.T) string {
	t.Helper()
	c, err := nftables.New()
	require.NoError(t, err)
	list, err := c.ListTables()
	require.NoError(t, err)
	var names []string
	for _, table := range list {
		names = append(names, table.Name)
	}
	return strings.Join(names, ",")
}

// Rules replace those that were there, are there once, and go without a trace.
func TestApply(t *testing.T) {
	isolated(t, func(ctx context.Context) {
		for range 2 {
			by, err := Apply(ctx, Auto, *all())
			require.NoError(t, err)
			require.Contains(t, by, "nftables")
			require.Equal(t, tableName, tables(t))
		}
		c, err := nftables.New()
		require.NoError(t, err)
		chains, err := c.ListChains()
		require.NoError(t, err)
		rules := 0
		for _, chain := range chains {
			found, err := c.GetRules(chain.Table, chain)
			require.NoError(t, err)
			rules += len(found)
		}
		require.Equal(t, 4, rules)
		_, err = Apply(ctx, NFTables, Rules{})
		require.EqualError(t, err, "no port to redirect")
		require.Equal(t, tableName, tables(t), "those that were there stay")
		for range 2 {
			require.NoError(t, Undo(ctx, NFTables))
			require.Empty(t, tables(t))
		}
	})
}

// What is printed for people is what the kernel gets.
func TestScriptIsWhatIsApplied(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skipf("SKIPPED, rules and script were not compared: %v", err)
	}
	isolated(t, func(ctx context.Context) {
		list := func() string {
			out, err := exec.CommandContext(ctx, "nft", "list", "ruleset").CombinedOutput()
			require.NoError(t, err, "%s", out)
			return string(out)
		}
		for _, r := range []*Rules{all(), {Ports: []Ports{{1, 65535}}, To: 19080, Users: []uint32{0}}} {
			require.NoError(t, nft(r))
			applied := list()
			require.NoError(t, nft(nil))
			cmd := exec.CommandContext(ctx, "nft", "-f", "-")
			cmd.Stdin = strings.NewReader(r.NFTScript())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Logf("SKIPPED, rules and script were not compared: this nft does not know everything in it: %v: %s", err, out)
				return
			}
			require.Equal(t, list(), applied)
		}
	})
}

// The programs of iptables do as well, in the flavour that works.
func TestIPTables(t *testing.T) {
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Skipf("SKIPPED, iptables was not called: %v", err)
	}
	isolated(t, func(ctx context.Context) {
		list := func() string {
			out, err := exec.CommandContext(ctx, "iptables", "-w", "-t", "nat", "-S").CombinedOutput()
			require.NoError(t, err, "%s", out)
			return string(out)
		}
		clean := list()
		var once string
		for range 2 {
			by, err := Apply(ctx, IPTables, *all())
			if once == "" && err != nil {
				t.Logf("SKIPPED, iptables does not work here: %v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "iptables", by)
			if once == "" {
				once = list()
			}
			require.Equal(t, once, list())
		}
		require.Contains(t, once, "--uid-owner 65532 -j RETURN")
		for range 2 {
			require.NoError(t, Undo(ctx, Auto))
			require.Equal(t, clean, list())
		}
	})
}
