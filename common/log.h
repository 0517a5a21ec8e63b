/*
 * One line per event: `event key=value key="quoted value"`, to stderr or a file.
 *
 * Under journald (JOURNAL_STREAM set) the line starts with `<level>` and journald adds time and identity; else it
 * starts with an RFC 3339 UTC time and the level's name. Values are escaped and cut to LOG_VALUE_BYTES; they are never
 * a format string. The same event is written at most LOG_BURST times in LOG_WINDOW_MS; the next line of it then carries
 * `suppressed=N`. Every event name stands in docs/log-events.md.
 */
#ifndef PICKET_COMMON_LOG_H
#define PICKET_COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERROR = 3,   /* a person must act */
	LOG_LEVEL_WARNING = 4, /* degraded, still doing the job */
	LOG_LEVEL_NOTICE = 5,  /* a state change that an auditor wants */
	LOG_LEVEL_INFO = 6,    /* life cycle */
	LOG_LEVEL_DEBUG = 7,   /* for us */
};

enum log_kind { LOG_KIND_NONE, LOG_KIND_STR, LOG_KIND_BYTES, LOG_KIND_I64, LOG_KIND_U64, LOG_KIND_ERRNO };

struct log_kv {
	const char *key;
	enum log_kind kind;
	const void *ptr;
	size_t len;
	int64_t i64;
	uint64_t u64;
};

/* NULL prints as (none). */
#define KV_STR(k, v) ((struct log_kv){.key = (k), .kind = LOG_KIND_STR, .ptr = (v)})
#define KV_BYTES(k, p, n) ((struct log_kv){.key = (k), .kind = LOG_KIND_BYTES, .ptr = (p), .len = (n)})
#define KV_I64(k, v) ((struct log_kv){.key = (k), .kind = LOG_KIND_I64, .i64 = (int64_t)(v)})
#define KV_U64(k, v) ((struct log_kv){.key = (k), .kind = LOG_KIND_U64, .u64 = (uint64_t)(v)})
/* A positive or negative errno; prints key error="text". */
#define KV_ERRNO(e) ((struct log_kv){.key = "error", .kind = LOG_KIND_ERRNO, .i64 = (int64_t)(e)})

#define LOG_KVS(...) ((const struct log_kv[]){{.key = NULL}, __VA_ARGS__})
#define log_error(event, ...)                                                                                          \
	log_event(LOG_LEVEL_ERROR, event, LOG_KVS(__VA_ARGS__), sizeof(LOG_KVS(__VA_ARGS__)) / sizeof(struct log_kv))
#define log_warning(event, ...)                                                                                        \
	log_event(LOG_LEVEL_WARNING, event, LOG_KVS(__VA_ARGS__), sizeof(LOG_KVS(__VA_ARGS__)) / sizeof(struct log_kv))
#define log_notice(event, ...)                                                                                         \
	log_event(LOG_LEVEL_NOTICE, event, LOG_KVS(__VA_ARGS__), sizeof(LOG_KVS(__VA_ARGS__)) / sizeof(struct log_kv))
#define log_info(event, ...)                                                                                           \
	log_event(LOG_LEVEL_INFO, event, LOG_KVS(__VA_ARGS__), sizeof(LOG_KVS(__VA_ARGS__)) / sizeof(struct log_kv))
#define log_debug(event, ...)                                                                                          \
	log_event(LOG_LEVEL_DEBUG, event, LOG_KVS(__VA_ARGS__), sizeof(LOG_KVS(__VA_ARGS__)) / sizeof(struct log_kv))

/*
 * log_open - choose where the lines go.
 * @name:   the process, e.g. collectord; borrowed for ever.
 * @path:   file to append to (mode 0640), or NULL or "" for stderr.
 * @level:  lines above it are not written.
 * Returns 0 or a negative errno of open(2).
 */
int log_open(const char *name, const char *path, enum log_level level);

/* log_level_parse - "error" .. "debug" to a level. Returns 0, or -EINVAL with *ret_level untouched. */
int log_level_parse(const char *text, enum log_level *ret_level);

/* True when lines of the level are written: guards work that only feeds the log. */
bool log_wants(enum log_level level);

/* Use the macros above. kvs[0] is a place holder and ignored. Never fails: a line that cannot be written is dropped. */
void log_event(enum log_level level, const char *event, const struct log_kv *kvs, size_t n_kvs);

/*
 * log_format - the line without prefix and newline, for tests and log_event().
 * Returns the length written to buf, which is always terminated; a line that does not fit is cut.
 */
size_t log_format(char *buf, size_t size, const char *event, const struct log_kv *kvs, size_t n_kvs);

#endif
