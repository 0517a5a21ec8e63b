/*
 * The table of notices. Numbers as in linux/audit.h and, for messages of programs, libaudit.h, which the parser does
 * without; a unit test compares them. Called by record.c and event.c, for rare records only.
 */
#include "collectord/notices.h"

#include "collectord/record.h"
#include "common/cleanup.h"
#include "proto/event.pb-c.h"

#define ACCOUNT(a) NOTICE_ACCOUNT, PICKET__V1__ACCOUNT_ACTION__ACCOUNT_ACTION_##a
#define AUDIT(a) NOTICE_AUDIT, PICKET__V1__AUDIT_ACTION__AUDIT_ACTION_##a
#define SECURITY(k) NOTICE_SECURITY, PICKET__V1__SECURITY_KIND__SECURITY_KIND_##k

static const struct notice_type rows[] = {
    /* clang-format off */
	{"USER_MGMT",           1102, ACCOUNT(USER_CHANGE)},
	{"USER_AVC",            1107, SECURITY(ACCESS)},
	{"USER_CHAUTHTOK",      1108, ACCOUNT(CREDENTIAL_CHANGE)},
	{"ADD_USER",            1114, ACCOUNT(USER_ADD)},
	{"DEL_USER",            1115, ACCOUNT(USER_DELETE)},
	{"ADD_GROUP",           1116, ACCOUNT(GROUP_ADD)},
	{"DEL_GROUP",           1117, ACCOUNT(GROUP_DELETE)},
	{"CHGRP_ID",            1119, ACCOUNT(GROUP_CHANGE)},
	{"CHUSER_ID",           1125, ACCOUNT(USER_CHANGE)},
	{"GRP_MGMT",            1132, ACCOUNT(GROUP_CHANGE)},
	{"GRP_CHAUTHTOK",       1133, ACCOUNT(CREDENTIAL_CHANGE)},
	{"ACCT_LOCK",           1135, ACCOUNT(LOCK)},
	{"ACCT_UNLOCK",         1136, ACCOUNT(UNLOCK)},
	{"DAEMON_START",        1200, AUDIT(DAEMON_START)},
	{"DAEMON_END",          1201, AUDIT(DAEMON_END)},
	{"DAEMON_ABORT",        1202, AUDIT(DAEMON_ABORT)},
	{"DAEMON_CONFIG",       1203, AUDIT(DAEMON_CHANGE)},
	{"DAEMON_RECONFIG",     1204, AUDIT(DAEMON_CHANGE)},
	{"DAEMON_ROTATE",       1205, AUDIT(DAEMON_CHANGE)},
	{"DAEMON_RESUME",       1206, AUDIT(DAEMON_CHANGE)},
	{"DAEMON_ACCEPT",       1207, AUDIT(DAEMON_CHANGE)},
	{"DAEMON_CLOSE",        1208, AUDIT(DAEMON_CHANGE)},
	{"DAEMON_ERR",          1209, AUDIT(DAEMON_CHANGE)},
	{"CONFIG_CHANGE",       1305, AUDIT(UNSPECIFIED)},
	{"NETFILTER_CFG",       1325, NOTICE_NETFILTER, 0},
	{"SECCOMP",             1326, SECURITY(SECCOMP)},
	{"BPF",                 1334, NOTICE_BPF, 0},
	{"AVC",                 1400, SECURITY(ACCESS)},
	{"MAC_POLICY_LOAD",     1403, SECURITY(POLICY)},
	{"MAC_STATUS",          1404, SECURITY(POLICY)},
	{"MAC_CONFIG_CHANGE",   1405, SECURITY(POLICY)},
	{"ANOM_PROMISCUOUS",    1700, SECURITY(PROMISCUOUS)},
	{"ANOM_ABEND",          1701, SECURITY(ABNORMAL_END)},
	{"ANOM_LINK",           1702, SECURITY(ANOMALY)},
	{"ANOM_CREAT",          1703, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_FAILURES", 2100, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_TIME",     2101, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_SESSIONS", 2102, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_ACCT",     2103, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_LOCATION", 2104, SECURITY(ANOMALY)},
	{"ANOM_MAX_DAC",        2105, SECURITY(ANOMALY)},
	{"ANOM_MAX_MAC",        2106, SECURITY(ANOMALY)},
	{"ANOM_AMTU_FAIL",      2107, SECURITY(ANOMALY)},
	{"ANOM_RBAC_FAIL",      2108, SECURITY(ANOMALY)},
	{"ANOM_RBAC_INTEGRITY_FAIL", 2109, SECURITY(ANOMALY)},
	{"ANOM_CRYPTO_FAIL",    2110, SECURITY(ANOMALY)},
	{"ANOM_ACCESS_FS",      2111, SECURITY(ANOMALY)},
	{"ANOM_EXEC",           2112, SECURITY(ANOMALY)},
	{"ANOM_MK_EXEC",        2113, SECURITY(ANOMALY)},
	{"ANOM_ADD_ACCT",       2114, SECURITY(ANOMALY)},
	{"ANOM_DEL_ACCT",       2115, SECURITY(ANOMALY)},
	{"ANOM_MOD_ACCT",       2116, SECURITY(ANOMALY)},
	{"ANOM_ROOT_TRANS",     2117, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_SERVICE",  2118, SECURITY(ANOMALY)},
	{"ANOM_LOGIN_ROOT",     2119, SECURITY(ANOMALY)},
	{"ANOM_ORIGIN_FAILURES", 2120, SECURITY(ANOMALY)},
	{"ANOM_SESSION",        2121, SECURITY(ANOMALY)},
    /* clang-format on */
};

uint16_t
notices_number(const uint8_t *name, size_t len)
{
	const struct slice s = {name, len};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (slice_is(s, rows[i].name))
			return rows[i].type;
	return RECORD_TYPE_OTHER;
}

const struct notice_type *
notices_find(uint16_t type)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].type == type)
			return &rows[i];
	return NULL;
}
