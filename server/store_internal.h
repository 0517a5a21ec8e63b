/* Shared by the store_*.c files only. */
#ifndef PICKET_SERVER_STORE_INTERNAL_H
#define PICKET_SERVER_STORE_INTERNAL_H

#include <sqlite3.h>

#include "server/store.h"

/* Statements that are prepared once and kept; store.c holds their text. */
enum store_stmt {
	STMT_BEGIN,
	STMT_COMMIT,
	STMT_ROLLBACK,
	STMT_HOST_FIND,
	STMT_HOST_ADD,
	STMT_HOST_TOUCH,
	STMT_HOST_STATE,
	STMT_HOST_SYNC,
	STMT_HOST_COUNT,
	STMT_STREAM_FIND,
	STMT_STREAM_ADD,
	STMT_EVENT_ADD,
	STMT_COMMAND_ADD,
	STMT_COMMAND_EXPIRE,
	STMT_COMMAND_OPEN,
	STMT_COMMAND_SENT,
	STMT_COMMAND_STATE,
	STMT_COMMAND_FINISH,
	STMT_N,
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *stmts[STMT_N];
	/* The stream (host, epoch) of the last record: a package mostly has one. 0: none. Forgotten at rollback. */
	int64_t stream, stream_host;
	uint64_t stream_epoch;
};

/* The statement, reset and ready to bind; prepared at first use. NULL with store_error() set. */
sqlite3_stmt *store_stmt(struct store *store, enum store_stmt which);

/* Step a statement that returns no row, then reset it. Returns 0 or a negative errno. */
int store_run(struct store *store, sqlite3_stmt *stmt);

/* The errno of what SQLite said last. */
int store_errno(const struct store *store);

/* An unsigned 64-bit number as SQLite keeps it: the same bits. */
static inline void
store_bind_u64(sqlite3_stmt *stmt, int index, uint64_t value)
{
	(void)sqlite3_bind_int64(stmt, index, (sqlite3_int64)value);
}

static inline void
store_bind_text(sqlite3_stmt *stmt, int index, const char *text)
{
	(void)sqlite3_bind_text(stmt, index, text != NULL ? text : "", -1, SQLITE_STATIC);
}

static inline uint64_t
store_u64(sqlite3_stmt *stmt, int column)
{
	return (uint64_t)sqlite3_column_int64(stmt, column);
}

/* Never NULL. */
static inline const char *
store_text(sqlite3_stmt *stmt, int column)
{
	const unsigned char *text = sqlite3_column_text(stmt, column);

	return text != NULL ? (const char *)text : "";
}

#endif
