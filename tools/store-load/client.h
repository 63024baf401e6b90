/* client - what one client does next, and what becomes of it. Inside of store-load. */
#ifndef PD_TOOL_STORE_LOAD_CLIENT_H
#define PD_TOOL_STORE_LOAD_CLIENT_H

#include <stdio.h>

#include "base/random.h"
#include "store-load/load.h"
#include "store-load/wire.h"

#define KEY_MAX 192u
#define NO_VALUE UINT64_MAX

enum op_kind {
    OP_NONE = 0,
    OP_READ,
    OP_WRITE,
    OP_CAS,
    OP_UNIQUE,
    OP_SESSION, /* opens the client's */
    OP_CHECK    /* looks at a key that was acknowledged */
};

struct client {
    uint32_t index;
    uint32_t connection;
    uint32_t process; /* a new one after each operation that stays open */
    enum op_kind kind;
    bool is_sent;   /* and not answered, over the connection as it is */
    bool is_repeat; /* sent before */
    uint64_t wait_until_us;
    uint64_t since_us;
    uint64_t sent_us; /* with is_sent: since when it waits for an answer */
    uint64_t serial;  /* of the last sending */
    uint64_t session;
    uint64_t sequence;
    uint32_t key;
    uint64_t value;
    uint64_t expected;
    size_t check;
};

struct check {
    char *key;
    char *value;
};

enum phase {
    PHASE_RUN,
    PHASE_DRAIN, /* nothing new; what is under way ends */
    PHASE_FINAL, /* registers are read once more, acknowledged keys looked at */
    PHASE_DONE
};

struct load {
    const struct load_options *options;
    struct load_result *result;
    enum phase phase;
    uint64_t now_us;
    uint64_t started; /* operations */
    struct client *clients;
    struct wire *wires;
    struct pd_random random;
    uint64_t value_last;
    uint64_t *seen; /* by register: a value that it held, or NO_VALUE */
    FILE **records; /* by register; NULL: none */
    FILE *acks;
    struct check *checks;
    size_t check_count;
    size_t check_capacity;
    size_t check_next;
    uint32_t final_next; /* register */
    uint32_t *latencies;
    size_t latency_count;
    uint8_t *body; /* room for a request */
    size_t body_size;
    char *value_room;
};

/* Choose the next operation, and note that it begins. False: there is none now. */
bool client_begin(struct load *load, struct client *client);
/* Send it, or send it again. */
void client_send(struct load *load, struct client *client);
void client_answer(struct load *load, struct client *client, struct pd_span bytes);
/* The connection is gone, and with it the answer. */
void client_lost(struct load *load, struct client *client);
/* Nothing will come of it any more. */
void client_give_up(struct load *load, struct client *client);
void add_check(struct load *load, const char *key, const char *value);

#endif
