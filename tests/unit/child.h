/* Run a piece of a test in a child process: what it does to itself (privileges, filters, limits) ends with it. */
#ifndef PICKET_TESTS_UNIT_CHILD_H
#define PICKET_TESTS_UNIT_CHILD_H

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Exit status of a child whose CHILD_CHECK failed. */
#define CHILD_FAILED 99

/* Only in a child: say what is wrong and end it. write(2) and _exit(2) work in any sandbox. */
#define CHILD_CHECK(condition)                                                                                         \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			(void)dprintf(                                                                                 \
			    STDERR_FILENO, "%s:%d: not true: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
			_exit(CHILD_FAILED);                                                                           \
		}                                                                                                      \
	} while (0)

/* child_run - fork, call body(ctx), exit with its result. Returns the status of waitpid(2). */
static inline int
child_run(int (*body)(const void *ctx), const void *ctx)
{
	int status = -1;
	pid_t pid;

	(void)fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(body(ctx));
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

#define assert_child_passes(body, ctx)                                                                                 \
	do {                                                                                                           \
		int child_status = child_run(body, ctx);                                                               \
		assert_true(WIFEXITED(child_status));                                                                  \
		assert_int_equal(WEXITSTATUS(child_status), 0);                                                        \
	} while (0)

#define assert_child_killed_by(sig, body, ctx)                                                                         \
	do {                                                                                                           \
		int child_status = child_run(body, ctx);                                                               \
		assert_true(WIFSIGNALED(child_status));                                                                \
		assert_int_equal(WTERMSIG(child_status), sig);                                                         \
	} while (0)

/* Says why a test is skipped, then skips it. */
#define skip_because(reason)                                                                                           \
	do {                                                                                                           \
		print_message("skipped: %s\n", reason);                                                                \
		skip();                                                                                                \
	} while (0)

#define skip_unless_root()                                                                                             \
	do {                                                                                                           \
		if (geteuid() != 0)                                                                                    \
			skip_because("needs root");                                                                    \
	} while (0)

#endif
