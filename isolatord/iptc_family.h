/*
 * libiptc exists twice, once for each IP version, with the same functions under other names and types. This table makes
 * them one.
 */
#ifndef PICKET_ISOLATORD_IPTC_FAMILY_H
#define PICKET_ISOLATORD_IPTC_FAMILY_H

#include <libiptc/xtcshared.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Functions as in libiptc.h: they return 0 or NULL on failure and set errno. Entries are struct ipt_entry or struct
 * ip6t_entry.
 */
struct iptc_family {
	uint8_t family; /* AF_INET or AF_INET6 */
	const char *name;
	int level;   /* of the socket options */
	int so_info; /* socket option that tells number and size of the rules */
	struct xtc_handle *(*init)(const char *table);
	void (*done)(struct xtc_handle *h);
	int (*commit)(struct xtc_handle *h);
	const char *(*strerror)(int error);
	int (*is_chain)(const char *chain, struct xtc_handle *h);
	int (*create_chain)(const char *chain, struct xtc_handle *h);
	int (*flush_chain)(const char *chain, struct xtc_handle *h);
	int (*delete_chain)(const char *chain, struct xtc_handle *h);
	const char *(*first_chain)(struct xtc_handle *h);
	const char *(*next_chain)(struct xtc_handle *h);
	const void *(*first_rule)(const char *chain, struct xtc_handle *h);
	const void *(*next_rule)(const void *entry, struct xtc_handle *h);
	const char *(*target)(const void *entry, struct xtc_handle *h);
	int (*append)(const char *chain, const void *entry, struct xtc_handle *h);
	int (*insert)(const char *chain, const void *entry, unsigned int at, struct xtc_handle *h);
	int (*delete_rule)(const char *chain, unsigned int at, struct xtc_handle *h);
};

extern const struct iptc_family iptc_v4, iptc_v6;

#endif
