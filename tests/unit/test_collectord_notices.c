/* Accesses to other processes, accounts, audit's configuration, packet filter, BPF and security records. */
#include <errno.h>
#include <libaudit.h>
#include <unistd.h>

#include "collectord/notices.h"
#include "collectord/source.h"
#include "collectord_feed.h"
#include "proto/event.pb-c.h"

/* The last event, copied by packing: what the pipeline gives is borrowed. */
struct fixture {
	struct pipeline *pipeline;
	struct source_sink sink;
	Picket__V1__Event *event;
	size_t n;
	size_t of_type[32];
	unsigned int serial;
};

static void
on_event(const Picket__V1__Event *event, void *ctx)
{
	struct fixture *f = ctx;
	static uint8_t packed[256 * 1024];
	size_t len = picket__v1__event__pack(event, packed);

	if (f->event != NULL)
		picket__v1__event__free_unpacked(f->event, NULL);
	f->event = picket__v1__event__unpack(NULL, len, packed);
	assert_non_null(f->event);
	f->n++;
	f->of_type[event->type % 32]++;
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const struct pipeline_conf conf = {
	    .normalise = {.seed = 1}, .on_event = on_event, .ctx = f, .clock_from_records = true};

	f->pipeline = pipeline_new(&conf);
	f->sink = pipeline_sink(f->pipeline);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->event != NULL)
		picket__v1__event__free_unpacked(f->event, NULL);
	pipeline_free(f->pipeline);
	free(f);
	return 0;
}

/* One event of the records "TYPE body" until NULL. Returns it, or NULL when it is nothing to report. */
static const Picket__V1__Event *
feed_all(struct fixture *f, const char *const *records)
{
	char line[8192];
	size_t before = f->n;

	f->serial++;
	for (; *records != NULL; records++) {
		const char *space = strchr(*records, ' ');

		(void)snprintf(line, sizeof(line), "type=%.*s msg=audit(1000.000:%u):%s", (int)(space - *records),
		    *records, f->serial, space);
		assert_int_equal(feed_line(&f->sink, line), RECORD_OK);
	}
	pipeline_flush(f->pipeline);
	assert_true(f->n <= before + 1);
	return f->n > before ? f->event : NULL;
}

#define feed(f, ...) feed_all(f, (const char *const[]){__VA_ARGS__, NULL})

#define CALL(nr_and_args)                                                                                              \
	"SYSCALL arch=c000003e syscall=" nr_and_args " items=0 ppid=10 pid=20 auid=1000 uid=1 gid=2 euid=3 suid=0 "    \
	"fsuid=0 egid=4 sgid=0 fsgid=0 tty=pts0 ses=7 comm=\"sh\" exe=\"/usr/bin/x\" key=(null)"
#define SENDTO CALL("44 success=yes exit=80 a0=3 a1=7f a2=50 a3=0")
#define TITLE "PROCTITLE proctitle=00"

static void
expect_bytes(ProtobufCBinaryData got, const char *want)
{
	if (got.len != strlen(want) || (got.len > 0 && memcmp(got.data, want, got.len) != 0))
		fail_msg("\"%.*s\" instead of \"%s\"", (int)got.len, (const char *)got.data, want);
}

#define EXPECT(e, kind)                                                                                                \
	do {                                                                                                           \
		assert_non_null(e);                                                                                    \
		assert_int_equal((e)->type, PICKET__V1__EVENT_TYPE__EVENT_TYPE_##kind);                                \
	} while (0)

#define ACCESS(a) PICKET__V1__PROCESS_ACCESS_ACTION__PROCESS_ACCESS_ACTION_##a
#define ACCOUNT(a) PICKET__V1__ACCOUNT_ACTION__ACCOUNT_ACTION_##a
#define AUDIT(a) PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_##a
#define KIND(k) PICKET__V1__SECURITY_KIND__SECURITY_KIND_##k
#define OUTCOME(o) PICKET__V1__OUTCOME__OUTCOME_##o

static void
numbers_are_those_of_libaudit(void **state)
{
	size_t n = 0;

	(void)state;
	for (uint32_t type = 1; type <= UINT16_MAX; type++) {
		const struct notice_type *row = notices_find((uint16_t)type);

		if (row == NULL)
			continue;
		n++;
		if (strcmp(row->name, "DAEMON_RECONFIG") != 0) /* numbered in libaudit, but not named */
			assert_int_equal(audit_name_to_msg_type(row->name), type);
		assert_int_equal(notices_number((const uint8_t *)row->name, strlen(row->name)), type);
	}
	assert_true(n > 50);
	assert_int_equal(notices_number((const uint8_t *)"BPF\0x", 5), RECORD_TYPE_OTHER);
	assert_int_equal(notices_number((const uint8_t *)"BP", 2), RECORD_TYPE_OTHER);
	assert_null(notices_find(RECORD_TYPE_OTHER));
}

static void
ptrace_and_process_vm_name_their_target(void **state)
{
	static const char target[] = "OBJ_PID opid=7203 oauid=-1 ouid=5 oses=-1 ocomm=6120622E63";
	static const struct {
		const char *call;
		Picket__V1__ProcessAccessAction action;
		uint32_t request;
	} rows[] = {
	    {CALL("101 success=yes exit=0 a0=10 a1=1c23 a2=0 a3=0"), ACCESS(ATTACH), 16},
	    {CALL("101 success=yes exit=0 a0=4206 a1=1c23 a2=0 a3=0"), ACCESS(ATTACH), 0x4206},
	    {CALL("101 success=yes exit=0 a0=2 a1=1c23 a2=0 a3=0"), ACCESS(READ), 2},
	    {CALL("101 success=yes exit=0 a0=5 a1=1c23 a2=0 a3=0"), ACCESS(WRITE), 5},
	    {CALL("310 success=yes exit=8 a0=1c23 a1=7f a2=1 a3=0"), ACCESS(READ), 0},
	    {CALL("311 success=yes exit=8 a0=1c23 a1=7f a2=1 a3=0"), ACCESS(WRITE), 0},
	};
	const Picket__V1__Event *e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		e = feed(*state, rows[i].call, target, TITLE);
		EXPECT(e, PROCESS_ACCESS);
		assert_int_equal(e->process_access->action, rows[i].action);
		assert_int_equal(e->process_access->request, rows[i].request);
		assert_true(e->process_access->target_known);
		assert_int_equal(e->process_access->target_pid, 7203);
		assert_int_equal(e->process_access->target_uid, 5);
		assert_int_equal(e->process_access->target_auid, UINT32_MAX);
		assert_int_equal(e->process_access->target_session, UINT32_MAX);
		expect_bytes(e->process_access->target_name, "a b.c");
		assert_int_equal(e->process->pid, 20);
	}
	/* Steering a process that is held, and TRACEME. */
	assert_null(feed(*state, CALL("101 success=yes exit=0 a0=7 a1=1c23 a2=0 a3=0"), target, TITLE));
	assert_null(feed(*state, CALL("101 success=yes exit=0 a0=0 a1=0 a2=0 a3=0"), TITLE));
}

static void
a_refused_access_has_the_pid_that_was_asked_for(void **state)
{
	const Picket__V1__Event *e = feed(*state, CALL("101 success=no exit=-3 a0=10 a1=1c23 a2=0 a3=0"), TITLE);

	EXPECT(e, PROCESS_ACCESS);
	assert_int_equal(e->outcome, OUTCOME(FAILURE));
	assert_int_equal(e->error, ESRCH);
	assert_false(e->process_access->target_known);
	assert_int_equal(e->process_access->target_pid, 0x1c23);
}

static void
account_messages_become_changes(void **state)
{
#define SENT "pid=7347 uid=0 auid=4345 ses=8 msg='"
#define BY(exe) " exe=\"" exe "\" hostname=? addr=10.0.0.9 terminal=pts/1 res=success'"
	static const struct {
		const char *record;
		Picket__V1__AccountAction action;
		const char *account, *group, *op;
	} rows[] = {
	    {"ADD_USER " SENT "op=adding user id=1001" BY("/x"), ACCOUNT(USER_ADD), "1001", "", "adding user"},
	    {"DEL_USER " SENT "op=delete-user acct=\"oddu\"" BY("/x"), ACCOUNT(USER_DELETE), "oddu", "", "delete-user"},
	    {"ADD_GROUP " SENT "op=add-group grp=\"wheel\" acct=\"w\"" BY("/x"), ACCOUNT(GROUP_ADD), "w", "wheel",
		"add-group"},
	    {"DEL_GROUP " SENT "op=x acct=6120" BY("/x"), ACCOUNT(GROUP_DELETE), "a ", "", "x"},
	    {"USER_MGMT " SENT "op=change shell id=7" BY("/x"), ACCOUNT(USER_CHANGE), "7", "", "change shell"},
	    {"GRP_MGMT " SENT "op=y grp=\"g\"" BY("/x"), ACCOUNT(GROUP_CHANGE), "", "g", "y"},
	    {"USER_CHAUTHTOK " SENT "op=PAM:chauthtok grantors=pam_unix acct=\"root\"" BY("/x"),
		ACCOUNT(CREDENTIAL_CHANGE), "root", "", "PAM:chauthtok"},
	    {"ACCT_LOCK " SENT "op=z acct=\"u\"" BY("/x"), ACCOUNT(LOCK), "u", "", "z"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const Picket__V1__Event *e = feed(*state, rows[i].record);

		EXPECT(e, ACCOUNT);
		assert_int_equal(e->account_change->action, rows[i].action);
		expect_bytes(e->account_change->account, rows[i].account);
		expect_bytes(e->account_change->group, rows[i].group);
		expect_bytes(e->account_change->operation, rows[i].op);
		expect_bytes(e->account_change->program, "/x");
		expect_bytes(e->account_change->remote_host, "10.0.0.9");
		expect_bytes(e->account_change->terminal, "pts/1");
		assert_int_equal(e->outcome, OUTCOME(SUCCESS));
		assert_int_equal(e->process->pid, 7347);
		assert_int_equal(e->process->auid, 4345);
	}
	assert_int_equal(
	    feed(*state, "DEL_USER " SENT "op=x acct=\"u\" exe=\"/x\" res=failed'")->outcome, OUTCOME(FAILURE));
}

static void
changes_of_audit_are_told_with_who_made_them(void **state)
{
	const Picket__V1__Event *e;

	e = feed(*state, "CONFIG_CHANGE auid=0 ses=2 op=remove_rule key=\"picket-exec\" list=4 res=1", SENDTO, TITLE);
	EXPECT(e, AUDIT_CONFIG);
	assert_int_equal(e->audit_change->action, AUDIT(RULE_REMOVE));
	expect_bytes(e->audit_change->key, "picket-exec");
	assert_int_equal(e->audit_change->list, 4);
	expect_bytes(e->process->executable, "/usr/bin/x");
	assert_int_equal(e->process->pid, 20);

	e = feed(*state, "CONFIG_CHANGE op=set audit_enabled=0 old=1 auid=5 ses=2 res=0");
	EXPECT(e, AUDIT_CONFIG);
	assert_int_equal(e->audit_change->action, AUDIT(SETTING));
	expect_bytes(e->audit_change->setting, "audit_enabled");
	assert_int_equal(e->audit_change->value, 0);
	assert_int_equal(e->audit_change->old_value, 1);
	assert_int_equal(e->outcome, OUTCOME(FAILURE));
	assert_int_equal(e->process->auid, 5);
	assert_int_equal(e->process->uid, UINT32_MAX); /* not told, so not root */

	e = feed(*state, "CONFIG_CHANGE op=updated_rules path=\"/etc/passwd\" key=\"k\" list=4 res=1");
	EXPECT(e, AUDIT_CONFIG);
	assert_int_equal(e->audit_change->action, AUDIT(RULE_CHANGE));
	expect_bytes(e->audit_change->path, "/etc/passwd");
	assert_null(e->process); /* nobody is named */

	e = feed(*state, "DAEMON_END op=terminate auid=0 uid=0 ses=4294967295 pid=7054 res=success");
	EXPECT(e, AUDIT_CONFIG);
	assert_int_equal(e->audit_change->action, AUDIT(DAEMON_END));
	assert_int_equal(e->process->pid, 7054);
}

static void
rules_that_picket_adds_are_not_told(void **state)
{
	assert_null(feed(*state, "CONFIG_CHANGE auid=0 ses=2 op=add_rule key=\"picket-exec\" list=4 res=1"));
	assert_non_null(feed(*state, "CONFIG_CHANGE auid=0 ses=2 op=add_rule key=\"picke\" list=4 res=1"));
}

static void
netfilter_and_bpf_changes(void **state)
{
	const Picket__V1__Event *e;

	e = feed(*state, "NETFILTER_CFG table=nat:7 family=2 entries=3 op=nft_register_rule pid=5 comm=\"nft\"",
	    "NETFILTER_CFG table=filter:7 family=2 entries=9 op=nft_register_rule pid=5 comm=\"nft\"");
	EXPECT(e, NETFILTER);
	expect_bytes(e->netfilter_change->table, "nat:7");
	expect_bytes(e->netfilter_change->operation, "nft_register_rule");
	assert_int_equal(e->netfilter_change->family, 2);
	assert_int_equal(e->netfilter_change->entries, 3);
	assert_int_equal(e->netfilter_change->records, 2);
	assert_int_equal(e->process->pid, 5);
	expect_bytes(e->process->name, "nft");

	e = feed(*state, "BPF prog-id=97 op=LOAD", CALL("321 success=yes exit=25 a0=5 a1=7f a2=90 a3=0"), TITLE);
	EXPECT(e, BPF);
	assert_int_equal(e->bpf_program->program_id, 97);
	assert_false(e->bpf_program->unload);
	assert_int_equal(e->process->pid, 20);
	e = feed(*state, "BPF prog-id=97 op=UNLOAD");
	EXPECT(e, BPF);
	assert_true(e->bpf_program->unload);
	assert_null(e->process);
}

static void
security_modules_say_who_was_denied_what(void **state)
{
	const Picket__V1__Event *e;

	e = feed(*state, "AVC avc:  denied  { read write } for  pid=9 comm=\"c\" name=\"shadow\" dev=\"sda1\" ino=3 "
			 "scontext=u:r:t:s0 tcontext=u:o:s:s0 tclass=file permissive=0");
	EXPECT(e, SECURITY);
	assert_int_equal(e->security->kind, KIND(ACCESS));
	expect_bytes(e->security->record_type, "AVC");
	assert_true(e->security->denied);
	assert_int_equal(e->outcome, OUTCOME(FAILURE));
	expect_bytes(e->security->permissions, "read write");
	expect_bytes(e->security->subject, "u:r:t:s0");
	expect_bytes(e->security->object, "shadow");
	expect_bytes(e->security->object_context, "u:o:s:s0");
	expect_bytes(e->security->object_class, "file");
	assert_int_equal(e->process->pid, 9);

	e = feed(*state, "AVC avc:  denied  { read } for  pid=9 comm=\"c\" tclass=file permissive=1");
	assert_false(e->security->denied);
	e = feed(*state, "AVC apparmor=\"DENIED\" operation=\"open\" profile=\"/usr/sbin/n\" name=2F6120 pid=9 "
			 "comm=\"n\" requested_mask=\"r\" denied_mask=\"r\" fsuid=0 ouid=0");
	assert_true(e->security->denied);
	expect_bytes(e->security->operation, "open");
	expect_bytes(e->security->subject, "/usr/sbin/n");
	expect_bytes(e->security->object, "/a ");
	expect_bytes(e->security->permissions, "r");
	e = feed(*state, "USER_AVC pid=1 uid=0 auid=4294967295 ses=4294967295 msg='avc:  denied  { start } for auid=0 "
			 "path=\"/u\" scontext=a tcontext=b tclass=service exe=\"/usr/lib/systemd/systemd\"'");
	assert_true(e->security->denied);
	expect_bytes(e->security->permissions, "start");
	assert_int_equal(e->process->pid, 1);
	expect_bytes(e->process->executable, "/usr/lib/systemd/systemd");
}

static void
seccomp_anomalies_and_policy(void **state)
{
	const Picket__V1__Event *e;

	e = feed(*state, "SECCOMP auid=4343 uid=6 gid=7 ses=5 pid=7206 comm=\"odd\" exe=\"/o\" sig=31 arch=c000003e "
			 "syscall=59 compat=0 ip=0x7f7c9b9be507 code=0x80000000");
	EXPECT(e, SECURITY);
	assert_int_equal(e->security->kind, KIND(SECCOMP));
	assert_true(e->security->denied);
	assert_int_equal(e->security->signal, 31);
	assert_int_equal(e->security->blocked_number, 59);
	expect_bytes(e->security->blocked_call, "execve");
	assert_int_equal(e->security->seccomp_action, 0x80000000);
	assert_int_equal(e->process->uid, 6);
	e = feed(*state, "SECCOMP auid=4343 uid=6 gid=7 ses=5 pid=7206 comm=\"odd\" exe=\"/o\" sig=0 arch=c000003e "
			 "syscall=110 compat=0 ip=0x7f code=0x7ffc0000");
	assert_false(e->security->denied); /* logged only */

	e = feed(*state, "ANOM_ABEND auid=1 uid=0 gid=0 ses=5 pid=7204 comm=\"odd\" exe=\"/o\" sig=11 res=1");
	assert_int_equal(e->security->kind, KIND(ABNORMAL_END));
	assert_int_equal(e->security->signal, 11);
	e = feed(*state, "ANOM_PROMISCUOUS dev=lo prom=256 old_prom=0 auid=1 uid=0 gid=0 ses=5",
	    CALL("54 success=yes exit=0 a0=c a1=107 a2=1 a3=7f"), TITLE);
	assert_int_equal(e->security->kind, KIND(PROMISCUOUS));
	expect_bytes(e->security->object, "lo");
	assert_int_equal(e->security->value, 256);
	assert_int_equal(e->process->pid, 20);
	e = feed(
	    *state, "ANOM_LOGIN_FAILURES pid=3 uid=0 auid=1 ses=5 msg='pam_tally2 acct=\"bob\" exe=\"/s\" res=failed'");
	assert_int_equal(e->security->kind, KIND(ANOMALY));
	expect_bytes(e->security->account, "bob");
	e = feed(*state, "MAC_STATUS enforcing=0 old_enforcing=1 auid=1 ses=5 res=1");
	assert_int_equal(e->security->kind, KIND(POLICY));
	expect_bytes(e->security->setting, "enforcing");
	assert_int_equal(e->security->old_value, 1);
}

static void
an_execve_stays_one_whatever_else_is_said(void **state)
{
	const Picket__V1__Event *e =
	    feed(*state, "AVC apparmor=\"ALLOWED\" operation=\"exec\" profile=\"p\" name=\"/b\"",
		CALL("59 success=yes exit=0 a0=1 a1=2 a2=3 a3=4"), "EXECVE argc=1 a0=\"b\"", TITLE);

	EXPECT(e, PROCESS);
	expect_bytes(e->process_start->args[0], "b");
}

static void
hostile_notices_do_no_harm(void **state)
{
	static const char *const bodies[] = {"", " ", "avc:", "avc: {", "avc: denied }{", "avc: { }",
	    "op=", "op= id=", "msg='", "msg='op=", "msg=' op=a b", "msg='msg='op=x''", "key=", "code=0x", "sig=-",
	    "audit_=1", "=", "res="};
	static const char *const types[] = {"AVC", "USER_AVC", "CONFIG_CHANGE", "SECCOMP", "ADD_USER", "USER_LOGIN",
	    "BPF", "NETFILTER_CFG", "OBJ_PID", "ANOM_ABEND", "DAEMON_START"};
	char record[128];

	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		for (size_t b = 0; b < sizeof(bodies) / sizeof(bodies[0]); b++) {
			(void)snprintf(record, sizeof(record), "%s %s", types[t], bodies[b]);
			(void)feed(*state, record);
		}
}

static void
recorded_logs_hold_each_kind_as_often_as_grep_finds_it(void **state)
{
	struct fixture *f = *state;
	FILE *in = popen("zcat tests/data/audit-odd.log.gz tests/data/audit-enriched.log.gz", "r");
	struct source *source;
	int r;

	assert_non_null(in);
	assert_int_equal(source_replay_open(dup(fileno(in)), &f->sink, &source), 0);
	do
		r = source_read(source);
	while (r >= 0);
	pipeline_flush(f->pipeline);
	source_close(source);
	(void)pclose(in);
	assert_int_equal(f->of_type[PICKET__V1__EVENT_TYPE__EVENT_TYPE_PROCESS_ACCESS], 2); /* and a PTRACE_DETACH */
	assert_int_equal(f->of_type[PICKET__V1__EVENT_TYPE__EVENT_TYPE_ACCOUNT], 18); /* ADD_, DEL_, USER_CHAUTHTOK */
	assert_int_equal(f->of_type[PICKET__V1__EVENT_TYPE__EVENT_TYPE_AUDIT_CONFIG], 47); /* CONFIG_, DAEMON_ */
	assert_int_equal(f->of_type[PICKET__V1__EVENT_TYPE__EVENT_TYPE_NETFILTER], 31);    /* of 37 records */
	assert_int_equal(f->of_type[PICKET__V1__EVENT_TYPE__EVENT_TYPE_BPF], 2);
	assert_int_equal(f->of_type[PICKET__V1__EVENT_TYPE__EVENT_TYPE_SECURITY], 7); /* ANOM_, SECCOMP */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_those_of_libaudit),
	    TEST(ptrace_and_process_vm_name_their_target),
	    TEST(a_refused_access_has_the_pid_that_was_asked_for),
	    TEST(account_messages_become_changes),
	    TEST(changes_of_audit_are_told_with_who_made_them),
	    TEST(rules_that_picket_adds_are_not_told),
	    TEST(netfilter_and_bpf_changes),
	    TEST(security_modules_say_who_was_denied_what),
	    TEST(seccomp_anomalies_and_policy),
	    TEST(an_execve_stays_one_whatever_else_is_said),
	    TEST(hostile_notices_do_no_harm),
	    TEST(recorded_logs_hold_each_kind_as_often_as_grep_finds_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
