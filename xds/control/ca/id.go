package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ID is a SPIFFE id: spiffe://TRUST-DOMAIN/PATH.
type ID string

const (
	scheme = "spiffe://"
	// maxID bounds an id in bytes, as SPIFFE does.
	maxID = 2048
)

var (
	domainForm  = regexp.MustCompile(`^[a-z0-9._-]{1,255}$`)
	segmentForm = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
)

// DefaultDomain is the trust domain unless another one is named, as in Istio.
const DefaultDomain = "cluster.local"

// CheckDomain says what is wrong with a trust domain's name.
func CheckDomain(domain string) error {
	if !domainForm.MatchString(domain) {
		return fmt.Errorf("%q: must be 1 to 255 of a-z, 0-9, dot, - and _", domain)
	}
	return nil
}

// NewID makes the id of a path in a trust domain.
func NewID(domain string, path ...string) (ID, error) {
	for _, segment := range path {
		if !segmentForm.MatchString(segment) {
			return "", fmt.Errorf("%q: must be of a-z, A-Z, 0-9, dot, - and _ to stand in a SPIFFE id", segment)
		}
	}
	return ParseID(scheme + domain + "/" + strings.Join(path, "/"))
}

// ParseID reads an id.
func ParseID(text string) (ID, error) {
	rest, ok := strings.CutPrefix(text, scheme)
	if !ok {
		return "", fmt.Errorf("%q: must begin with %s", text, scheme)
	}
	if len(text) > maxID {
		return "", fmt.Errorf("%d bytes: must be at most %d", len(text), maxID)
	}
	domain, path, _ := strings.Cut(rest, "/")
	if err := CheckDomain(domain); err != nil {
		return "", fmt.Errorf("trust domain %w", err)
	}
	for segment := range strings.SplitSeq(path, "/") {
		if !segmentForm.MatchString(segment) || segment == "." || segment == ".." {
			return "", fmt.Errorf("%q: its path must be segments of a-z, A-Z, 0-9, dot, - and _", text)
		}
	}
	return ID(text), nil
}

// Domain is the trust domain.
func (id ID) Domain() string {
	domain, _, _ := strings.Cut(strings.TrimPrefix(string(id), scheme), "/")
	return domain
}

// The names in the paths of ids that are of one node.
const (
	nodeName    = "node"
	clusterName = "node-cluster"
)

// ForNode is the id of one node: /node/ID, or /node-cluster/CLUSTER/node/ID.
func ForNode(domain, cluster, node string) (ID, error) {
	if cluster == "" {
		return NewID(domain, nodeName, node)
	}
	return NewID(domain, clusterName, cluster, nodeName, node)
}

// ForServiceAccount is the id of whatever runs under a Kubernetes service account,
// as Istio has it.
func ForServiceAccount(domain, namespace, name string) (ID, error) {
	return NewID(domain, "ns", namespace, "sa", name)
}

// Node is whose the id is, where it is of one node.
func (id ID) Node() (cluster, node string, ok bool) {
	_, path, _ := strings.Cut(strings.TrimPrefix(string(id), scheme), "/")
	switch s := strings.Split(path, "/"); {
	case len(s) == 2 && s[0] == nodeName:
		return "", s[1], true
	case len(s) == 4 && s[0] == clusterName && s[2] == nodeName:
		return s[1], s[3], true
	}
	return "", "", false
}

var errNames = errors.New("a certificate of a sidecar has exactly one URI, its SPIFFE id")

// IDOf is the id in a certificate.
func IDOf(cert *x509.Certificate) (ID, error) {
	if len(cert.URIs) != 1 {
		return "", errNames
	}
	return ParseID(cert.URIs[0].String())
}
