/* control_answer - what the control socket answers: JSON objects, one a line.
 *
 * Model      Each function returns a line with its newline, or NULL: no memory. A list is many
 *            lines of "process" and one of "end". Texts of guests that are not UTF-8 are shown with
 *            '?'.
 * Ownership  The caller frees lines with free(), as jansson's are. */
#ifndef PD_NODE_CONTROL_ANSWER_H
#define PD_NODE_CONTROL_ANSWER_H

#include <stdint.h>

#include "actor/tracer.h"
#include "node/process_view.h"

/* {"error":"..."} */
char *pd_control_answer_error(const char *text);

struct pd_control_program {
    int os_pid;
    const char *file;
    const char *node; /* NULL: it runs inside of none */
    uint64_t main_pid;
    uint32_t process_count;
    uint64_t age_ns;
};
char *pd_control_answer_program(const struct pd_control_program *program);

/* {"process":{...}} */
char *pd_control_answer_row(const struct pd_process_row *row, uint64_t now_ns);

/* {"end":{"count":N}} */
char *pd_control_answer_end(uint32_t count);

/* What only INFO tells. `look` NULL: the process did not answer in time. */
struct pd_control_details {
    struct pd_environment *environment;
    const struct pd_process_row *row;
    const struct pd_process_look *look;
    const uint64_t *children;
    uint32_t children_listed;
    uint32_t children_count;
    uint64_t now_ns;
};
char *pd_control_answer_info(const struct pd_control_details *details);

/* {"killed":{"pid":7,"name":"...","gone":true}} */
char *pd_control_answer_killed(uint64_t pid, const char *name, bool is_gone);

/* {"tracing":{"pid":7}} · {"event":{...}} · {"end":{"why":"...","count":N,"lost":N}} */
char *pd_control_answer_tracing(uint64_t pid);
char *pd_control_answer_event(const struct pd_traced *event, uint64_t began_ns);
char *pd_control_answer_trace_end(const char *why, uint64_t count, uint64_t lost);

#endif
