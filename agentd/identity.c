/*
 * The agent's id and the facts about the machine. Called by main.c at start and by peers.c every minute. Addresses come
 * from rtnetlink (getifaddrs): the one kind of socket beside AF_UNIX that sandbox.c allows; without CAP_NET_ADMIN it
 * can only ask.
 */
#include "agentd/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "common/atomic_file.h"
#include "common/cleanup.h"

#define ID_FILE "agent-id"

/* Bytes of os-release(5) that are read: real ones have about 500. */
#define OS_RELEASE_BYTES 8192u

bool
agt_id_is_valid(const char *id)
{
	if (strlen(id) != AGT_ID_BYTES - 1)
		return false;
	for (size_t i = 0; i < AGT_ID_BYTES - 1; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? id[i] != '-' : strchr("0123456789abcdef", id[i]) == NULL)
			return false;
	}
	return true;
}

/* RFC 4122, 4.4. */
static int
id_make(char id[AGT_ID_BYTES])
{
	uint8_t b[16];

	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return -EIO;
	b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	(void)snprintf(id, AGT_ID_BYTES, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
	    b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return 0;
}

int
agt_id_load(int dirfd, char id[AGT_ID_BYTES])
{
	AUTO_FREE uint8_t *data = NULL;
	size_t len;
	char line[AGT_ID_BYTES + 1];
	int r = atomic_file_read(dirfd, ID_FILE, AGT_ID_BYTES, &data, &len);

	if (r == -ENOENT) {
		r = id_make(id);
		if (r < 0)
			return r;
		(void)snprintf(line, sizeof(line), "%s\n", id);
		return atomic_file_write(dirfd, ID_FILE, 0600, line, strlen(line));
	}
	if (r < 0)
		return r;
	if (len > 0 && data[len - 1] == '\n')
		data[len - 1] = '\0';
	if (!agt_id_is_valid((const char *)data))
		return -EINVAL;
	(void)snprintf(id, AGT_ID_BYTES, "%s", (const char *)data);
	return 0;
}

const char *
agt_os_release_value(const char *text, const char *key, char *buf, size_t size)
{
	size_t key_len = strlen(key);

	buf[0] = '\0';
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		if (len > key_len && strncmp(text, key, key_len) == 0 && text[key_len] == '=') {
			const char *value = text + key_len + 1;
			size_t n = len - key_len - 1;

			if (n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n - 1] == value[0]) {
				value++;
				n -= 2;
			}
			(void)snprintf(buf, size, "%.*s", (int)n, value);
			return buf;
		}
		text += len;
		text += *text == '\n';
	}
	return buf;
}

void
agt_host_os(struct agt_host *host)
{
	static const char *const paths[] = {"/etc/os-release", "/usr/lib/os-release"};
	char text[OS_RELEASE_BYTES];

	(void)snprintf(host->os_name, sizeof(host->os_name), "Linux");
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		AUTO_FILE FILE *f = fopen(paths[i], "re");
		char name[sizeof(host->os_name)];

		if (f == NULL)
			continue;
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		if (*agt_os_release_value(text, "NAME", name, sizeof(name)) != '\0')
			memcpy(host->os_name, name, sizeof(name));
		(void)agt_os_release_value(text, "VERSION_ID", host->os_version, sizeof(host->os_version));
		return;
	}
}

static void
add_address(struct agt_host *host, const void *bytes, uint8_t len)
{
	struct agt_address *a;

	if (host->n_addresses == AGT_ADDRESSES)
		return;
	a = &host->address[host->n_addresses++];
	memcpy(a->bytes, bytes, len);
	a->len = len;
}

static void
add_interface(struct agt_host *host, const struct ifaddrs *ifa)
{
	if (ifa->ifa_addr == NULL || (ifa->ifa_flags & IFF_LOOPBACK) != 0)
		return;
	if (ifa->ifa_addr->sa_family == AF_INET) {
		const struct sockaddr_in *in4 = (const void *)ifa->ifa_addr;

		add_address(host, &in4->sin_addr, 4);
	} else if (ifa->ifa_addr->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)ifa->ifa_addr;

		if (!IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			add_address(host, &in6->sin6_addr, 16);
	} else if (ifa->ifa_addr->sa_family == AF_PACKET) {
		const struct sockaddr_ll *ll = (const void *)ifa->ifa_addr;

		if (ll->sll_halen == sizeof(host->mac[0]) && host->n_macs < AGT_MACS)
			memcpy(host->mac[host->n_macs++], ll->sll_addr, sizeof(host->mac[0]));
	}
}

/* The system does not change while it runs: the rest can. */
static bool
differs(const struct agt_host *a, const struct agt_host *b)
{
	if (strcmp(a->name, b->name) != 0 || strcmp(a->kernel, b->kernel) != 0 || a->n_addresses != b->n_addresses ||
	    a->n_macs != b->n_macs || memcmp(a->mac, b->mac, a->n_macs * sizeof(a->mac[0])) != 0)
		return true;
	for (size_t i = 0; i < a->n_addresses; i++)
		if (a->address[i].len != b->address[i].len ||
		    memcmp(a->address[i].bytes, b->address[i].bytes, a->address[i].len) != 0)
			return true;
	return false;
}

bool
agt_host_refresh(struct agt_host *host)
{
	struct agt_host next = {.n_addresses = 0};
	struct utsname uts;
	struct ifaddrs *list;
	bool changed;

	memcpy(next.os_name, host->os_name, sizeof(next.os_name));
	memcpy(next.os_version, host->os_version, sizeof(next.os_version));
	if (uname(&uts) == 0) {
		(void)snprintf(next.name, sizeof(next.name), "%.64s", uts.nodename);
		(void)snprintf(next.kernel, sizeof(next.kernel), "%.64s", uts.release);
	}
	if (getifaddrs(&list) == 0) {
		for (const struct ifaddrs *ifa = list; ifa != NULL; ifa = ifa->ifa_next)
			add_interface(&next, ifa);
		freeifaddrs(list);
	}
	changed = differs(&next, host);
	*host = next;
	return changed;
}
