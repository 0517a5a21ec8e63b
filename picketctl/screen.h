/*
 * A terminal with a header that stays on top and lines that scroll beneath it (an ANSI scroll region), or, when the
 * output is none, plain lines. Put back by ctl_screen_stop().
 */
#ifndef PICKET_PICKETCTL_SCREEN_H
#define PICKET_PICKETCTL_SCREEN_H

#include <stdbool.h>
#include <stdio.h>

/* Lines of the header, the ruler under it included. */
#define CTL_HEADER_LINES 4

/* Bytes of one header line with its end, colours included. */
#define CTL_HEADER_BYTES 512

struct ctl_screen {
	FILE *out;
	bool has_header; /* a terminal that is large enough */
	int rows, columns;
};

/* ctl_screen_start - clears the terminal and sets the region aside. `tty` false: plain lines. */
void ctl_screen_start(struct ctl_screen *screen, FILE *out, bool tty);

/* ctl_screen_resize - after SIGWINCH: measures again; the header must be drawn again. */
void ctl_screen_resize(struct ctl_screen *screen);

/* ctl_screen_header - draw it; lines that are too long are cut. Does nothing without a header. */
void ctl_screen_header(const struct ctl_screen *screen, char lines[][CTL_HEADER_BYTES]);

/* ctl_screen_line - one more line at the bottom. */
void ctl_screen_line(const struct ctl_screen *screen, const char *text);

void ctl_screen_stop(struct ctl_screen *screen);

#endif
