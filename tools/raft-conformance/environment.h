/* environment - a group of nodes, the messages between them, and what was printed. For the
 * interaction mode.
 *
 * Ownership  Copies of messages live in the environment's arena until it ends. */
#ifndef PD_CONFORMANCE_ENVIRONMENT_H
#define PD_CONFORMANCE_ENVIRONMENT_H

#include "raft-conformance/storage.h"
#include "raft-conformance/text.h"
#include "raft/raft.h"

#define NODES_MAX 64u
#define APPEND_THREAD UINT64_MAX
#define APPLY_THREAD (UINT64_MAX - 1)

#define LEVEL_NONE 5 /* DEBUG INFO WARN ERROR FATAL NONE */

enum packet_kind {
    PACKET_RAFT,
    PACKET_APPEND,
    PACKET_APPEND_DONE,
    PACKET_APPLY,
    PACKET_APPLY_DONE
};

/* A message between nodes, or between a node and its storage threads. */
struct packet {
    enum packet_kind kind;
    struct pd_raft_message message; /* its pointers lead into the arena */
    pd_raft_node vote;              /* PACKET_APPEND: with term and commit, the hard state */
    struct pd_raft_append_mark mark;
    struct packet *responses;
    uint32_t response_count;
};

struct packets {
    struct packet *items;
    uint32_t count;
    uint32_t room;
};

struct node {
    pd_raft_node id;
    struct pd_raft *raft;
    struct pd_raft_config config;
    bool is_async;
    struct storage storage;
    struct pd_raft_snapshot_meta applied; /* what a snapshot of this node would be */
    struct packets append_work;
    struct packets apply_work;
};

struct environment {
    struct node *nodes[NODES_MAX];
    uint32_t node_count;
    struct packets messages;
    struct text *output;
    int level;
    void **blocks; /* the arena */
    size_t block_count;
    size_t block_room;
};

/* environment.c */
void *arena_alloc(struct environment *environment, size_t size);
/* Printed unless the level is NONE. */
void print(struct environment *environment, const char *format, ...) PD_PRINTF(2, 3);
/* An error's text, good as long as the environment. */
const char *error_text(struct environment *environment, const char *format, ...) PD_PRINTF(2, 3);
/* What is printed between the two goes two columns to the right. */
struct text *indent_begin(struct environment *environment, struct text *inner);
void indent_end(struct environment *environment, struct text *outer);
/* Whether the name is a level. */
bool set_level(struct environment *environment, const char *name);
void packets_add(struct packets *packets, const struct packet *packet);
struct packet packets_take(struct packets *packets);
void packets_free(struct packets *packets);
struct packet copy_message(struct environment *environment, const struct pd_raft_message *message);
struct pd_raft_entry *copy_entries(struct environment *environment,
                                   const struct pd_raft_entry *entries, uint32_t count);
/* A trace hook of the core: the state is the environment. */
void print_trace(void *state, enum pd_raft_log_level level, const char *line);

/* ready.c */
const char *process_ready(struct environment *environment, struct node *node);
const char *process_append_thread(struct environment *environment, struct node *node);
const char *process_apply_thread(struct environment *environment, struct node *node);

/* deliver.c */
/* Messages to `to`, of a type (-1: any). How many there were. */
uint32_t deliver(struct environment *environment, pd_raft_node to, int type, bool is_dropped);
bool has_messages(const struct environment *environment, pd_raft_node to);
const char *stabilize(struct environment *environment, struct node *const *nodes, uint32_t count);

/* nodes.c */
struct command;
const char *add_nodes(struct environment *environment, const struct command *command);
void free_node(struct node *node);

#endif
