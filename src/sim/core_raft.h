/* core_raft - registers over the raft core alone, and how its messages and records look as bytes.
 *
 * Role       A core for worlds that look at consensus only: no log format, store or kv of the
 *            product is in it.
 * Trust      Decoders accept any bytes.
 * Ownership  A pd_sim_bytes grows; who made it frees bytes. Decoded messages and entries borrow
 *            from what was decoded and from the pd_sim_decoded beside them. */
#ifndef PD_SIM_CORE_RAFT_H
#define PD_SIM_CORE_RAFT_H

#include "sim/core.h"

#define PD_SIM_COMMAND_SIZE 56u
#define PD_SIM_DECODED_ENTRIES_MAX 1024u

struct pd_sim_register {
    uint64_t value;
    uint64_t revision;
};

struct pd_sim_session {
    uint64_t id;
    uint64_t sequence; /* of the last command */
    uint64_t revision; /* its answer */
    uint64_t value;
    uint64_t mod_revision;
    uint64_t has_failed;
};

struct pd_sim_registers {
    uint64_t applied;
    uint64_t term;
    uint64_t revision;
    struct pd_sim_register keys[PD_SIM_KEYS_MAX];
    struct pd_sim_session sessions[PD_SIM_CLIENTS_MAX];
    struct pd_raft_conf conf;
};

struct pd_sim_register_store {
    struct pd_sim_registers visible;
    struct pd_sim_registers durable;
};

struct pd_sim_bytes {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

struct pd_sim_decoded {
    struct pd_raft_entry entries[PD_SIM_DECODED_ENTRIES_MAX];
    struct pd_raft_snapshot_meta snapshot;
};

struct pd_sim_recovered {
    uint64_t identity; /* 0: none */
    struct pd_raft_hard_state hard_state;
    struct pd_sim_bytes entries; /* records of entries, since the last snapshot record */
    uint64_t end;                /* of the last whole record */
};

void pd_sim_bytes_room(struct pd_sim_bytes *bytes, size_t more);

void pd_sim_command_encode(const struct pd_sim_request *request,
                           uint8_t bytes[PD_SIM_COMMAND_SIZE]);
bool pd_sim_command_decode(struct pd_span data, struct pd_sim_request *request_out);

/* `state` travels with a snapshot message. */
void pd_sim_message_encode(struct pd_sim_bytes *bytes, const struct pd_raft_message *message,
                           const struct pd_sim_registers *state);
bool pd_sim_message_decode(struct pd_span bytes, struct pd_raft_message *message_out,
                           struct pd_sim_decoded *decoded, struct pd_sim_registers *state_out);
/* A list of messages, without states. */
void pd_sim_message_append(struct pd_sim_bytes *list, const struct pd_raft_message *message);
bool pd_sim_message_next(const struct pd_sim_bytes *list, size_t *at,
                         struct pd_raft_message *message_out, struct pd_sim_decoded *decoded);

void pd_sim_record_identity(struct pd_sim_bytes *bytes, uint64_t node);
void pd_sim_record_entry(struct pd_sim_bytes *bytes, const struct pd_raft_entry *entry);
void pd_sim_record_hard_state(struct pd_sim_bytes *bytes, const struct pd_raft_hard_state *state);
void pd_sim_record_snapshot(struct pd_sim_bytes *bytes, const struct pd_raft_snapshot_meta *meta);
/* Up to the first record that is not whole. */
void pd_sim_records_read(const struct pd_sim_bytes *bytes, struct pd_sim_recovered *recovered_out);
/* The next of a run of entry records. */
bool pd_sim_entry_next(const struct pd_sim_bytes *bytes, size_t *at,
                       struct pd_raft_entry *entry_out);

/* The raft core alone. */
extern const struct pd_sim_core_ops pd_sim_core_raft;

#endif
