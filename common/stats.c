/* Counters and facts into a StatusReport. Called by daemons at most once a second. */
#include "common/stats.h"

#include <errno.h>

#include "common/pb.h"
#include "envelope.pb-c.h"

/* Rows one report can carry: more than any daemon has. */
#define MAX_COUNTERS 96u
#define MAX_FACTS 64u

int
stats_report(struct ipc_link *link, const struct stats_name *names, const void *base, const struct stats_fact *facts,
    size_t n_facts)
{
	Picket__V1__StatusReport report = PICKET__V1__STATUS_REPORT__INIT;
	Picket__V1__Counter counters[MAX_COUNTERS], *counter_ptrs[MAX_COUNTERS];
	Picket__V1__Fact fact_rows[MAX_FACTS], *fact_ptrs[MAX_FACTS];

	if (n_facts > MAX_FACTS)
		return -EMSGSIZE;
	for (; names->name != NULL; names++) {
		size_t i = report.n_counters++;

		if (i >= MAX_COUNTERS)
			return -EMSGSIZE;
		picket__v1__counter__init(&counters[i]);
		counters[i].name = pb_str(names->name);
		counters[i].value = stats_value(names, base);
		counter_ptrs[i] = &counters[i];
	}
	for (size_t i = 0; i < n_facts; i++) {
		picket__v1__fact__init(&fact_rows[i]);
		fact_rows[i].name = pb_str(facts[i].name);
		fact_rows[i].value = pb_str(facts[i].value);
		fact_ptrs[i] = &fact_rows[i];
	}
	report.counters = counter_ptrs;
	report.facts = fact_ptrs;
	report.n_facts = n_facts;
	return ipc_send(link, PICKET__V1__MSG__MSG_STATUS_REPORT, 0, &report.base, NULL, 0);
}
