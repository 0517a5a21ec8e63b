/* collectord --replay: a recorded log to events, without configuration, privileges or peers. */
#ifndef PICKET_COLLECTORD_REPLAY_H
#define PICKET_COLLECTORD_REPLAY_H

#include <stdbool.h>

/* True when the command line asks for a replay. */
bool col_replay_wanted(int argc, char **argv);

/*
 * col_replay_main - the whole run: options, sandbox, input to its end, statistics.
 * Returns the exit code (common/daemon.h).
 */
int col_replay_main(int argc, char **argv);

#endif
