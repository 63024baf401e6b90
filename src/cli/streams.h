/* streams - the three streams that a program is given. */
#ifndef PD_CLI_STREAMS_H
#define PD_CLI_STREAMS_H

/* Make sure that the descriptors 0, 1 and 2 are there, the missing ones as /dev/null: before anything
 * is opened. A file that took one of their numbers would get what is meant for the stream. */
void pd_streams_hold(void);

#endif
