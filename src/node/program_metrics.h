/* program_metrics - what a node's /metrics say of the application that runs inside of it: figures
 * of the runtime, and what guests count themselves (lunatic::metrics).
 *
 * Model      Guests' names are values of the label "name" in families that are ours, so that no
 *            guest can take the name of a figure of the node, or of another kind.
 * Bounds     PD_PROGRAM_METRICS_MAX (program.h) guests' metrics in all: recordings under further
 *            names are refused. A name is shown if it is 1 to PD_PROGRAM_METRIC_NAME_MAX letters,
 *            digits and "_:.", not beginning with a digit or a dot; others are counted as hidden.
 * Threads    Any, while the program is open. The schedulers are not disturbed: each number is read
 *            for itself. */
#ifndef PD_NODE_PROGRAM_METRICS_H
#define PD_NODE_PROGRAM_METRICS_H

#include <stdbool.h>
#include <stddef.h>

#include "gateway/text.h"
#include "node/program.h"

#define PD_PROGRAM_METRIC_NAME_MAX 128u

void pd_program_metrics_write(struct pd_program *program, struct pd_text *text);

/* For tests, too: whether a guest's metric of this name is shown. Any bytes. */
bool pd_program_metric_is_shown(const char *name, size_t size);

#endif
