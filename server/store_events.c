/*
 * The events table. store_event_put() is the hot path: prepared statements, values bound in place, nothing allocated
 * here. Called by api.c and the command line.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/columns.h"
#include "server/store_internal.h"

/* The stream of (host, epoch), entered at first sight. */
static int
find_stream(struct store *store, int64_t host, uint64_t epoch, int64_t *ret_stream)
{
	if (store->stream != 0 && store->stream_host == host && store->stream_epoch == epoch) {
		*ret_stream = store->stream;
		return 0;
	}
	sqlite3_stmt *stmt = store_stmt(store, STMT_STREAM_FIND);
	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	store_bind_u64(stmt, 2, epoch);
	int rc = sqlite3_step(stmt);
	int64_t stream = rc == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : 0;
	int r = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_errno(store);
	(void)sqlite3_reset(stmt);
	if (r < 0)
		return r;
	if (rc == SQLITE_DONE) {
		stmt = store_stmt(store, STMT_STREAM_ADD);
		if (stmt == NULL)
			return store_errno(store);
		(void)sqlite3_bind_int64(stmt, 1, host);
		store_bind_u64(stmt, 2, epoch);
		r = store_run(store, stmt);
		if (r < 0)
			return r;
		stream = sqlite3_last_insert_rowid(store->db);
	}
	store->stream = *ret_stream = stream;
	store->stream_host = host;
	store->stream_epoch = epoch;
	return 0;
}

static void
bind_process(sqlite3_stmt *stmt, const struct columns *columns)
{
	if (!columns->has_process) {
		for (int i = 7; i <= 9; i++)
			(void)sqlite3_bind_null(stmt, i);
		return;
	}
	(void)sqlite3_bind_int64(stmt, 7, columns->pid);
	(void)sqlite3_bind_int64(stmt, 8, columns->ppid);
	(void)sqlite3_bind_int64(stmt, 9, columns->uid);
}

int
store_event_put(
    struct store *store, int64_t host, const struct telemetry_record *record, uint64_t now_ms, bool *ret_malformed)
{
	struct columns columns;
	int64_t stream = 0;
	int r = find_stream(store, host, record->epoch, &stream);

	if (r < 0)
		return r;
	sqlite3_stmt *stmt = store_stmt(store, STMT_EVENT_ADD);
	if (stmt == NULL)
		return store_errno(store);
	columns_read(record->event, record->event_len, &columns);
	(void)sqlite3_bind_int64(stmt, 1, stream);
	store_bind_u64(stmt, 2, record->sequence);
	store_bind_u64(stmt, 3, columns.time_ms);
	store_bind_u64(stmt, 4, now_ms);
	store_bind_u64(stmt, 5, record->type);
	store_bind_u64(stmt, 6, columns.serial);
	bind_process(stmt, &columns);
	(void)sqlite3_bind_int64(stmt, 10, columns.malformed);
	(void)sqlite3_bind_text(stmt, 11, columns.executable.buf, (int)columns.executable.len, SQLITE_STATIC);
	(void)sqlite3_bind_text(stmt, 12, columns.summary.buf, (int)columns.summary.len, SQLITE_STATIC);
	/* A NULL pointer would bind NULL: an event without bytes is an empty blob. */
	(void)sqlite3_bind_blob(stmt, 13, record->event != NULL ? record->event : (const uint8_t *)"",
	    (int)record->event_len, SQLITE_STATIC);
	r = store_run(store, stmt);
	if (r < 0)
		return r;
	int inserted = sqlite3_changes(store->db) > 0;
	*ret_malformed = inserted && columns.malformed;
	return inserted;
}

/* Bytes of SQL: both statements below with every condition are under 700. */
#define SQL_BYTES 1024u

/* Where the list begins: nothing before it in (time_ms, id), both as SQLite orders them. */
struct begin {
	int64_t time_ms, id;
};

/*
 * The query's conditions as SQL; every value is a parameter. The plus signs keep SQLite on the index of times: the
 * newest of a host are found sooner by reading backwards than by sorting all of them.
 */
static const char *
conditions(const struct store_event_query *q, char *sql, size_t size)
{
	(void)snprintf(sql, size, "%s%s%s%s%s%s", q->host != 0 ? " AND +host_id = ?1" : "",
	    q->type >= 0 ? " AND +type = ?2" : "", q->since_ms != 0 ? " AND time_ms >= ?3" : "",
	    q->until_ms != 0 ? " AND time_ms <= ?4" : "",
	    q->text != NULL ? " AND (instr(lower(executable), lower(?5)) OR instr(lower(summary), lower(?5)))" : "",
	    q->after_id >= 0 ? " AND id > ?6" : "");
	return sql;
}

static sqlite3_stmt *
prepare(struct store *store, const struct store_event_query *q, const char *sql)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return NULL;
	/* Binding a parameter that a condition left out is refused, which does no harm. */
	(void)sqlite3_bind_int64(stmt, 1, q->host);
	(void)sqlite3_bind_int64(stmt, 2, q->type);
	store_bind_u64(stmt, 3, q->since_ms);
	store_bind_u64(stmt, 4, q->until_ms);
	store_bind_text(stmt, 5, q->text);
	(void)sqlite3_bind_int64(stmt, 6, q->after_id);
	store_bind_u64(stmt, 7, q->limit);
	return stmt;
}

/* The oldest of the newest `limit`, so that the list can be read forwards without sorting it. Returns 0 or a negative
 * errno. */
static int
find_begin(struct store *store, const struct store_event_query *q, struct begin *ret)
{
	char where[SQL_BYTES], sql[SQL_BYTES * 2];

	(void)snprintf(sql, sizeof(sql),
	    "SELECT time_ms, id FROM event_list WHERE 1%s ORDER BY time_ms DESC, id DESC LIMIT 1 OFFSET ?7 - 1",
	    conditions(q, where, sizeof(where)));
	sqlite3_stmt *stmt = prepare(store, q, sql);
	if (stmt == NULL)
		return store_errno(store);
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		*ret = (struct begin){sqlite3_column_int64(stmt, 0), sqlite3_column_int64(stmt, 1)};
	int r = rc == SQLITE_ROW || rc == SQLITE_DONE ? 0 : store_errno(store);
	(void)sqlite3_finalize(stmt);
	return r;
}

static void
read_row(sqlite3_stmt *stmt, struct store_event *ret)
{
	*ret = (struct store_event){
	    .id = sqlite3_column_int64(stmt, 0),
	    .agent_id = store_text(stmt, 1),
	    .host_name = store_text(stmt, 2),
	    .epoch = store_u64(stmt, 3),
	    .sequence = store_u64(stmt, 4),
	    .time_ms = store_u64(stmt, 5),
	    .received_ms = store_u64(stmt, 6),
	    .type = store_u64(stmt, 7),
	    .serial = store_u64(stmt, 8),
	    .has_process = sqlite3_column_type(stmt, 9) != SQLITE_NULL,
	    .pid = (uint32_t)sqlite3_column_int64(stmt, 9),
	    .ppid = (uint32_t)sqlite3_column_int64(stmt, 10),
	    .uid = (uint32_t)sqlite3_column_int64(stmt, 11),
	    .executable = store_text(stmt, 12),
	    .summary = store_text(stmt, 13),
	    .malformed = sqlite3_column_int(stmt, 14) != 0,
	    .bytes = sqlite3_column_blob(stmt, 15),
	    .len = (size_t)sqlite3_column_bytes(stmt, 15),
	};
}

int
store_events_each(struct store *store, const struct store_event_query *query,
    int (*each)(const struct store_event *event, void *ctx), void *ctx)
{
	char where[SQL_BYTES], sql[SQL_BYTES * 2];
	struct begin begin = {INT64_MIN, INT64_MIN};
	bool by_arrival = query->after_id >= 0;
	int n = 0, rc, r = by_arrival ? 0 : find_begin(store, query, &begin);

	if (r < 0)
		return r;
	(void)snprintf(sql, sizeof(sql),
	    "SELECT id, agent_id, host, epoch, sequence, time_ms, received_ms, type, serial, pid, ppid, uid, "
	    "executable, summary,"
	    " malformed, event FROM event_list WHERE 1%s%s LIMIT ?7",
	    conditions(query, where, sizeof(where)),
	    by_arrival ? " ORDER BY id" : " AND (time_ms, id) >= (?8, ?9) ORDER BY time_ms, id");
	sqlite3_stmt *stmt = prepare(store, query, sql);
	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 8, begin.time_ms);
	(void)sqlite3_bind_int64(stmt, 9, begin.id);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_event event;

		read_row(stmt, &event);
		n++;
		if (each(&event, ctx) != 0) {
			rc = SQLITE_DONE;
			break;
		}
	}
	r = rc == SQLITE_DONE ? n : store_errno(store);
	(void)sqlite3_finalize(stmt);
	return r;
}

int
store_events_last(struct store *store, int64_t *ret_id)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(store->db, "SELECT coalesce(max(id), 0) FROM events", -1, &stmt, NULL) != SQLITE_OK)
		return store_errno(store);
	int r = sqlite3_step(stmt) == SQLITE_ROW ? 0 : store_errno(store);
	if (r == 0)
		*ret_id = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return r;
}
