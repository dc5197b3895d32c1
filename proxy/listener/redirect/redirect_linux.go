package redirect

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Apply puts rules into the kernel of this network namespace, in place of those that an
// earlier Apply has put there, and says by what. Where it fails nothing has changed,
// but for iptables, where IPv4 may have its rules and IPv6 not.
func Apply(ctx context.Context, b Firewall, r Rules) (by string, err error) {
	if err := r.Check(); err != nil {
		return "", err
	}
	if err := capable(); err != nil {
		return "", err
	}
	if b != IPTables {
		if err = nft(&r); err == nil {
			return "nftables", nil
		}
		if r.Listening && errors.Is(err, errUnsupported) {
			// Kernels before 5.12 cannot ask whether somebody listens.
			all := r
			if all.Listening = false; nft(&all) == nil {
				return "nftables, whether the server listens or not: this kernel cannot ask", nil
			}
		}
		if b == NFTables || !errors.Is(err, errUnsupported) {
			return "", err
		}
	}
	if otherwise := applyIPTables(ctx, &r); otherwise != nil {
		return "", errors.Join(err, otherwise)
	}
	return "iptables", nil
}

func applyIPTables(ctx context.Context, r *Rules) error {
	for _, name := range families() {
		p, err := lookUp(ctx, name)
		if err == nil {
			err = p.apply(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// families are the programs of the families that the kernel has.
func families() []string {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return []string{"iptables"}
	}
	return []string{"iptables", "ip6tables"}
}

// Undo removes the rules, by whichever of the two they were made, unless b says which.
// That there are none is no error.
func Undo(ctx context.Context, b Firewall) error {
	if err := capable(); err != nil {
		return err
	}
	var errs []error
	if b != IPTables {
		if err := nft(nil); err != nil && (b == NFTables || !errors.Is(err, errUnsupported)) {
			errs = append(errs, err)
		}
	}
	if b != NFTables {
		for _, name := range families() {
			p, err := lookUp(ctx, name)
			switch {
			case err == nil:
				errs = append(errs, p.undo(ctx))
			case b == IPTables:
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// capable says what this process lacks for changing rules.
func capable() error {
	const words = 2 // of 32 capabilities each
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [words]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0 {
		return nil
	}
	return fmt.Errorf("the capability NET_ADMIN is missing (uid %d): run it as root; in a container add NET_ADMIN and NET_RAW "+
		"to securityContext.capabilities (docker: --cap-add) and run as uid 0; as another user only with ambient capabilities", os.Geteuid())
}
