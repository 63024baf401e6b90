/* streams - the three streams that a program is given. */
#ifndef PD_CLI_STREAMS_H
#define PD_CLI_STREAMS_H

/* Make sure that the descriptors 0, 1 and 2 are there, the missing ones as /dev/null: before
 * anything is opened. A file that took one of their numbers would get what is meant for the
 * stream. */
void pd_streams_hold(void);

/* What is printed to stdout from here on goes through host/output.h: for commands that have more to
 * do than to wait for who reads it. */
void pd_streams_print_without_waiting(void);

/* The exit code of a command that ends with `code`: when standard output did not take all that was
 * printed, PD_EXIT_CODE_FAILED, after that was told. Who closes the pipe has seen enough, as `head`
 * does, and is no failure. */
int pd_streams_end(int code);

#endif
