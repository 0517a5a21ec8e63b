/* sd_notify without the library: READY=1, STOPPING=1, WATCHDOG=1 to $NOTIFY_SOCKET; nothing happens when it is not set.
 */
#ifndef PICKET_COMMON_NOTIFY_H
#define PICKET_COMMON_NOTIFY_H

/* notify_open - connect while files can still be opened (before the sandbox). Never fails loudly: notification is
 * optional. */
void notify_open(void);
void notify_send(const char *state);

#endif
