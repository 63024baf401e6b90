/* model - what the committed log means for the store, worked out a second time in the simplest way:
 * everything in memory, all versions kept, one entry at once.
 *
 * Role       The truth that answers, states and watch streams are held against. It knows the
 *            commands that the simulated clients and the leaders give; another one is a failure.
 * Model      Entries are applied in order as they become known as committed. For each index it
 *            keeps how the store must stand there, for each command of a session its answer, byte
 *            for byte, and for each key every version.
 * Shared     With the store only the codecs (kv/command.h, kv/answer.h) and the configured limits.
 * Ownership  init/deinit. Spans are borrowed until the next apply. */
#ifndef PD_SIM_MODEL_H
#define PD_SIM_MODEL_H

#include "kv/kv.h"
#include "raft/raft.h"
#include "sim/keys.h"

#define PD_SIM_MODEL_TEXT_MAX 200u

/* One version of a key; value 0: a tombstone. */
struct pd_sim_version {
    int64_t revision;
    uint32_t sub;
    uint32_t key;
    uint64_t value;
    int64_t create_revision;
    int64_t version;
    int64_t lease;
};

struct pd_sim_versions {
    struct pd_sim_version *items; /* by revision */
    size_t count;
    size_t capacity;
};

/* Of one command of a session. */
struct pd_sim_outcome {
    size_t offset; /* of the answer, in model->answers */
    uint32_t size; /* 0: not applied */
    bool has_written;
    int64_t revision;
};

struct pd_sim_model_session {
    uint64_t id;
    uint64_t duration_ns;
    uint64_t deadline_ns;
    uint64_t low;
    uint32_t window;
    bool is_open;
    struct pd_sim_outcome *outcomes; /* by sequence */
    size_t outcome_count;
    size_t outcome_capacity;
};

struct pd_sim_model_lease {
    int64_t id;
    int64_t ttl_s;
    uint64_t deadline_ns;
};

/* How the store stands at one index. */
struct pd_sim_standing {
    int64_t revision;
    int64_t compacted;
    uint64_t state_time_ns;
    uint32_t lease_count;
    uint32_t session_count;
    uint32_t key_count;
    uint32_t members; /* bits by node: the directory */
    uint32_t removed; /* likewise: members once, and never again */
};

struct pd_sim_model {
    struct pd_kv_config config;
    uint64_t index; /* applied; 0: nothing yet */
    struct pd_sim_standing now;
    struct pd_sim_versions keys[PD_SIM_KEYS_MAX];
    struct pd_sim_version *events; /* every version, in the order of (revision, sub) */
    size_t event_count;
    size_t event_capacity;
    struct pd_sim_model_session *sessions; /* by id */
    size_t session_count;
    size_t session_capacity;
    struct pd_sim_model_lease *leases; /* live ones, by id */
    size_t lease_count;
    size_t lease_capacity;
    struct pd_sim_standing *standings; /* by index - first_index */
    size_t standing_count;
    size_t standing_capacity;
    uint64_t first_index;
    uint8_t *answers;
    size_t answers_size;
    size_t answers_capacity;
    uint8_t *written; /* by value: it was written */
    size_t written_capacity;
    uint64_t expiries; /* leases that ran out */
    uint64_t repeats;  /* retries that reached the log */
    struct pd_kv_command_room room;
    uint8_t *body; /* room for one answer's */
    char text[PD_SIM_MODEL_TEXT_MAX];
};

void pd_sim_model_init(struct pd_sim_model *model, const struct pd_kv_config *config);
void pd_sim_model_deinit(struct pd_sim_model *model);
/* The next committed entry: its index is model->index + 1, or the first that there is. False: it
 * makes no sense, model->text says why. */
bool pd_sim_model_apply(struct pd_sim_model *model, const struct pd_raft_entry *entry);
/* NULL: not known. */
const struct pd_sim_standing *pd_sim_model_at(const struct pd_sim_model *model, uint64_t index);
/* NULL: no such session was ever opened. */
const struct pd_sim_model_session *pd_sim_model_session(const struct pd_sim_model *model,
                                                        uint64_t id);
/* NULL: this command was not applied. */
const struct pd_sim_outcome *pd_sim_model_outcome(const struct pd_sim_model *model,
                                                  uint64_t session, uint64_t sequence);
bool pd_sim_model_has_written(const struct pd_sim_model *model, uint64_t value);
/* The version of a key at a revision; NULL: none, or a tombstone. */
const struct pd_sim_version *pd_sim_model_version(const struct pd_sim_model *model, uint32_t key,
                                                  int64_t revision);
/* The answer to a range that is read at `revision`, from `key` up to `end` (0: the key alone), for
 * a store that stands at `head_revision`. */
struct pd_span pd_sim_model_range(struct pd_sim_model *model, uint32_t key, uint32_t end,
                                  int64_t limit, int64_t revision, int64_t head_revision);

#endif
