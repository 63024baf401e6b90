/* trace - what the shim writes down about a process's files, and the model reads.
 *
 * Model      One record when a call begins, with what it wants, and one (DONE) when it is over,
 *            with what came of it. Only a call that was over before a sync began is covered by that
 *            sync, and only a sync that is over covers anything: an image never claims more than
 *            the real disk would hold. Names change one at a time, so their records are in order.
 * Time       time_ns is CLOCK_MONOTONIC, taken when the record is written and never going back in
 *            the file. A sync's DONE is there before its caller goes on: what a client was told at
 *            a time T rests on records with time_ns <= T.
 * File       Appended to, one write() a record: what a killed process leaves is whole but for a
 *            short last record, which counts as absent. Numbers are the machine's own. */
#ifndef POWER_LOSS_TRACE_H
#define POWER_LOSS_TRACE_H

#include <stdint.h>

#define PD_POWER_FOLDER "PANDO_POWER_FOLDER" /* environment: whose files; absolute, no links */
#define PD_POWER_TRACE "PANDO_POWER_TRACE"   /* environment: where to */

enum pd_power_kind {
    PD_POWER_DONE = 1, /* of `call`: result; inode of an OPEN */
    PD_POWER_WRITE,    /* inode, offset, length; bytes unless ZEROES */
    PD_POWER_TRUNCATE, /* inode, length */
    PD_POWER_EXTEND,   /* inode, offset + length: a file shorter than that becomes that long */
    PD_POWER_SYNC,     /* inode: of a file or a folder */
    PD_POWER_SYNC_ALL,
    PD_POWER_OPEN,   /* first: path; may make or empty the file */
    PD_POWER_RENAME, /* first to second */
    PD_POWER_LINK,   /* second is another name of first */
    PD_POWER_REMOVE, /* first: a file or an empty folder */
    PD_POWER_MKDIR,  /* first */
    PD_POWER_STREAM, /* inode: stdio writes it from now on, which is not followed: a text log */
    PD_POWER_UNSEEN  /* first: a path that is changed in a way that is not followed */
};

enum {
    PD_POWER_ZEROES = 1, /* WRITE: all bytes are 0, and left out */
    PD_POWER_DSYNC = 2,  /* WRITE: durable when it is DONE */
    PD_POWER_EMPTIES = 4 /* OPEN: with O_TRUNC */
};

/* Behind it: first_size and second_size bytes of paths below the folder, then `length` bytes of a
 * WRITE. */
struct pd_power_record {
    uint64_t size; /* of all of it */
    uint64_t call; /* the same in its DONE */
    uint64_t time_ns;
    uint64_t inode;
    uint64_t offset;
    uint64_t length;
    int64_t result; /* negative: the call failed */
    uint32_t kind;
    uint32_t flags;
    uint32_t first_size;
    uint32_t second_size;
};

#endif
