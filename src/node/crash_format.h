/* crash_format - the words of a crash report. Pure: facts in, text out.
 *
 * Model      A report is a text without its last line; the closing line says what becomes of the
 *            process. Control characters of guests are shown as '?', so that a report cannot play
 *            with the terminal.
 * Bounds     PD_CRASH_REPORT_SIZE; what does not fit is cut at a line. */
#ifndef PD_NODE_CRASH_FORMAT_H
#define PD_NODE_CRASH_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/exit.h"

#define PD_CRASH_REPORT_SIZE 16384u
#define PD_CRASH_HASH_SHOWN 6u /* bytes of a module's hash */

/* Texts are borrowed; "" or NULL where there is nothing. */
struct pd_crash_facts {
    uint64_t pid;
    uint64_t parent;
    const char *name;
    const char *path;
    const uint8_t *module_hash; /* PD_CRASH_HASH_SHOWN bytes, or NULL: no wasm */
    const char *module_file;
    const char *function;
    enum pd_exit_reason reason;
    const char *reason_text;
    const char *last_errors; /* lines of its standard error */
    const char *backtrace;   /* lines, as pd_guest_backtrace_text writes them */
    uint32_t message_count;
    size_t message_bytes;
    uint64_t fuel_used;
    uint64_t memory_size;
    uint64_t age_ns;
    bool is_secondhand; /* it ended because another did, or by an exit signal */
};

/* What becomes of it. */
struct pd_crash_outcome {
    bool is_known; /* false: nothing is said */
    bool is_restarted;
    uint32_t restart_count;
    uint32_t restarts_max;
    bool has_given_up; /* its supervisor ends, too */
};

/* Write all that is known (at least 256 bytes of room), or one line of it. Returns the length. */
size_t pd_crash_format_full(const struct pd_crash_facts *facts, char *text, size_t size);
size_t pd_crash_format_brief(const struct pd_crash_facts *facts, char *text, size_t size);

/* The closing line of a full or brief report. Returns the length. */
size_t pd_crash_format_outcome(const struct pd_crash_outcome *outcome, bool is_brief, char *text,
                               size_t size);

#endif
