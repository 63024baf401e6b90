/* model - a folder as a trace tells it: what it holds, what of that is durable, and what only may
 * be on the disk.
 *
 * Model      A file is blocks of 4 KiB. Each has the content that is durable and those that were
 *            written since: a power cut may leave any of them, or some sectors of one and some of
 *            another. A file's length and each change of a name likewise are durable, or may or may
 *            not be there. Content becomes durable by a sync of the file, names by one of their
 *            folder, and nothing else: what some file systems give beyond that is not relied on.
 * Bounds     None: memory grows with the trace. Running out of it stops the program.
 * Ownership  The caller closes the model. The trace is read during the calls only. */
#ifndef POWER_LOSS_MODEL_H
#define POWER_LOSS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "base/status.h"
#include "power-loss/trace.h"

#define PD_POWER_TEXT_MAX 512u

struct pd_power_model;

/* A trace in memory. */
struct pd_power_log {
    const uint8_t *bytes;
    size_t size; /* of whole records */
    size_t mapped;
    bool is_whole; /* size is known */
    uint64_t record_count;
};

/* A short last record is cut off the file. PD_ERR_UNKNOWN: cannot be read. */
PD_NODISCARD enum pd_status pd_power_log_open(const char *path, struct pd_power_log *log_out);
void pd_power_log_close(struct pd_power_log *log);
/* Calls that were under way at the end, other than syncs. With none of `names` the folder is what
 * the trace says; with none of `files` either another process may go on in it. */
struct pd_power_rest {
    uint64_t names;
    uint64_t files;
};
struct pd_power_rest pd_power_log_rest(const struct pd_power_log *log);
/* How many records to read up to a moment to cut the power at: any, or one soon after a name was
 * changed, where a name that is not durable shows. */
uint64_t pd_power_log_moment(const struct pd_power_log *log, struct pd_random *random);

/* All that the folder holds now counts as durable. PD_ERR_IO. */
PD_NODISCARD enum pd_status pd_power_model_open(const char *folder,
                                                struct pd_power_model **model_out);
void pd_power_model_close(struct pd_power_model *model);

/* Go on until `records` of the trace are read. PD_ERR_UNSUPPORTED: something was changed that is
 * not followed; PD_ERR_CORRUPT: the trace contradicts itself. pd_power_model_text says what. */
PD_NODISCARD enum pd_status pd_power_model_replay(struct pd_power_model *model,
                                                  const struct pd_power_log *log, uint64_t records);
/* When the last record that was read was written. */
uint64_t pd_power_model_time_ns(const struct pd_power_model *model);
const char *pd_power_model_text(const struct pd_power_model *model);

/* What a cut leaves of what is not durable. */
enum pd_power_style {
    PD_POWER_LOSES_ALL = 0,
    PD_POWER_KEEPS_ALL,
    PD_POWER_MIXES
};
/* Write the folder as a power cut at this moment may leave it, to `folder`, which must not exist.
 * Of the changes of names any may be lost; in the folders called `ordered` only the last ones, as
 * file systems with a journal have it. PD_ERR_IO. */
PD_NODISCARD enum pd_status pd_power_model_cut(struct pd_power_model *model,
                                               struct pd_random *random, enum pd_power_style blocks,
                                               enum pd_power_style names, const char *ordered,
                                               const char *folder);
/* Whether the folder of a trace without a rest of names, all of it read, holds just what the trace
 * says: the proof that nothing was missed. Files under a call that was not over, and those that
 * stdio writes, are left out. PD_ERR_CORRUPT: it does not; PD_ERR_IO. */
PD_NODISCARD enum pd_status pd_power_model_compare(struct pd_power_model *model,
                                                   const char *folder);

#endif
