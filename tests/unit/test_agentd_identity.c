/* The agent's id is made once and stays; os-release is read as it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agentd/identity.h"
#include "common/atomic_file.h"

static char dir[64];
static int dirfd = -1;

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/picket-id-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dirfd >= 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlinkat(dirfd, "agent-id", 0);
	(void)close(dirfd);
	return rmdir(dir);
}

static void
the_id_is_made_once_and_stays(void **state)
{
	char first[AGT_ID_BYTES], second[AGT_ID_BYTES];

	(void)state;
	assert_int_equal(agt_id_load(dirfd, first), 0);
	assert_true(agt_id_is_valid(first));
	assert_int_equal(first[14], '4');
	assert_non_null(strchr("89ab", first[19]));
	assert_int_equal(agt_id_load(dirfd, second), 0);
	assert_string_equal(first, second);
	assert_int_equal(unlinkat(dirfd, "agent-id", 0), 0);
	assert_int_equal(agt_id_load(dirfd, second), 0);
	assert_string_not_equal(first, second);
}

static void
a_damaged_id_is_an_error_and_not_a_new_agent(void **state)
{
	static const char *const bad[] = {"", "\n", "no uuid\n", "11111111-2222-4333-8444-55555555555X\n",
	    "11111111-2222-4333-8444-555555555555 and more\n"};
	char id[AGT_ID_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(atomic_file_write(dirfd, "agent-id", 0600, bad[i], strlen(bad[i])), 0);
		assert_true(agt_id_load(dirfd, id) < 0);
	}
	assert_int_equal(atomic_file_write(dirfd, "agent-id", 0600, "11111111-2222-4333-8444-555555555555", 36), 0);
	assert_int_equal(agt_id_load(dirfd, id), 0);
}

static void
os_release_values_lose_their_quotes(void **state)
{
	const char *text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n"
			   "VERSION_ID='12'\nID=debian\nEMPTY=\nODD=\"";
	char buf[64];

	(void)state;
	assert_string_equal(agt_os_release_value(text, "NAME", buf, sizeof(buf)), "Debian GNU/Linux");
	assert_string_equal(agt_os_release_value(text, "VERSION_ID", buf, sizeof(buf)), "12");
	assert_string_equal(agt_os_release_value(text, "ID", buf, sizeof(buf)), "debian");
	assert_string_equal(agt_os_release_value(text, "EMPTY", buf, sizeof(buf)), "");
	assert_string_equal(agt_os_release_value(text, "ODD", buf, sizeof(buf)), "\"");
	assert_string_equal(agt_os_release_value(text, "MISSING", buf, sizeof(buf)), "");
	assert_string_equal(agt_os_release_value("", "NAME", buf, sizeof(buf)), "");
	assert_string_equal(agt_os_release_value(text, "PRETTY_NAME", buf, 7), "Debian");
}

static void
the_host_is_described_and_a_second_look_changes_nothing(void **state)
{
	struct agt_host host;

	(void)state;
	memset(&host, 0, sizeof(host));
	agt_host_os(&host);
	assert_string_not_equal(host.os_name, "");
	assert_true(agt_host_refresh(&host));
	assert_string_not_equal(host.name, "");
	assert_string_not_equal(host.kernel, "");
	assert_false(agt_host_refresh(&host));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(the_id_is_made_once_and_stays, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_damaged_id_is_an_error_and_not_a_new_agent, set_up, tear_down),
	    cmocka_unit_test(os_release_values_lose_their_quotes),
	    cmocka_unit_test(the_host_is_described_and_a_second_look_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
