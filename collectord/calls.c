/*
 * The table of system calls and its look-up. Numbers from the kernel's syscall tables; a unit test compares them with
 * libaudit's. Called by event.c for every SYSCALL record and by rules.c.
 */
#include "collectord/calls.h"

#include <linux/ptrace.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"

#define NO CALL_NO_ARG

const struct call calls_table[] = {
    /* clang-format off */
	/* name              kind                 dir new value x86_64 i386 aarch64 */
	{"execve",         CALL_EXEC,            NO, NO, NO,     59,   11,  221},
	{"execveat",       CALL_EXEC,             0, NO, NO,    322,  358,  281},
	{"exit_group",     CALL_EXIT,            NO, NO, NO,    231,  252,   94},
	{"connect",        CALL_CONNECT,         NO, NO, NO,     42,  362,  203},
	{"accept",         CALL_ACCEPT,          NO, NO, NO,     43,   -1,  202},
	{"accept4",        CALL_ACCEPT,          NO, NO, NO,    288,  364,  242},
	{"bind",           CALL_BIND,            NO, NO, NO,     49,  361,  200},
	{"listen",         CALL_LISTEN,          NO, NO, NO,     50,  363,  201},
	{"socketcall",     CALL_SOCKETCALL,      NO, NO, NO,     -1,  102,   -1},
	{"open",           CALL_OPEN,            NO, NO,  1,      2,    5,   -1},
	{"openat",         CALL_OPEN,             0, NO,  2,    257,  295,   56},
	{"openat2",        CALL_OPEN,             0, NO, NO,    437,  437,  437},
	{"creat",          CALL_OPEN,            NO, NO, NO,     85,    8,   -1},
	{"truncate",       CALL_TRUNCATE,        NO, NO, NO,     76,   92,   45},
	{"truncate64",     CALL_TRUNCATE,        NO, NO, NO,     -1,  193,   -1},
	{"rename",         CALL_RENAME,          NO, NO, NO,     82,   38,   -1},
	{"renameat",       CALL_RENAME,           0,  2, NO,    264,  302,   38},
	{"renameat2",      CALL_RENAME,           0,  2, NO,    316,  353,  276},
	{"unlink",         CALL_DELETE,          NO, NO, NO,     87,   10,   -1},
	{"unlinkat",       CALL_DELETE,           0, NO, NO,    263,  301,   35},
	{"rmdir",          CALL_DELETE,          NO, NO, NO,     84,   40,   -1},
	{"link",           CALL_LINK,            NO, NO, NO,     86,    9,   -1},
	{"linkat",         CALL_LINK,             0,  2, NO,    265,  303,   37},
	{"symlink",        CALL_LINK,            NO, NO, NO,     88,   83,   -1},
	{"symlinkat",      CALL_LINK,            NO,  1, NO,    266,  304,   36},
	{"chmod",          CALL_CHMOD,           NO, NO,  1,     90,   15,   -1},
	{"fchmod",         CALL_CHMOD,           NO, NO,  1,     91,   94,   52},
	{"fchmodat",       CALL_CHMOD,            0, NO,  2,    268,  306,   53},
	{"fchmodat2",      CALL_CHMOD,            0, NO,  2,    452,  452,  452},
	{"init_module",    CALL_MODULE_LOAD,     NO, NO, NO,    175,  128,  105},
	{"finit_module",   CALL_MODULE_LOAD,     NO, NO, NO,    313,  350,  273},
	{"delete_module",  CALL_MODULE_UNLOAD,   NO, NO, NO,    176,  129,  106},
	{"ptrace",         CALL_PTRACE,          NO, NO, NO,    101,   26,  117},
	{"process_vm_readv", CALL_VM_READ,       NO, NO, NO,    310,  347,  270},
	{"process_vm_writev", CALL_VM_WRITE,     NO, NO, NO,    311,  348,  271},
	{.name = NULL},
    /* clang-format on */
};

/* Above the highest number in the table. */
#define CALL_NUMBERS 512

/* Row + 1 for each number, 0 for none. Filled once, at the first look-up. */
static uint8_t row_of[3][CALL_NUMBERS];
static bool filled;

static void
fill(void)
{
	for (uint8_t i = 0; calls_table[i].name != NULL; i++) {
		const int16_t numbers[3] = {calls_table[i].x86_64, calls_table[i].i386, calls_table[i].aarch64};

		for (size_t m = 0; m < 3; m++)
			if (numbers[m] >= 0 && numbers[m] < CALL_NUMBERS)
				row_of[m][numbers[m]] = (uint8_t)(i + 1);
	}
	filled = true;
}

const struct call *
calls_find(uint32_t arch, uint32_t nr)
{
	size_t machine;

	if (!filled)
		fill();
	switch (arch) {
	case CALLS_ARCH_X86_64:
		machine = 0;
		break;
	case CALLS_ARCH_I386:
		machine = 1;
		break;
	case CALLS_ARCH_AARCH64:
		machine = 2;
		break;
	default:
		return NULL;
	}
	if (nr >= CALL_NUMBERS || row_of[machine][nr] == 0)
		return NULL;
	return &calls_table[row_of[machine][nr] - 1];
}

enum ptrace_effect
calls_ptrace(uint64_t request)
{
	static const struct {
		uint64_t request;
		enum ptrace_effect effect;
	} rows[] = {
	    {PTRACE_PEEKTEXT, PTRACE_READS},
	    {PTRACE_PEEKDATA, PTRACE_READS},
	    {PTRACE_PEEKUSR, PTRACE_READS},
	    {PTRACE_POKETEXT, PTRACE_WRITES},
	    {PTRACE_POKEDATA, PTRACE_WRITES},
	    {PTRACE_POKEUSR, PTRACE_WRITES},
	    {12, PTRACE_READS},  /* PTRACE_GETREGS of x86 */
	    {13, PTRACE_WRITES}, /* PTRACE_SETREGS of x86 */
	    {14, PTRACE_READS},  /* PTRACE_GETFPREGS of x86 */
	    {15, PTRACE_WRITES}, /* PTRACE_SETFPREGS of x86 */
	    {PTRACE_ATTACH, PTRACE_ATTACHES},
	    {PTRACE_SEIZE, PTRACE_ATTACHES},
	    {PTRACE_GETREGSET, PTRACE_READS},
	    {PTRACE_SETREGSET, PTRACE_WRITES},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].request == request)
			return rows[i].effect;
	return PTRACE_STEERS;
}

const struct call *
calls_by_name(const char *name)
{
	for (const struct call *c = calls_table; c->name != NULL; c++)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}
