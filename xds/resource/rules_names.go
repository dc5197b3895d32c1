package resource

import "google.golang.org/protobuf/reflect/protoreflect"

// byItsType is a TypedExtensionConfig whose configuration is of a type of the table.
func byItsType() rule {
	return within(rules{"name": ignored(byType), "typed_config": honoured("of a type below")})
}

func namesRules() map[protoreflect.FullName]rules {
	return map[protoreflect.FullName]rules{
		"envoy.config.cluster.v3.Cluster.RefreshRate": {
			"base_interval": honoured(),
			"max_interval":  honoured("10 times base_interval where absent"),
		},
		"envoy.extensions.clusters.dns.v3.DnsCluster": {
			"dns_refresh_rate":                 honoured("5s where absent"),
			"dns_failure_refresh_rate":         within(rules{"base_interval": honoured(), "max_interval": honoured()}),
			"respect_dns_ttl":                  ignored("the refresh rate counts: the resolver does not tell the time to live"),
			"dns_jitter":                       honoured(),
			"typed_dns_resolver_config":        byItsType(),
			"dns_lookup_family":                honoured(),
			"all_addresses_in_single_endpoint": honoured("as LOGICAL_DNS"),
		},
		"envoy.config.core.v3.DnsResolutionConfig": {
			"resolvers":            honoured(),
			"dns_resolver_options": honoured(),
		},
		"envoy.config.core.v3.DnsResolverOptions": {
			"use_tcp_for_dns_lookups":  only("false"),
			"no_default_search_domain": only("false"),
		},
		"envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig": {
			"resolvers":                  honoured("in place of the system's"),
			"dns_resolver_options":       honoured(),
			"udp_max_queries":            ignored("every query has a socket of its own"),
			"max_udp_channel_duration":   ignored("every query has a socket of its own"),
			"reinit_channel_on_timeout":  ignored("every query has a socket of its own"),
			"query_timeout_seconds":      ignored("the system's resolver has its own"),
			"query_tries":                ignored("the system's resolver has its own"),
			"rotate_nameservers":         ignored("one is chosen at random"),
			"edns0_max_payload_size":     ignored("the system's resolver has its own"),
			"qcache_max_ttl":             ignored("nothing is kept but for dns_refresh_rate"),
			"filter_unroutable_families": only("false"),
			"use_resolvers_as_fallback":  only("false"),
		},
		"envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig": {
			"num_retries": ignored("the system's resolver has its own"),
		},
	}
}
