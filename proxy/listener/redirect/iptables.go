package redirect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// errNoProgram says that there are no programs of iptables.
var errNoProgram = errors.New("iptables: not installed")

// iptables are the programs of one family and flavour, such as iptables-nft and
// iptables-nft-restore.
type iptables struct{ program, restore string }

// lookUp finds programs that can reach the kernel's nat table: name is iptables or
// ip6tables, of which a system may have several flavours.
func lookUp(ctx context.Context, name string) (*iptables, error) {
	var errs []error
	for _, flavour := range []string{"", "-nft", "-legacy"} {
		p := &iptables{name + flavour, name + flavour + "-restore"}
		if _, err := exec.LookPath(p.program); err != nil {
			continue
		}
		err := run(ctx, "", p.program, "-w", "-t", "nat", "-S", output)
		if err == nil {
			return p, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, errNoProgram
	}
	return nil, errors.Join(errs...)
}

// hooked says whether the rules, perhaps others, are there.
func (p *iptables) hooked(ctx context.Context) bool {
	return run(ctx, "", p.program, "-w", "-t", "nat", "-C", prerouting, "-j", fridayPrerouting) == nil
}

func (p *iptables) apply(ctx context.Context, r *Rules) error {
	return run(ctx, r.IPTablesScript(p.hooked(ctx)), p.restore, "-w", "--noflush")
}

func (p *iptables) undo(ctx context.Context) error {
	if !p.hooked(ctx) {
		return nil
	}
	return run(ctx, IPTablesUndoScript(), p.restore, "-w", "--noflush")
}

// run runs a program; its error has the program's words.
func run(ctx context.Context, stdin, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...) // #nosec G204 -- the names stand above
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = os.Environ()
	if os.Geteuid() != 0 {
		// The lock is a file that only root may make.
		cmd.Env = append(cmd.Env, "XTABLES_LOCKFILE=/dev/null")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, bytes.ReplaceAll(bytes.TrimSpace(out), []byte("\n"), []byte("; ")))
	}
	return nil
}
