/* node_log - what a node says while it runs: a line each, to standard error.
 *
 * Model      As text, "pando: MESSAGE", for people and journals that add the time themselves; as
 *            JSON, {"time":RFC 3339,"level":"info|warning|error","message":...}. Messages name
 *            nodes, files and addresses, never keys of clients, values, tickets or secrets; only a
 *            slow request is told with the beginning of its key.
 * Levels     info: what happens. warning: what somebody should look at. error: what ends the node.
 *            What lies below the chosen one is not said.
 * Threads    Any may call; a line is one write. Form and level are chosen before there are
 *            others. */
#ifndef PD_CLI_NODE_LOG_H
#define PD_CLI_NODE_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum pd_log_level {
    PD_LOG_INFO = 0,
    PD_LOG_WARNING,
    PD_LOG_ERROR
};

void pd_node_log_use_json(bool is_json);
bool pd_node_log_is_json(void);
void pd_node_log_use_level(enum pd_log_level least);
/* "info", "warning", "error". False: none of them. */
bool pd_node_log_level_parse(const char *text, enum pd_log_level *level_out);

void pd_node_log(enum pd_log_level level, const char *format, ...) PD_PRINTF(2, 3);

/* What a message says besides, for programs: as text NAME=VALUE behind it, as JSON a field of the
 * object. */
struct pd_log_field {
    const char *name;
    const char *text; /* printable ASCII; NULL: it is a number */
    double number;
    bool is_quoted; /* as text, in quotes */
};

/* Said if it can be said at once: whoever reads may stand still, and must not hold up who calls.
 * false: it was not; true also when its level is not wanted. */
bool pd_node_log_fields(enum pd_log_level level, const char *message,
                        const struct pd_log_field *fields, size_t count);

/* At level error; returns PD_EXIT_CODE_FAILED. */
int pd_node_log_failed(const char *format, ...) PD_PRINTF(1, 2);

#endif
