/* collectord: from the kernel's audit records to events. The start-up checklist; no logic. */
#include <stdio.h>

#include "collectord/replay.h"
#include "common/daemon.h"

int
main(int argc, char **argv)
{
	if (col_replay_wanted(argc, argv))
		return col_replay_main(argc, argv);
	return DAEMON_EXIT_START;
}
