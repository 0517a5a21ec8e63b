/* Two direct-mapped tables about processes. Never allocates after procs_new(). Called by normalise.c. */
#include "collectord/procs.h"

#include <stdlib.h>

/* Processes remembered: half of the default pid_max (32,768), in 256 KiB. A power of two. */
#define PROCESSES 16384u

/* Bound sockets remembered: listen(2) mostly follows bind(2) at once. A power of two. */
#define BINDS 256u

/* Bytes of an address: struct sockaddr_storage. */
#define ADDRESS_BYTES 128u

struct process {
	uint32_t pid;
	uint64_t id;
};

struct bind {
	uint32_t pid, fd;
	uint8_t len; /* 0: unused */
	uint8_t address[ADDRESS_BYTES];
};

struct procs {
	uint64_t seed;
	struct process processes[PROCESSES];
	struct bind binds[BINDS];
};

struct procs *
procs_new(uint64_t seed)
{
	struct procs *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->seed = seed;
	return p;
}

void
procs_free(struct procs *p)
{
	free(p);
}

/* The finalizer of splitmix64. */
static uint64_t
mix(uint64_t x)
{
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

uint64_t
procs_start(struct procs *p, uint32_t pid, uint32_t serial, uint64_t time_ms)
{
	struct process *e = &p->processes[pid & (PROCESSES - 1)];

	e->pid = pid;
	e->id = mix(mix(p->seed ^ time_ms) + ((uint64_t)pid << 32 | serial));
	if (e->id == 0)
		e->id = 1;
	return e->id;
}

uint64_t
procs_id(const struct procs *p, uint32_t pid)
{
	const struct process *e = &p->processes[pid & (PROCESSES - 1)];

	return e->pid == pid ? e->id : 0;
}

void
procs_end(struct procs *p, uint32_t pid)
{
	struct process *e = &p->processes[pid & (PROCESSES - 1)];

	if (e->pid == pid)
		e->id = 0;
}

static size_t
bind_slot(uint32_t pid, uint32_t fd)
{
	return (pid * 31 + fd) & (BINDS - 1);
}

void
procs_bound(struct procs *p, uint32_t pid, uint32_t fd, struct slice address)
{
	struct bind *b = &p->binds[bind_slot(pid, fd)];

	b->pid = pid;
	b->fd = fd;
	b->len = (uint8_t)(address.len < ADDRESS_BYTES ? address.len : ADDRESS_BYTES);
	(void)memcpy(b->address, address.data, b->len);
}

struct slice
procs_bound_to(const struct procs *p, uint32_t pid, uint32_t fd)
{
	const struct bind *b = &p->binds[bind_slot(pid, fd)];

	if (b->pid != pid || b->fd != fd)
		return (struct slice){NULL, 0};
	return (struct slice){b->address, b->len};
}
