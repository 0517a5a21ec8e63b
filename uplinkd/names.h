/*
 * Addresses of the servers and the proxy: looked up in a thread, remembered on disk, so that an isolated host without a
 * name service, also after a reboot, still finds its server.
 */
#ifndef PICKET_UPLINKD_NAMES_H
#define PICKET_UPLINKD_NAMES_H

struct uplinkd;

/* Returns 0 or a negative errno. */
int upl_names_start(struct uplinkd *u);
void upl_names_stop(struct uplinkd *u);

/* The list of servers is new: take what the disk remembers of it, and look up the names. */
void upl_names_changed(struct uplinkd *u);

/* Nobody answered at the known addresses: look up again, unless that was done a moment ago. */
void upl_names_refresh(struct uplinkd *u);

#endif
