/* notify: a supervisor that listens is told; without one, or with a dead one, nothing happens. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/notify.h"
#include "tests/unit/child.h"

/* A supervisor's socket with an abstract name that the kernel chooses; NOTIFY_SOCKET is set to it. */
static int
listen_as_supervisor(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(addr);
	char name[sizeof(addr.sun_path) + 1] = "@";
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(bind(fd, (const struct sockaddr *)&addr, sizeof(sa_family_t)) == 0);
	CHILD_CHECK(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
	memcpy(name + 1, addr.sun_path + 1, len - offsetof(struct sockaddr_un, sun_path) - 1);
	CHILD_CHECK(setenv("NOTIFY_SOCKET", name, 1) == 0);
	return fd;
}

static int
send_to_supervisor(const void *ctx)
{
	char text[32] = "";
	int fd = listen_as_supervisor();

	(void)ctx;
	notify_open();
	notify_send("READY=1");
	CHILD_CHECK(recv(fd, text, sizeof(text), 0) == 7);
	CHILD_CHECK(strcmp(text, "READY=1") == 0);
	/* A supervisor that reads nothing must not stop us, nor one that is gone. */
	for (int i = 0; i < 10000; i++)
		notify_send("WATCHDOG=1");
	CHILD_CHECK(close(fd) == 0);
	notify_send("STOPPING=1");
	return 0;
}

static int
send_to_nobody(const void *ctx)
{
	if (ctx != NULL)
		CHILD_CHECK(setenv("NOTIFY_SOCKET", ctx, 1) == 0);
	else
		CHILD_CHECK(unsetenv("NOTIFY_SOCKET") == 0);
	notify_open();
	notify_send("READY=1");
	return 0;
}

static void
the_supervisor_is_told_and_never_waited_for(void **state)
{
	(void)state;
	assert_child_passes(send_to_supervisor, NULL);
}

static void
without_a_supervisor_nothing_happens(void **state)
{
	char too_long[300];

	(void)state;
	memset(too_long, '/', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_child_passes(send_to_nobody, NULL);
	assert_child_passes(send_to_nobody, "");
	assert_child_passes(send_to_nobody, "vsock:2:1234");
	assert_child_passes(send_to_nobody, "/nonexistent/notify");
	assert_child_passes(send_to_nobody, too_long);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_supervisor_is_told_and_never_waited_for),
	    cmocka_unit_test(without_a_supervisor_nothing_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
