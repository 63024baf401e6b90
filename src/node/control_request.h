/* control_request - what may be asked over the control socket: one JSON object a line. Pure but for
 * the heap.
 *
 *   {"op":"program"}                                     what runs here
 *   {"op":"list"}                                        every process
 *   {"op":"info","process":"mapper-1"}                   one process, a pid or a name
 *   {"op":"kill","process":"7"}
 *   {"op":"trace","process":"7","count":100,"seconds":10}
 *
 * Bounds   A line is at most PD_CONTROL_LINE_MAX bytes. Unknown keys, wrong types, duplicates and
 *          numbers beyond their bounds are mistakes.
 * Role     The other side is the user's own, yet nothing that it sends may harm the program. */
#ifndef PD_NODE_CONTROL_REQUEST_H
#define PD_NODE_CONTROL_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define PD_CONTROL_LINE_MAX 4096u
#define PD_CONTROL_NAME_MAX 1024u
#define PD_CONTROL_TRACE_COUNT_MAX 1000000u
#define PD_CONTROL_TRACE_SECONDS_MAX 3600u
#define PD_CONTROL_MISTAKE_SIZE 160u

enum pd_control_op {
    PD_CONTROL_PROGRAM = 0,
    PD_CONTROL_LIST = 1,
    PD_CONTROL_INFO = 2,
    PD_CONTROL_KILL = 3,
    PD_CONTROL_TRACE = 4
};

struct pd_control_request {
    enum pd_control_op op;
    char process[PD_CONTROL_NAME_MAX + 1]; /* of INFO, KILL and TRACE */
    uint32_t count;                        /* of TRACE: events at most */
    uint32_t seconds;
};

/* Read a line (without its newline). PD_ERR_INVALID: `mistake` says what is wrong with it. */
PD_NODISCARD enum pd_status pd_control_request_parse(const char *line, size_t size,
                                                     struct pd_control_request *request_out,
                                                     char mistake[PD_CONTROL_MISTAKE_SIZE]);

#endif
