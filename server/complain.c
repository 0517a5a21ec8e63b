/* Errors of the command line and of start-up. Never exits: the caller knows the exit code. */
#include <stdarg.h>
#include <stdio.h>

#include "server/server.h"

void
srv_complain(const char *format, ...)
{
	va_list ap;

	(void)fputs("picket-server: ", stderr);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}
