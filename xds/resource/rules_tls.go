package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// tlsRules are of transport sockets and secrets.
func tlsRules() map[protoreflect.FullName]rules {
	const tls = "envoy.extensions.transport_sockets.tls.v3."
	pem := within(rules{
		"filename":      honoured("looked at again at most every second when handshakes come"),
		"inline_bytes":  honoured(),
		"inline_string": honoured(),
	})
	inline := within(rules{"inline_bytes": honoured(), "inline_string": honoured()})
	watched := ignored("files are looked at again anyway")
	return map[protoreflect.FullName]rules{
		"envoy.config.core.v3.TransportSocket": {
			"name":         ignored(byType),
			"typed_config": honoured("a TLS context of its side, or a RawBuffer"),
		},
		"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer": {},
		tls + "DownstreamTlsContext": {
			"common_tls_context":                    honoured(),
			"require_client_certificate":            honoured("without it a caller's certificate is asked for where there is a validation context, and must then be good"),
			"require_sni":                           honoured(),
			"session_ticket_keys":                   honoured("Fridays of the same keys take each other's sessions, not Envoy's"),
			"session_ticket_keys_sds_secret_config": honoured(),
			"disable_stateless_session_resumption":  honoured(),
			"disable_stateful_session_resumption":   ignored("sessions are kept in tickets only"),
			"session_timeout":                       honoured("at most 7 days, which is the default"),
			"ocsp_staple_policy":                    only("LENIENT_STAPLING"),
			"full_scan_certs_on_sni_mismatch":       ignored("all certificates are looked through anyway"),
			"prefer_client_ciphers":                 ignored("the order of ciphers is crypto/tls's own"),
		},
		tls + "UpstreamTlsContext": {
			"common_tls_context":      honoured(),
			"sni":                     honoured(),
			"auto_host_sni":           honoured(),
			"auto_sni_san_validation": honoured(),
			"allow_renegotiation":     only("false"),
			"max_session_keys":        honoured("for each endpoint; 1 where absent"),
			"enforce_rsa_key_usage":   only("false"),
		},
		tls + "CommonTlsContext": {
			"tls_params":                           honoured(),
			"tls_certificates":                     honoured(),
			"tls_certificate_sds_secret_configs":   honoured(),
			"validation_context":                   honoured("without one nothing is asked of the peer's certificate, as in Envoy"),
			"validation_context_sds_secret_config": honoured(),
			"combined_validation_context":          honoured(),
			"alpn_protocols":                       honoured("less istio-peer-exchange, which is not spoken; where none is common the handshake goes on without, as in Envoy"),
		},
		tls + "CommonTlsContext.CombinedCertificateValidationContext": {
			"default_validation_context":           honoured(),
			"validation_context_sds_secret_config": honoured("lists are joined, the rest counts where it is set"),
		},
		tls + "TlsParameters": {
			"tls_minimum_protocol_version": honoured("TLS 1.2 where absent"),
			"tls_maximum_protocol_version": honoured("TLS 1.3 where absent"),
			"cipher_suites":                honoured("those that crypto/tls has; in its own order"),
			"ecdh_curves":                  honoured("X25519, X25519MLKEM768, P-256, P-384, P-521"),
		},
		tls + "TlsCertificate": {
			"certificate_chain":            pem,
			"private_key":                  pem,
			"watched_directory":            watched,
			"ocsp_staple":                  pem,
			"signed_certificate_timestamp": ignored("Envoy does not send it either"),
		},
		tls + "TlsSessionTicketKeys": {"keys": inline},
		tls + "CertificateValidationContext": {
			"trusted_ca":                           pem,
			"system_root_certs":                    within(rules{}),
			"watched_directory":                    watched,
			"verify_certificate_spki":              honoured(),
			"verify_certificate_hash":              honoured(),
			"match_typed_subject_alt_names":        honoured("one must match"),
			"match_subject_alt_names":              honoured("of any type; one must match"),
			"crl":                                  pem,
			"only_verify_leaf_cert_crl":            honoured(),
			"allow_expired_certificate":            honoured(),
			"trust_chain_verification":             honoured(),
			"suppress_client_ca_list":              honoured(),
			"require_signed_certificate_timestamp": only("false"),
		},
		tls + "SubjectAltNameMatcher": {
			"san_type": only("EMAIL", "DNS", "URI", "IP_ADDRESS"),
			"matcher":  honoured("an exact DNS name is met by a certificate's wildcard, too"),
		},
		tls + "SdsSecretConfig": {
			"name": honoured(),
			"sds_config": within(rules{
				"ads": honoured(),
				"api_config_source": within(rules{
					"api_type":                       only("GRPC", "DELTA_GRPC"),
					"transport_api_version":          only("V3"),
					"grpc_services":                  within(rules{"envoy_grpc": honoured(), "timeout": ignored("the connection's keepalive counts")}),
					"set_node_on_first_message_only": ignored("always so"),
				}),
				"resource_api_version":  only("V3"),
				"initial_fetch_timeout": honoured("15s where absent; 0s: for ever. Absent altogether: the secret is one of static_resources"),
			}),
		},
		tls + "Secret": {
			"name":                honoured(),
			"tls_certificate":     honoured(),
			"validation_context":  honoured(),
			"session_ticket_keys": honoured(),
		},
	}
}
