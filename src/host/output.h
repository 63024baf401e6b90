/* output - the program's own standard output and error, for threads that must not wait for whoever
 * reads them: schedulers, and the node's core, which has a line for its log.
 *
 * Model      To a pipe, a socket or a terminal is written as much as it takes; what is left waits
 *            here, in order, for a thread that waits for the reader. A file is written to at once.
 *            A pipe that this user may not open a second time is asked whether it has room, and
 *            given no more than a piece that surely fits, unless others write to it.
 * Bounds     PD_HOST_OUTPUT_SOFT bytes a stream: who can wait does so beyond them (size 0 asks).
 *            PD_HOST_OUTPUT_HARD: more is dropped. The thread is there once it was needed.
 * Errors     A reader that is gone is told to who writes next, when it was found later.
 * Threads    Any. */
#ifndef PD_HOST_OUTPUT_H
#define PD_HOST_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host_files.h"

#define PD_HOST_OUTPUT_SOFT ((size_t)256 << 10)
#define PD_HOST_OUTPUT_HARD ((size_t)16 << 20)

/* stream: 1 or 2. size 0: nothing but PD_FILE_AGAIN while more waits than it should.
 *
 * PD_FILE_OK     all is written, or waits
 * PD_FILE_AGAIN  PD_HOST_OUTPUT_HARD wait: it was dropped
 * any other      what the system says; bytes are lost */
enum pd_file_error pd_host_output(int stream, const uint8_t *bytes, size_t size);

/* The same, but it waits for the reader. */
enum pd_file_error pd_host_output_blocking(int stream, const uint8_t *bytes, size_t size);

/* Before the program ends: wait until nothing waits here. After `hurry`, from a program that was
 * told to end, a second at most. */
void pd_host_output_drain(void);
void pd_host_output_hurry(void);

#endif
