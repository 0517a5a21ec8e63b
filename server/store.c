/*
 * Opens the database, owns schema, pragmas, prepared statements and transactions. Never interprets a message.
 * Called by main.c and the command line; the other store_*.c files build on it.
 */
#include "server/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "server/store_internal.h"

/* "PckS": what file(1) and we know the database by (PRAGMA application_id). */
#define STORE_APPLICATION_ID 0x50636b53

/*
 * Milliseconds to wait for another writer's lock. The server's loop stands still meanwhile, and its clients are told to
 * come back (503); a person at the command line rather waits.
 */
#define STORE_SERVE_BUSY_MS 250
#define STORE_TOOL_BUSY_MS 10000

/*
 * Pages of WAL (4 KiB each) at which SQLite copies it back into the database: 32 MiB. Fewer copies of hot pages than
 * the default of 4 MiB, yet quick to recover.
 */
#define STORE_CHECKPOINT_PAGES 8192

/* KiB of page cache: the inner pages of both indexes of ten million events. */
#define STORE_CACHE_KIB 32768

#define STR_(x) #x
#define STR(x) STR_(x)

/*
 * Integers before text before the blob: a query that filters reads no overflow pages.
 * stream: an agent's epoch, so that the unique index holds two small integers per event.
 */
static const char schema[] =
    "CREATE TABLE hosts ("
    " id INTEGER PRIMARY KEY,"
    " agent_id TEXT NOT NULL UNIQUE,"
    " subject TEXT NOT NULL,"
    " name TEXT NOT NULL DEFAULT '',"
    " addresses TEXT NOT NULL DEFAULT '',"
    " macs TEXT NOT NULL DEFAULT '',"
    " os_name TEXT NOT NULL DEFAULT '',"
    " os_version TEXT NOT NULL DEFAULT '',"
    " kernel TEXT NOT NULL DEFAULT '',"
    " agent_version TEXT NOT NULL DEFAULT '',"
    " tasks TEXT NOT NULL DEFAULT '',"
    " isolation TEXT NOT NULL DEFAULT '',"
    " isolation_detail TEXT NOT NULL DEFAULT '',"
    " isolation_since_ms INTEGER NOT NULL DEFAULT 0,"
    " isolation_until_ms INTEGER NOT NULL DEFAULT 0,"
    " settings_revision INTEGER NOT NULL DEFAULT 0,"
    " spooled_events INTEGER NOT NULL DEFAULT 0,"
    " clock_offset_ms INTEGER NOT NULL DEFAULT 0,"
    " first_seen_ms INTEGER NOT NULL,"
    " last_seen_ms INTEGER NOT NULL,"
    " events INTEGER NOT NULL DEFAULT 0,"
    " duplicates INTEGER NOT NULL DEFAULT 0,"
    " malformed INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE streams ("
    " id INTEGER PRIMARY KEY,"
    " host INTEGER NOT NULL REFERENCES hosts(id),"
    " epoch INTEGER NOT NULL,"
    " UNIQUE (host, epoch));"
    "CREATE TABLE events ("
    " id INTEGER PRIMARY KEY,"
    " stream INTEGER NOT NULL REFERENCES streams(id),"
    " sequence INTEGER NOT NULL,"
    " time_ms INTEGER NOT NULL,"
    " received_ms INTEGER NOT NULL,"
    " type INTEGER NOT NULL,"
    " serial INTEGER NOT NULL,"
    " pid INTEGER,"
    " ppid INTEGER,"
    " uid INTEGER,"
    " malformed INTEGER NOT NULL,"
    " executable TEXT NOT NULL,"
    " summary TEXT NOT NULL,"
    " event BLOB NOT NULL,"
    " UNIQUE (stream, sequence));"
    "CREATE INDEX events_time ON events (time_ms);"
    "CREATE VIEW event_list AS SELECT e.id, h.agent_id, h.name AS host, s.epoch, e.sequence, e.time_ms, e.received_ms,"
    " e.type, e.serial, e.pid, e.ppid, e.uid, e.malformed, e.executable, e.summary, e.event, s.host AS host_id"
    " FROM events e JOIN streams s ON s.id = e.stream JOIN hosts h ON h.id = s.host;"
    "CREATE TABLE commands ("
    " id TEXT PRIMARY KEY,"
    " host INTEGER NOT NULL REFERENCES hosts(id),"
    " kind TEXT NOT NULL,"
    " command BLOB NOT NULL,"
    " created_ms INTEGER NOT NULL,"
    " expires_ms INTEGER NOT NULL,"
    " state TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'done', 'failed', 'refused', 'expired')),"
    " result TEXT NOT NULL DEFAULT '',"
    " sent_ms INTEGER NOT NULL DEFAULT 0,"
    " sent_count INTEGER NOT NULL DEFAULT 0,"
    " finished_ms INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX commands_open ON commands (host) WHERE state IN ('queued', 'sent');"
    "PRAGMA application_id = " STR(STORE_APPLICATION_ID) ";"
							 "PRAGMA user_version = " STR(STORE_SCHEMA) ";";

static const char *const statements[STMT_N] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_HOST_FIND] = "SELECT id, subject FROM hosts WHERE agent_id = ?1",
    [STMT_HOST_ADD] = "INSERT INTO hosts (agent_id, subject, first_seen_ms, last_seen_ms) VALUES (?1, ?2, ?3, ?3)",
    [STMT_HOST_TOUCH] = "UPDATE hosts SET last_seen_ms = ?2 WHERE id = ?1",
    [STMT_HOST_STATE] =
	"UPDATE hosts SET name = ?2, addresses = ?3, macs = ?4, os_name = ?5, os_version = ?6, kernel = ?7,"
	" agent_version = ?8, tasks = ?9, isolation = ?10, isolation_detail = ?11, isolation_since_ms = ?12,"
	" isolation_until_ms = ?13, settings_revision = ?14 WHERE id = ?1",
    [STMT_HOST_SYNC] = "UPDATE hosts SET spooled_events = ?2, clock_offset_ms = ?3 WHERE id = ?1",
    [STMT_HOST_COUNT] =
	"UPDATE hosts SET events = events + ?2, duplicates = duplicates + ?3, malformed = malformed + ?4"
	" WHERE id = ?1",
    [STMT_STREAM_FIND] = "SELECT id FROM streams WHERE host = ?1 AND epoch = ?2",
    [STMT_STREAM_ADD] = "INSERT INTO streams (host, epoch) VALUES (?1, ?2)",
    [STMT_EVENT_ADD] =
	"INSERT OR IGNORE INTO events (stream, sequence, time_ms, received_ms, type, serial, pid, ppid, uid,"
	" malformed, executable, summary, event) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
    [STMT_COMMAND_ADD] = "INSERT INTO commands (id, host, kind, command, created_ms, expires_ms, state)"
			 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued')",
    [STMT_COMMAND_EXPIRE] = "UPDATE commands SET state = 'expired', finished_ms = ?2 WHERE host = ?1"
			    " AND state IN ('queued', 'sent') AND expires_ms > 0 AND expires_ms <= ?2",
    [STMT_COMMAND_OPEN] = "SELECT rowid, id, kind, command, created_ms, expires_ms FROM commands WHERE host = ?1"
			  " AND state IN ('queued', 'sent') ORDER BY rowid LIMIT ?2",
    [STMT_COMMAND_SENT] = "UPDATE commands SET state = 'sent', sent_ms = ?3, sent_count = sent_count + 1"
			  " WHERE host = ?1 AND state IN ('queued', 'sent') AND rowid <= ?2",
    [STMT_COMMAND_STATE] = "SELECT state FROM commands WHERE id = ?1 AND host = ?2",
    [STMT_COMMAND_FINISH] = "UPDATE commands SET state = ?3, result = ?4, finished_ms = ?5 WHERE id = ?1 AND host = ?2",
};

int
store_errno(const struct store *store)
{
	switch (sqlite3_errcode(store->db) & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_CANTOPEN:
		return -ENOENT;
	default:
		return -EIO;
	}
}

const char *
store_error(const struct store *store)
{
	return sqlite3_errmsg(store->db);
}

sqlite3_stmt *
store_stmt(struct store *store, enum store_stmt which)
{
	sqlite3_stmt **stmt = &store->stmts[which];

	if (*stmt != NULL) {
		(void)sqlite3_reset(*stmt);
		return *stmt;
	}
	if (sqlite3_prepare_v3(store->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL) != SQLITE_OK)
		return NULL;
	return *stmt;
}

int
store_run(struct store *store, sqlite3_stmt *stmt)
{
	if (stmt == NULL)
		return store_errno(store);
	int rc = sqlite3_step(stmt);
	int r = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : store_errno(store);
	(void)sqlite3_reset(stmt);
	return r;
}

int
store_begin(struct store *store)
{
	return store_run(store, store_stmt(store, STMT_BEGIN));
}

int
store_commit(struct store *store)
{
	return store_run(store, store_stmt(store, STMT_COMMIT));
}

void
store_rollback(struct store *store)
{
	store->stream = 0;
	/* Some failures (disk full, I/O error) have rolled back already. */
	if (sqlite3_get_autocommit(store->db) == 0)
		(void)store_run(store, store_stmt(store, STMT_ROLLBACK));
}

static int
pragma_number(struct store *store, const char *sql, int64_t *ret)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return store_errno(store);
	int rc = sqlite3_step(stmt);
	int r = rc == SQLITE_ROW ? 0 : store_errno(store);
	if (r == 0)
		*ret = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return r;
}

static int
configure(struct store *store, enum store_mode mode)
{
	char sql[256]; /* bytes: the pragmas below */

	(void)sqlite3_busy_timeout(store->db, STORE_TOOL_BUSY_MS);
	(void)sqlite3_extended_result_codes(store->db, 1);
	/* The sandbox allows no files elsewhere, so temporary ones live in memory. */
	(void)snprintf(sql, sizeof(sql),
	    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = "
	    "OFF;"
	    "PRAGMA wal_autocheckpoint = %d; PRAGMA cache_size = -%d;",
	    STORE_CHECKPOINT_PAGES, mode == STORE_SERVE ? STORE_CACHE_KIB : STORE_CACHE_KIB / 8);
	return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_errno(store);
}

/* Make the schema in an empty file; under the write lock, so that two starts do not both make it. */
static int
check_schema(struct store *store, enum store_mode mode, int64_t *ret_version)
{
	int64_t application;
	int r = mode == STORE_SERVE ? store_begin(store) : 0;

	if (r < 0)
		return r;
	r = pragma_number(store, "PRAGMA user_version", ret_version);
	if (r == 0)
		r = pragma_number(store, "PRAGMA application_id", &application);
	if (r == 0 && *ret_version == 0 && application == 0 && mode == STORE_SERVE) {
		if (sqlite3_exec(store->db, schema, NULL, NULL, NULL) != SQLITE_OK)
			r = store_errno(store);
		*ret_version = STORE_SCHEMA;
	} else if (r == 0 && application != STORE_APPLICATION_ID) {
		r = -EMEDIUMTYPE;
	} else if (r == 0 && *ret_version > STORE_SCHEMA) {
		r = -ENOTSUP;
	}
	if (mode != STORE_SERVE)
		return r;
	if (r < 0)
		store_rollback(store);
	else
		r = store_commit(store);
	return r;
}

static void
say_failure(const struct store *store, const char *path, int r, int64_t version, char *err, size_t size)
{
	switch (-r) {
	case ENOENT:
		(void)snprintf(err, size,
		    "cannot open the database %s: %s; its directory must exist and belong to the server's user", path,
		    store_error(store));
		break;
	case EACCES:
		(void)snprintf(err, size,
		    "cannot write the database %s: give the file and its directory to the server's user", path);
		break;
	case EBADMSG:
		(void)snprintf(err, size, "%s is not a database or is damaged: move it away, or restore a copy", path);
		break;
	case EMEDIUMTYPE:
		(void)snprintf(err, size, "%s is not a picket-server database: name another file with --db", path);
		break;
	case ENOTSUP:
		(void)snprintf(err, size,
		    "%s has schema %lld, this picket-server knows up to %d: use a newer picket-server", path,
		    (long long)version, STORE_SCHEMA);
		break;
	default:
		(void)snprintf(err, size, "cannot use the database %s: %s", path, store_error(store));
		break;
	}
}

int
store_open(const char *path, enum store_mode mode, struct store **ret_store, char *err, size_t err_size)
{
	struct store *store = calloc(1, sizeof(*store));
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (mode == STORE_SERVE ? SQLITE_OPEN_CREATE : 0);
	struct stat st;
	int64_t version = 0;
	int r = 0;

	if (store == NULL) {
		(void)snprintf(err, err_size, "out of memory");
		return -ENOMEM;
	}
	/* One thread, and nobody reads SQLite's own statistics: no locks. Refused, to no harm, after the first time. */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (mode == STORE_TOOL && stat(path, &st) < 0) {
		r = -errno;
		(void)snprintf(
		    err, err_size, "no database at %s: %s; name the running server's with --db", path, strerror(-r));
		store_close(store);
		return r;
	}
	if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK)
		r = store_errno(store);
	if (r == 0)
		r = configure(store, mode);
	if (r == 0)
		r = check_schema(store, mode, &version);
	if (r < 0) {
		say_failure(store, path, r, version, err, err_size);
		store_close(store);
		return r;
	}
	(void)sqlite3_busy_timeout(store->db, mode == STORE_SERVE ? STORE_SERVE_BUSY_MS : STORE_TOOL_BUSY_MS);
	*ret_store = store;
	return 0;
}

void
store_close(struct store *store)
{
	if (store == NULL)
		return;
	for (size_t i = 0; i < STMT_N; i++)
		(void)sqlite3_finalize(store->stmts[i]);
	(void)sqlite3_close(store->db);
	free(store);
}
