package redirect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// errUnsupported says that the kernel has not what the rules need.
var errUnsupported = errors.New("not supported by this kernel")

// nft puts rules into the kernel, or removes them where r is nil. It does the same as
// NFTScript. There are either all or, where it fails, those that were there before.
func nft(r *Rules) error {
	c, err := nftables.New()
	if err != nil {
		return explain(err)
	}
	t := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	c.AddTable(t) // so that there is one to delete
	c.DelTable(t)
	if r != nil {
		if err := r.add(c, c.AddTable(t)); err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
	}
	return explain(c.Flush())
}

// explain finds out what the kernel means.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("nftables: %w: %w", errUnsupported, err)
	}
	return fmt.Errorf("nftables: %w", err)
}

func (r *Rules) add(c *nftables.Conn, t *nftables.Table) error {
	ports := &nftables.Set{Table: t, Name: "ports", KeyType: nftables.TypeInetService, Interval: true}
	if err := c.AddSet(ports, elements(r.Ports)); err != nil {
		return err
	}
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		policy := nftables.ChainPolicyAccept
		return c.AddChain(&nftables.Chain{
			Table: t, Name: name, Type: nftables.ChainTypeNAT, Policy: &policy,
			Hooknum: hook, Priority: nftables.ChainPriorityNATDest,
		})
	}
	in, out := chain("prerouting", nftables.ChainHookPrerouting), chain("output", nftables.ChainHookOutput)
	var listening []expr.Any
	if r.Listening {
		listening = []expr.Any{
			&expr.Socket{Key: expr.SocketKeyWildcard, Register: 1}, // matches nothing where there is no socket
			&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: []byte{1}},
		}
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: in, Exprs: r.redirect(ports, listening)})
	leave := func(key expr.MetaKey, id uint32) {
		c.AddRule(&nftables.Rule{Table: t, Chain: out, Exprs: []expr.Any{
			&expr.Meta{Key: key, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(id)},
			&expr.Verdict{Kind: expr.VerdictReturn},
		}})
	}
	for _, id := range r.Users {
		leave(expr.MetaKeySKUID, id)
	}
	for _, id := range r.Groups {
		leave(expr.MetaKeySKGID, id)
	}
	c.AddRule(&nftables.Rule{Table: t, Chain: out, Exprs: r.redirect(ports, nil)})
	return nil
}

// redirect is what redirects connections to the ports, where they match more, too.
func (r *Rules) redirect(ports *nftables.Set, more []expr.Any) []expr.Any {
	const toPort, ofPort = 2, 2 // where a TCP header has its destination, and how long it is
	exprs := []expr.Any{
		&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: toPort, Len: ofPort},
		&expr.Lookup{SourceRegister: 1, SetName: ports.Name, SetID: ports.ID},
	}
	exprs = append(exprs, more...)
	const specified = 2 // NF_NAT_RANGE_PROTO_SPECIFIED: the port is said
	return append(exprs,
		&expr.Counter{},
		&expr.Immediate{Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.To)},
		&expr.Redir{RegisterProtoMin: 1, Flags: specified})
}

// elements are ports as an interval set has them: where each begins, and where it has
// ended. The last port of all has no end.
func elements(all []Ports) (out []nftables.SetElement) {
	for _, p := range all {
		out = append(out, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p.First)})
		if p.Last < math.MaxUint16 {
			out = append(out, nftables.SetElement{Key: binary.BigEndian.AppendUint16(nil, p.Last+1), IntervalEnd: true})
		}
	}
	return out
}
