/* The peer of tests/bench/replay.py: walks a log with libauparse and interprets every field, which is the work of an
 * agent built on it. */
#include <auparse.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
	auparse_state_t *au = argc == 2 ? auparse_init(AUSOURCE_FILE, argv[1]) : NULL;
	unsigned long records = 0, bytes = 0;

	if (au == NULL)
		return 1;
	while (auparse_next_event(au) > 0) {
		if (auparse_first_record(au) <= 0)
			continue;
		do {
			records++;
			if (auparse_first_field(au) <= 0)
				continue;
			do {
				const char *text = auparse_interpret_field(au);

				bytes += text != NULL && text[0] != '\0';
			} while (auparse_next_field(au) > 0);
		} while (auparse_next_record(au) > 0);
	}
	auparse_destroy(au);
	(void)printf("%lu %lu\n", records, bytes);
	return 0;
}
