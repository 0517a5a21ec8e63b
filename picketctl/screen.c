/* Terminal control for picketctl monitor: see screen.h. The sequences are those of ECMA-48 and the VT100 that every
 * terminal knows. */
#include "picketctl/screen.h"

#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Below this a header would leave no room for events. */
#define MIN_ROWS 12
#define MIN_COLUMNS 40

#define CLEAR "\033[H\033[2J"
#define REGION "\033[%d;%dr"
#define REGION_RESET "\033[r"
#define MOVE "\033[%d;1H"
#define CLEAR_LINE "\033[K"
#define SAVE_CURSOR "\0337"
#define RESTORE_CURSOR "\0338"
#define COLOUR_RESET "\033[0m"

static void
measure(struct ctl_screen *screen)
{
	struct winsize size = {0};

	screen->rows = 24;
	screen->columns = 80;
	if (ioctl(fileno(screen->out), TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
		screen->rows = size.ws_row;
		screen->columns = size.ws_col;
	}
}

static void
lay_out(struct ctl_screen *screen)
{
	measure(screen);
	screen->has_header = screen->rows >= MIN_ROWS && screen->columns >= MIN_COLUMNS;
	if (screen->has_header)
		(void)fprintf(screen->out, CLEAR REGION MOVE, CTL_HEADER_LINES + 1, screen->rows, screen->rows);
	else
		(void)fprintf(screen->out, REGION_RESET CLEAR);
	(void)fflush(screen->out);
}

void
ctl_screen_start(struct ctl_screen *screen, FILE *out, bool tty)
{
	*screen = (struct ctl_screen){.out = out};
	if (tty)
		lay_out(screen);
}

void
ctl_screen_resize(struct ctl_screen *screen)
{
	if (screen->rows > 0)
		lay_out(screen);
}

/* The bytes of a line that fill `columns`: colours take no room. */
static size_t
fitting(const char *line, int columns)
{
	const char *p = line;
	int n = 0;

	while (*p != '\0') {
		if (*p == '\033') {
			p += strcspn(p, "m");
			p += *p == 'm';
			continue;
		}
		if (((unsigned char)*p & 0xc0) != 0x80 && ++n > columns)
			break;
		p++;
	}
	return (size_t)(p - line);
}

void
ctl_screen_header(const struct ctl_screen *screen, char lines[][CTL_HEADER_BYTES])
{
	if (!screen->has_header)
		return;
	(void)fputs(SAVE_CURSOR, screen->out);
	for (int i = 0; i < CTL_HEADER_LINES - 1; i++)
		(void)fprintf(screen->out, MOVE "%.*s" COLOUR_RESET CLEAR_LINE, i + 1,
		    (int)fitting(lines[i], screen->columns), lines[i]);
	(void)fprintf(screen->out, MOVE, CTL_HEADER_LINES);
	for (int i = 0; i < screen->columns; i++)
		(void)fputc('-', screen->out);
	(void)fputs(RESTORE_CURSOR, screen->out);
	(void)fflush(screen->out);
}

void
ctl_screen_line(const struct ctl_screen *screen, const char *text)
{
	/* In the region the cursor is at the end of the last line. */
	if (screen->has_header)
		(void)fprintf(screen->out, "\r\n%s", text);
	else
		(void)fprintf(screen->out, "%s\n", text);
}

void
ctl_screen_stop(struct ctl_screen *screen)
{
	if (screen->has_header)
		(void)fprintf(screen->out, REGION_RESET MOVE "\r\n", screen->rows);
	(void)fflush(screen->out);
	screen->has_header = false;
}
