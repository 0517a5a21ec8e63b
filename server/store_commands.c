/*
 * The commands table: queued by the command line, handed out by the server with each sync, finished by the host's
 * result. Never reads what a command says. Called by api.c and the command line.
 */
#include <errno.h>
#include <string.h>

#include "server/store_internal.h"

static const char *const state_names[] = {
    [STORE_COMMAND_UNSET] = "",
    [STORE_COMMAND_QUEUED] = "queued",
    [STORE_COMMAND_SENT] = "sent",
    [STORE_COMMAND_DONE] = "done",
    [STORE_COMMAND_FAILED] = "failed",
    [STORE_COMMAND_REFUSED] = "refused",
    [STORE_COMMAND_EXPIRED] = "expired",
};

const char *
store_command_state_name(enum store_command_state state)
{
	return state_names[state];
}

bool
store_command_is_open(enum store_command_state state)
{
	return state == STORE_COMMAND_QUEUED || state == STORE_COMMAND_SENT;
}

static enum store_command_state
state_of(const char *name)
{
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(state_names[i], name) == 0)
			return (enum store_command_state)i;
	}
	return STORE_COMMAND_UNSET;
}

int
store_command_add(struct store *store, const struct store_command *command)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_COMMAND_ADD);

	if (stmt == NULL)
		return store_errno(store);
	store_bind_text(stmt, 1, command->id);
	(void)sqlite3_bind_int64(stmt, 2, command->host);
	store_bind_text(stmt, 3, command->kind);
	(void)sqlite3_bind_blob(stmt, 4, command->bytes, (int)command->len, SQLITE_STATIC);
	store_bind_u64(stmt, 5, command->created_ms);
	store_bind_u64(stmt, 6, command->expires_ms);
	return store_run(store, stmt);
}

int
store_command_newest(struct store *store, uint64_t *ret_created_ms)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(store->db, "SELECT coalesce(max(created_ms), 0) FROM commands", -1, &stmt, NULL) !=
	    SQLITE_OK)
		return store_errno(store);
	int r = sqlite3_step(stmt) == SQLITE_ROW ? 0 : store_errno(store);
	if (r == 0)
		*ret_created_ms = store_u64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return r;
}

static int
mark_sent(struct store *store, int64_t host, int64_t last_rowid, uint64_t now_ms)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_COMMAND_SENT);

	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	(void)sqlite3_bind_int64(stmt, 2, last_rowid);
	store_bind_u64(stmt, 3, now_ms);
	return store_run(store, stmt);
}

static int
expire(struct store *store, int64_t host, uint64_t now_ms)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_COMMAND_EXPIRE);

	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	store_bind_u64(stmt, 2, now_ms);
	return store_run(store, stmt);
}

int
store_commands_take(struct store *store, int64_t host, uint64_t now_ms, unsigned int max,
    int (*each)(const struct store_command *command, void *ctx), void *ctx)
{
	int64_t last = 0;
	int n = 0, rc, r = expire(store, host, now_ms);

	if (r < 0)
		return r;
	sqlite3_stmt *stmt = store_stmt(store, STMT_COMMAND_OPEN);
	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_int64(stmt, 1, host);
	(void)sqlite3_bind_int64(stmt, 2, max);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && r == 0) {
		struct store_command command = {
		    .host = host,
		    .id = store_text(stmt, 1),
		    .kind = store_text(stmt, 2),
		    .bytes = sqlite3_column_blob(stmt, 3),
		    .len = (size_t)sqlite3_column_bytes(stmt, 3),
		    .created_ms = store_u64(stmt, 4),
		    .expires_ms = store_u64(stmt, 5),
		    .state = STORE_COMMAND_SENT,
		};
		r = each(&command, ctx);
		if (r == 0) {
			last = sqlite3_column_int64(stmt, 0);
			n++;
		}
	}
	if (r == 0 && rc != SQLITE_DONE)
		r = store_errno(store);
	(void)sqlite3_reset(stmt);
	if (r >= 0 && n > 0)
		r = mark_sent(store, host, last, now_ms);
	return r < 0 ? r : n;
}

int
store_command_finish(struct store *store, int64_t host, const uint8_t *id, size_t id_len,
    enum store_command_state state, const char *result, uint64_t now_ms)
{
	sqlite3_stmt *stmt = store_stmt(store, STMT_COMMAND_STATE);
	enum store_command_state before = STORE_COMMAND_UNSET;

	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_text(stmt, 1, (const char *)id, (int)id_len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 2, host);
	int rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		before = state_of(store_text(stmt, 0));
	int r = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENOENT : store_errno(store);
	(void)sqlite3_reset(stmt);
	if (r < 0)
		return r;
	if (!store_command_is_open(before) && before != STORE_COMMAND_EXPIRED)
		return 0;

	stmt = store_stmt(store, STMT_COMMAND_FINISH);
	if (stmt == NULL)
		return store_errno(store);
	(void)sqlite3_bind_text(stmt, 1, (const char *)id, (int)id_len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(stmt, 2, host);
	store_bind_text(stmt, 3, store_command_state_name(state));
	store_bind_text(stmt, 4, result);
	store_bind_u64(stmt, 5, now_ms);
	r = store_run(store, stmt);
	return r < 0 ? r : 1;
}

int
store_commands_each(struct store *store, const char *id, int64_t host, uint64_t limit,
    int (*each)(const struct store_command *command, void *ctx), void *ctx)
{
	static const char sql[] =
	    "SELECT c.id, c.host, h.agent_id, c.kind, c.command, c.created_ms, c.expires_ms, c.state, c.result, "
	    "c.sent_ms,"
	    " c.sent_count, c.finished_ms FROM commands c JOIN hosts h ON h.id = c.host"
	    " WHERE (?1 = '' OR c.id = ?1) AND (?2 = 0 OR c.host = ?2) ORDER BY c.rowid DESC LIMIT ?3";
	sqlite3_stmt *stmt;
	int n = 0, rc;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return store_errno(store);
	store_bind_text(stmt, 1, id);
	(void)sqlite3_bind_int64(stmt, 2, host);
	store_bind_u64(stmt, 3, limit);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_command command = {
		    .id = store_text(stmt, 0),
		    .host = sqlite3_column_int64(stmt, 1),
		    .agent_id = store_text(stmt, 2),
		    .kind = store_text(stmt, 3),
		    .bytes = sqlite3_column_blob(stmt, 4),
		    .len = (size_t)sqlite3_column_bytes(stmt, 4),
		    .created_ms = store_u64(stmt, 5),
		    .expires_ms = store_u64(stmt, 6),
		    .state = state_of(store_text(stmt, 7)),
		    .result = store_text(stmt, 8),
		    .sent_ms = store_u64(stmt, 9),
		    .sent_count = store_u64(stmt, 10),
		    .finished_ms = store_u64(stmt, 11),
		};
		n++;
		if (each(&command, ctx) != 0) {
			rc = SQLITE_DONE;
			break;
		}
	}
	int r = rc == SQLITE_DONE ? n : store_errno(store);
	(void)sqlite3_finalize(stmt);
	return r;
}
