/* Thin wrappers around libip4tc and libip6tc; nothing is decided here. Called by iptc.c only. */
#include "isolatord/iptc_family.h"

#include <libiptc/libip6tc.h>
#include <libiptc/libiptc.h>
#include <netinet/in.h>

/* clang-format off */
/* Names are at most 31 characters; libiptc takes an array type, which a pointer satisfies. */
#define WRAP(p, lib) \
	static int p##_create_chain(const char *chain, struct xtc_handle *h) { return lib##_create_chain(chain, h); } \
	static int p##_flush_chain(const char *chain, struct xtc_handle *h) { return lib##_flush_entries(chain, h); } \
	static int p##_delete_chain(const char *chain, struct xtc_handle *h) { return lib##_delete_chain(chain, h); } \
	static const void *p##_first_rule(const char *chain, struct xtc_handle *h) { return lib##_first_rule(chain, h); } \
	static const void *p##_next_rule(const void *entry, struct xtc_handle *h) { return lib##_next_rule(entry, h); } \
	static const char *p##_target(const void *entry, struct xtc_handle *h) { return lib##_get_target(entry, h); } \
	static int p##_append(const char *chain, const void *entry, struct xtc_handle *h) \
		{ return lib##_append_entry(chain, entry, h); } \
	static int p##_insert(const char *chain, const void *entry, unsigned int at, struct xtc_handle *h) \
		{ return lib##_insert_entry(chain, entry, at, h); } \
	static int p##_delete_rule(const char *chain, unsigned int at, struct xtc_handle *h) \
		{ return lib##_delete_num_entry(chain, at, h); }

#define FAMILY(p, lib) \
	.init = lib##_init, .done = lib##_free, .commit = lib##_commit, .strerror = lib##_strerror, \
	.is_chain = lib##_is_chain, .create_chain = p##_create_chain, .flush_chain = p##_flush_chain, \
	.delete_chain = p##_delete_chain, .first_chain = lib##_first_chain, .next_chain = lib##_next_chain, \
	.first_rule = p##_first_rule, .next_rule = p##_next_rule, .target = p##_target, .append = p##_append, \
	.insert = p##_insert, .delete_rule = p##_delete_rule

WRAP(v4, iptc)
WRAP(v6, ip6tc)

const struct iptc_family iptc_v4 = {
	.family = AF_INET, .name = "v4", .level = IPPROTO_IP, .so_info = IPT_SO_GET_INFO, FAMILY(v4, iptc),
};
const struct iptc_family iptc_v6 = {
	.family = AF_INET6, .name = "v6", .level = IPPROTO_IPV6, .so_info = IP6T_SO_GET_INFO, FAMILY(v6, ip6tc),
};
/* clang-format on */
