/*
 * Our rules in one iptables table of one family: put in, taken out, compared. Each call reads the table afresh and
 * leaves foreign rules alone.
 */
#ifndef PICKET_ISOLATORD_IPTC_TABLE_H
#define PICKET_ISOLATORD_IPTC_TABLE_H

#include <stdbool.h>

#include "isolatord/backend.h"
#include "isolatord/iptc_family.h"

struct iptc_place {
	const struct iptc_family *family;
	const char *table; /* filter, security */
	bool drop_only;    /* the table cannot reject */
};

/*
 * iptc_table_change - make the table hold exactly these rules of ours, in front of all others. With rules NULL: none.
 * One atomic commit; done again when others changed the table meanwhile.
 * @report: retries are added; detail on failure.
 * Returns 0 or a negative errno.
 */
int iptc_table_change(const struct iptc_place *p, const struct ruleset *rules, struct backend_report *report);

/*
 * iptc_table_verify - is every rule there, in its place? With rules NULL: is nothing of ours there?
 * Returns 0, -ENOENT with detail, or another negative errno without detail when the table could not be read.
 */
int iptc_table_verify(const struct iptc_place *p, const struct ruleset *rules, struct backend_report *report);

/* iptc_describe - "iptables FAMILY TABLE: ..." into the report's detail. */
__attribute__((format(printf, 3, 4))) void iptc_describe(
    struct backend_report *report, const struct iptc_place *p, const char *fmt, ...);

#endif
