/* The numbers in the table of system calls are those that libaudit knows, on every machine. */
#include <libaudit.h>

#include "collectord/calls.h"
#include "collectord_feed.h"

static void
numbers_are_those_of_libaudit(void **state)
{
	size_t checked = 0;

	(void)state;
	for (const struct call *c = calls_table; c->name != NULL; c++) {
		const struct {
			int machine;
			int16_t nr;
		} columns[] = {{MACH_86_64, c->x86_64}, {MACH_X86, c->i386}, {MACH_AARCH64, c->aarch64}};

		for (size_t i = 0; i < 3; i++) {
			int nr = audit_name_to_syscall(c->name, columns[i].machine);

			if (nr < 0 && strcmp(c->name, "fchmodat2") == 0)
				continue; /* newer than libaudit 3.0 */
			if (nr != columns[i].nr)
				fail_msg("%s on machine %d: %d here, %d in libaudit", c->name, columns[i].machine,
				    columns[i].nr, nr);
			checked++;
		}
	}
	assert_true(checked > 80);
}

static void
every_call_is_found_by_its_number_and_only_there(void **state)
{
	size_t found = 0, rows = 0;

	(void)state;
	for (uint32_t nr = 0; nr < 1000; nr++) {
		const struct call *c = calls_find(CALLS_ARCH_X86_64, nr);

		if (c != NULL) {
			assert_int_equal(c->x86_64, nr);
			found++;
		}
	}
	for (const struct call *c = calls_table; c->name != NULL; c++) {
		rows += c->x86_64 >= 0;
		assert_ptr_equal(calls_by_name(c->name), c);
	}
	assert_int_equal(found, rows);
	assert_null(calls_find(0x12345678, 59));
	assert_null(calls_find(CALLS_ARCH_X86_64, UINT32_MAX));
	assert_null(calls_by_name("no_such_call"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(numbers_are_those_of_libaudit),
	    cmocka_unit_test(every_call_is_found_by_its_number_and_only_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
