package resource

import (
	"crypto/tls"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/fridaymesh/friday/proxy/tlscontext"
)

// params reads versions, ciphers and curves.
func (p *problems) params(path string, m *tlsv3.TlsParameters, c *tlscontext.Common) {
	c.MinVersion, c.MaxVersion = version(m.GetTlsMinimumProtocolVersion()), version(m.GetTlsMaximumProtocolVersion())
	if c.MaxVersion != 0 && c.MinVersion > c.MaxVersion {
		p.addf(path+".tls_maximum_protocol_version", "less than tls_minimum_protocol_version")
	}
	if c.MinVersion == 0 && c.MaxVersion != 0 && c.MaxVersion < tls.VersionTLS12 {
		p.addf(path+".tls_minimum_protocol_version", "missing: the default, TLS 1.2, is above the maximum")
	}
	for i, name := range m.GetCipherSuites() {
		at := path + "." + index("cipher_suites", i)
		// Names in [A|B] are of equal preference; crypto/tls has its own order anyway.
		for one := range strings.SplitSeq(strings.Trim(name, "[]"), "|") {
			id, ok := ciphers()[one]
			if !ok {
				p.add(at, quote(one), "not supported")
				continue
			}
			c.Ciphers = append(c.Ciphers, id)
		}
	}
	for i, name := range m.GetEcdhCurves() {
		id, ok := curves()[name]
		if !ok {
			p.add(path+"."+index("ecdh_curves", i), quote(name), "not supported")
			continue
		}
		c.Curves = append(c.Curves, id)
	}
}

func version(v tlsv3.TlsParameters_TlsProtocol) uint16 {
	switch v {
	case tlsv3.TlsParameters_TLSv1_0:
		return tls.VersionTLS10
	case tlsv3.TlsParameters_TLSv1_1:
		return tls.VersionTLS11
	case tlsv3.TlsParameters_TLSv1_2:
		return tls.VersionTLS12
	case tlsv3.TlsParameters_TLSv1_3:
		return tls.VersionTLS13
	case tlsv3.TlsParameters_TLS_AUTO:
	}
	return 0
}

// ciphers are the suites of TLS 1.2 and older by the names that BoringSSL gives
// them.
func ciphers() map[string]uint16 {
	return map[string]uint16{
		"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-ECDSA-CHACHA20-POLY1305": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		"ECDHE-RSA-AES256-GCM-SHA384":   tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		"ECDHE-RSA-CHACHA20-POLY1305":   tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		"ECDHE-ECDSA-AES128-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA,
		"ECDHE-ECDSA-AES256-SHA":        tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA,
		"ECDHE-RSA-AES128-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,
		"ECDHE-RSA-AES256-SHA":          tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA,
		"AES128-GCM-SHA256":             tls.TLS_RSA_WITH_AES_128_GCM_SHA256,
		"AES256-GCM-SHA384":             tls.TLS_RSA_WITH_AES_256_GCM_SHA384,
		"AES128-SHA":                    tls.TLS_RSA_WITH_AES_128_CBC_SHA,
		"AES256-SHA":                    tls.TLS_RSA_WITH_AES_256_CBC_SHA,
	}
}

func curves() map[string]tls.CurveID {
	return map[string]tls.CurveID{
		"X25519": tls.X25519, "X25519MLKEM768": tls.X25519MLKEM768,
		"P-256": tls.CurveP256, "P-384": tls.CurveP384, "P-521": tls.CurveP521,
		"prime256v1": tls.CurveP256, "secp384r1": tls.CurveP384, "secp521r1": tls.CurveP521,
	}
}
