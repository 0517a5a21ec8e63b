/* The hosts table: who reports, with which certificate, and in which state. Called by api.c and the command line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/store_internal.h"

static int
add_host(struct store *store, const uint8_t *agent_id, size_t agent_id_len, const char *subject, uint64_t now_ms,
    int64_t *ret_host)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_HOST_ADD);

	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_text(stmt, 1, (const char *)agent_id, (int)agent_id_len, SQLITE_STATIC);
	store_bind_text(stmt, 2, subject);
	store_bind_u64(stmt, 3, now_ms);
	int r = store_run(store, stmt);
	if (r == 0)
		*ret_host = sqlite3_last_insert_rowid(store->db);
	return r;
}

int
store_host_seen(struct store *store, const uint8_t *agent_id, size_t agent_id_len, const char *subject, uint64_t now_ms,
    int64_t *ret_host)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_HOST_FIND);
	int64_t host = 0;
	int r = 0;

	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_text(stmt, 1, (const char *)agent_id, (int)agent_id_len, SQLITE_STATIC);
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		host = sqlite3_column_int64(stmt, 0);
		r = strcmp(store_text(stmt, 1), subject) == 0 ? 0 : -EACCES;
	} else if (rc != SQLITE_DONE) {
		r = store_errno(store);
	}
	(void)sqlite3_reset(stmt);
	if (r < 0)
		return r;
	if (rc == SQLITE_DONE)
		return add_host(store, agent_id, agent_id_len, subject, now_ms, ret_host);

	stmt = store_stmt(store, STMT_HOST_TOUCH);
	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	store_bind_u64(stmt, 2, now_ms);
	r = store_run(store, stmt);
	if (r == 0)
		*ret_host = host;
	return r;
}

static int
update_state(struct store *store, int64_t host, const struct store_host_state *state)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_HOST_STATE);

	if (stmt == NULL)
		return store_errno(store);
	const char *const texts[] = {state->name, state->addresses, state->macs, state->os_name, state->os_version,
	    state->kernel, state->agent_version, state->tasks, state->isolation, state->isolation_detail};
	int index = 1;

	(void)sqlite3_bind_int64(stmt, index++, host);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		store_bind_text(stmt, index++, texts[i]);
	store_bind_u64(stmt, index++, state->isolation_since_ms);
	store_bind_u64(stmt, index++, state->isolation_until_ms);
	store_bind_u64(stmt, index++, state->settings_revision);
	return store_run(store, stmt);
}

int
store_host_update(struct store *store, int64_t host, const struct store_host_state *state, uint64_t spooled_events,
    int64_t clock_offset_ms)
{
	int r = state != NULL ? update_state(store, host, state) : 0;

	if (r < 0)
		return r;
	sqlite3_stmt *stmt = store_stmt(store, STMT_HOST_SYNC);
	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	store_bind_u64(stmt, 2, spooled_events);
	(void)sqlite3_bind_int64(stmt, 3, clock_offset_ms);
	return store_run(store, stmt);
}

int
store_host_count(struct store *store, int64_t host, uint64_t stored, uint64_t duplicates, uint64_t malformed)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_HOST_COUNT);

	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	store_bind_u64(stmt, 2, stored);
	store_bind_u64(stmt, 3, duplicates);
	store_bind_u64(stmt, 4, malformed);
	return store_run(store, stmt);
}

int
store_hosts_each(struct store *store, int (*each)(const struct store_host *host, void *ctx), void *ctx)
{
	static const char sql[] =
	    "SELECT id, agent_id, subject, name, addresses, macs, os_name, os_version, kernel, agent_version, tasks, "
	    "isolation,"
	    " isolation_detail, isolation_since_ms, isolation_until_ms, settings_revision, spooled_events, "
	    "clock_offset_ms,"
	    " first_seen_ms, last_seen_ms, events, duplicates, malformed FROM hosts ORDER BY name, agent_id";
	sqlite3_stmt *stmt;
	int n = 0, rc;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return store_errno(store);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_host host = {
		    .id = sqlite3_column_int64(stmt, 0),
		    .agent_id = store_text(stmt, 1),
		    .subject = store_text(stmt, 2),
		    .state = {.name = store_text(stmt, 3),
			.addresses = store_text(stmt, 4),
			.macs = store_text(stmt, 5),
			.os_name = store_text(stmt, 6),
			.os_version = store_text(stmt, 7),
			.kernel = store_text(stmt, 8),
			.agent_version = store_text(stmt, 9),
			.tasks = store_text(stmt, 10),
			.isolation = store_text(stmt, 11),
			.isolation_detail = store_text(stmt, 12),
			.isolation_since_ms = store_u64(stmt, 13),
			.isolation_until_ms = store_u64(stmt, 14),
			.settings_revision = store_u64(stmt, 15)},
		    .spooled_events = store_u64(stmt, 16),
		    .clock_offset_ms = sqlite3_column_int64(stmt, 17),
		    .first_seen_ms = store_u64(stmt, 18),
		    .last_seen_ms = store_u64(stmt, 19),
		    .events = store_u64(stmt, 20),
		    .duplicates = store_u64(stmt, 21),
		    .malformed = store_u64(stmt, 22),
		};
		n++;
		if (each(&host, ctx) != 0) {
			rc = SQLITE_DONE;
			break;
		}
	}
	int r = rc == SQLITE_DONE ? n : store_errno(store);
	(void)sqlite3_finalize(stmt);
	return r;
}

int
store_host_find(struct store *store, const char *text, int64_t *ret_host, char *agent_id, size_t agent_id_size)
{
	/* An exact id goes before a name, a name before a prefix; `rank` keeps only the best kind that matched. */
	static const char sql[] =
	    "SELECT id, agent_id, CASE WHEN agent_id = ?1 THEN 0 WHEN name = ?1 THEN 1 ELSE 2 END AS rank"
	    " FROM hosts WHERE agent_id = ?1 OR name = ?1 OR substr(agent_id, 1, length(?1)) = ?1"
	    " ORDER BY rank LIMIT 2";
	sqlite3_stmt *stmt;
	int64_t host = 0, rank = 0;
	int r = -ENOENT, rc;

	if (text[0] == '\0')
		return -ENOENT;
	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return store_errno(store);
	store_bind_text(stmt, 1, text);
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW) {
		host = sqlite3_column_int64(stmt, 0);
		rank = sqlite3_column_int64(stmt, 2);
		(void)snprintf(agent_id, agent_id_size, "%s", store_text(stmt, 1));
		r = 0;
		rc = sqlite3_step(stmt);
		if (rc == SQLITE_ROW && sqlite3_column_int64(stmt, 2) == rank)
			r = -ENOTUNIQ;
	}
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		r = store_errno(store);
	(void)sqlite3_finalize(stmt);
	if (r == 0)
		*ret_host = host;
	return r;
}
