/* exit - why a process ended, and the text that goes with it. Pure but for the heap.
 *
 * Ownership  A text is shared and immutable: every holder has a reference. Counts are atomic, since
 *            the notices of one death go to processes on many threads. */
#ifndef PD_ACTOR_EXIT_H
#define PD_ACTOR_EXIT_H

#include <stddef.h>
#include <stdint.h>

/* A process, unique for ever within its environment. 0 is no process. */
struct pd_pid {
    uint64_t value;
};

/* The numbers are part of the guest ABI (`pando::message::reason`): never renumber. */
enum pd_exit_reason {
    PD_EXIT_NORMAL = 0,   /* returned, or exit code 0 */
    PD_EXIT_SHUTDOWN = 1, /* asked to end by its supervisor or by the operator */
    /* trap, panic, non-zero exit code, or a failure that it declared itself */
    PD_EXIT_FAILURE = 2,
    PD_EXIT_KILLED = 3,     /* killed, untrappably */
    PD_EXIT_NO_PROCESS = 4, /* a link or monitor to a process that does not exist */
    PD_EXIT_FUEL = 5,       /* used up its fuel */
    PD_EXIT_MEMORY = 6,     /* could not get the memory that it needs to live */
    PD_EXIT_DENIED = 7      /* did what it has no right to */
};

#define PD_EXIT_REASONS 8u

struct pd_exit_text; /* shared bytes, see below */

struct pd_exit {
    enum pd_exit_reason reason;
    struct pd_exit_text *text; /* a reference, or NULL */
};

/* The reason as one word: "normal", "no process", ... */
const char *pd_exit_reason_text(enum pd_exit_reason reason);

/* A text with one reference, or NULL when there is no memory (an exit without text is still an
 * exit). Cut to PD_EXIT_TEXT_MAX bytes at a character boundary. */
#define PD_EXIT_TEXT_MAX 4096u
struct pd_exit_text *pd_exit_text_create(const char *bytes, size_t size);

/* One more reference; returns its argument. NULL is allowed in both. */
struct pd_exit_text *pd_exit_text_share(struct pd_exit_text *text);
void pd_exit_text_release(struct pd_exit_text *text);

/* Zero-terminated; "" for NULL. Valid as long as a reference is held. */
const char *pd_exit_text_bytes(const struct pd_exit_text *text);
size_t pd_exit_text_size(const struct pd_exit_text *text);

#endif
