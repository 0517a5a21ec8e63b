/* Log lines: formatting, escaping, rate limit. Never blocks on purpose, never exits, never allocates. Called from
 * everywhere. */
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

/* Bytes of one value before it is cut: a long path is still useful, a line stays readable. */
#define LOG_VALUE_BYTES 512u
/* Bytes of one line; write(2) of this much to a pipe is atomic (PIPE_BUF is 4,096). */
#define LOG_LINE_BYTES 4096u
/* Lines of one event in one window before the rest is counted instead of written. */
#define LOG_BURST 10u
/* Milliseconds of that window. */
#define LOG_WINDOW_MS 10000u
/* Events remembered for the rate limit; a collision only shares a limit. */
#define LOG_SLOTS 64u

struct log_slot {
	uint32_t hash;
	uint32_t written;
	uint32_t suppressed;
	struct mono_ms window_start;
};

static struct {
	const char *name;
	enum log_level level;
	int fd;
	bool journal;
	struct log_slot slots[LOG_SLOTS];
} self = {.name = "picket", .level = LOG_LEVEL_INFO, .fd = STDERR_FILENO};

struct out {
	char *buf;
	size_t size;
	size_t len;
};

static void
put(struct out *out, const char *text, size_t len)
{
	size_t room = out->size - 1 - out->len;

	if (len > room)
		len = room;
	memcpy(out->buf + out->len, text, len);
	out->len += len;
	out->buf[out->len] = '\0';
}

static void
put_str(struct out *out, const char *text)
{
	put(out, text, strlen(text));
}

/* Bare when it is a plain word, else quoted with \xNN for all that could forge a line or move a cursor. */
static void
put_value(struct out *out, const unsigned char *p, size_t len)
{
	bool plain = len > 0;
	size_t n = len < LOG_VALUE_BYTES ? len : LOG_VALUE_BYTES;

	for (size_t i = 0; i < n && plain; i++)
		plain = p[i] > ' ' && p[i] < 0x7f && p[i] != '"' && p[i] != '\\' && p[i] != '=';
	if (plain && n == len) {
		put(out, (const char *)p, n);
		return;
	}
	put_str(out, "\"");
	for (size_t i = 0; i < n; i++) {
		char esc[8];

		if (p[i] == '"' || p[i] == '\\')
			(void)snprintf(esc, sizeof(esc), "\\%c", p[i]);
		else if (p[i] < ' ' || p[i] >= 0x7f)
			(void)snprintf(esc, sizeof(esc), "\\x%02x", p[i]);
		else
			(void)snprintf(esc, sizeof(esc), "%c", p[i]);
		put_str(out, esc);
	}
	put_str(out, n < len ? "...\"" : "\"");
}

static void
put_kv(struct out *out, const struct log_kv *kv)
{
	char text[128];

	put_str(out, " ");
	put_str(out, kv->key);
	put_str(out, "=");
	switch (kv->kind) {
	case LOG_KIND_STR:
		text[0] = '\0';
		put_value(out, kv->ptr != NULL ? kv->ptr : "(none)", kv->ptr != NULL ? strlen(kv->ptr) : 6);
		return;
	case LOG_KIND_BYTES:
		put_value(out, kv->ptr, kv->len);
		return;
	case LOG_KIND_I64:
		(void)snprintf(text, sizeof(text), "%lld", (long long)kv->i64);
		break;
	case LOG_KIND_U64:
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)kv->u64);
		break;
	case LOG_KIND_ERRNO: {
		/* GNU's: the result may be a constant, and text is then not written. */
		const char *why = strerror_r((int)(kv->i64 < 0 ? -kv->i64 : kv->i64), text, sizeof(text));

		put_value(out, (const unsigned char *)why, strlen(why));
		return;
	}
	case LOG_KIND_NONE:
		text[0] = '\0';
		break;
	}
	put_str(out, text);
}

size_t
log_format(char *buf, size_t size, const char *event, const struct log_kv *kvs, size_t n_kvs)
{
	struct out out = {.buf = buf, .size = size};

	buf[0] = '\0';
	put_str(&out, event);
	for (size_t i = 0; i < n_kvs; i++) {
		if (kvs[i].key != NULL)
			put_kv(&out, &kvs[i]);
	}
	return out.len;
}

int
log_open(const char *name, const char *path, enum log_level level)
{
	self.name = name;
	self.level = level;
	self.journal = getenv("JOURNAL_STREAM") != NULL;
	if (path == NULL || path[0] == '\0')
		return 0;

	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return -errno;
	self.fd = fd;
	self.journal = false;
	return 0;
}

int
log_level_parse(const char *text, enum log_level *ret_level)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
	    {"error", LOG_LEVEL_ERROR},
	    {"warning", LOG_LEVEL_WARNING},
	    {"notice", LOG_LEVEL_NOTICE},
	    {"info", LOG_LEVEL_INFO},
	    {"debug", LOG_LEVEL_DEBUG},
	};

	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(text, levels[i].name) == 0) {
			*ret_level = levels[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

bool
log_wants(enum log_level level)
{
	return level <= self.level;
}

static const char *
level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARNING:
		return "warning";
	case LOG_LEVEL_NOTICE:
		return "notice";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "unknown";
}

static uint32_t
hash_name(const char *text)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (; *text != '\0'; text++)
		h = (h ^ (unsigned char)*text) * 16777619u;
	return h;
}

/* True when the line may be written; *ret_suppressed is how many before it were not. */
static bool
rate_allows(const char *event, uint32_t *ret_suppressed)
{
	uint32_t hash = hash_name(event);
	struct log_slot *slot = &self.slots[hash % LOG_SLOTS];
	struct mono_ms now = mono_now();

	*ret_suppressed = 0;
	if (slot->hash != hash || mono_since(slot->window_start, now) >= LOG_WINDOW_MS) {
		*ret_suppressed = slot->hash == hash ? slot->suppressed : 0;
		*slot = (struct log_slot){.hash = hash, .window_start = now};
	}
	if (slot->written >= LOG_BURST) {
		slot->suppressed++;
		return false;
	}
	slot->written++;
	return true;
}

void
log_event(enum log_level level, const char *event, const struct log_kv *kvs, size_t n_kvs)
{
	char line[LOG_LINE_BYTES];
	uint32_t suppressed = 0;
	int n;

	if (!log_wants(level))
		return;
	if (level != LOG_LEVEL_DEBUG && !rate_allows(event, &suppressed))
		return;
	if (self.journal) {
		n = snprintf(line, sizeof(line), "<%d>%s[%d]: ", (int)level, self.name, (int)getpid());
	} else {
		struct timespec ts;
		struct tm tm;
		char when[32];

		(void)clock_gettime(CLOCK_REALTIME, &ts);
		(void)gmtime_r(&ts.tv_sec, &tm);
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
		n = snprintf(line, sizeof(line), "%s.%03ldZ %s %s[%d]: ", when, ts.tv_nsec / 1000000, level_name(level),
		    self.name, (int)getpid());
	}

	struct out out = {.buf = line, .size = sizeof(line) - 1, .len = (size_t)n};
	out.len += log_format(line + n, sizeof(line) - 1 - (size_t)n, event, kvs, n_kvs);
	if (suppressed > 0)
		put_kv(&out, &KV_U64("suppressed", suppressed));
	line[out.len] = '\n';
	if (write(self.fd, line, out.len + 1) < 0)
		return; /* nowhere left to say it */
}
