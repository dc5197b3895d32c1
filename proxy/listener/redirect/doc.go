// Package redirect makes the kernel's rules that send connections for a model server
// to Friday, whatever their callers do: both those that come from other machines and
// those that are made on this one, over IPv4 and IPv6. Friday asks the kernel where a
// connection was meant to go (SO_ORIGINAL_DST) and goes there itself; its own
// connections, known by their user, are left alone.
//
// The rules are one nftables table, put into the kernel in one transaction, so that
// there are either all or none, and doing it again replaces them. Where the kernel has
// no nftables, the iptables programs of the system are asked instead.
package redirect
