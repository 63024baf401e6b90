/* kv_random - commands of all kinds, drawn so that they meet: few keys, few leases, few sessions.
 */
#ifndef PD_TESTS_KV_RANDOM_H
#define PD_TESTS_KV_RANDOM_H

#include "kv_world.h"

#define RANDOM_BIG_MAX 400u

struct drawn {
    struct chooser *chooser;
    const struct model *model;
    uint8_t bytes[8192]; /* keys and values of the command under construction */
    size_t used;
    struct pd_kv_op ops[64];
    struct pd_kv_compare compares[64];
    struct pd_kv_command command;
    uint64_t now_ns;
    uint32_t big; /* keys of the large lease */
};

static inline struct pd_span draw_key(struct drawn *drawn)
{
    static const uint8_t letters[] = {'a', 'b', 0x00, 0xff};
    uint8_t *to = drawn->bytes + drawn->used;
    size_t size = 1 + (size_t)choose(drawn->chooser, 3);
    for (size_t i = 0; i < size; i++) {
        to[i] = letters[choose(drawn->chooser, 4)];
    }
    drawn->used += size;
    return (struct pd_span){to, size};
}

static inline struct pd_span draw_end(struct drawn *drawn)
{
    switch (choose(drawn->chooser, 9) / 2) {
    case 0:
        return (struct pd_span){NULL, 0};
    case 4:
        return (struct pd_span){(const uint8_t *)"", 1}; /* all from the key on */
    default:
        return draw_key(drawn);
    }
}

static inline struct pd_span draw_value(struct drawn *drawn)
{
    uint8_t *to = drawn->bytes + drawn->used;
    size_t size = (size_t)choose(drawn->chooser, choose(drawn->chooser, 8) == 0 ? 300 : 12);
    memset(to, (int)('p' + choose(drawn->chooser, 8)), size);
    drawn->used += size;
    return (struct pd_span){to, size};
}

static inline int64_t draw_revision(struct drawn *drawn)
{
    int64_t low = drawn->model->compacted > 2 ? drawn->model->compacted - 2 : 0;
    return low + (int64_t)choose(drawn->chooser, (uint64_t)(drawn->model->revision - low) + 2);
}

static inline int64_t draw_lease(struct drawn *drawn)
{
    return (int64_t)choose(drawn->chooser, 6) - 1;
}

static inline struct pd_kv_range draw_range(struct drawn *drawn)
{
    struct chooser *chooser = drawn->chooser;
    struct pd_kv_range range = {.key = draw_key(drawn), .range_end = draw_end(drawn)};
    range.limit = choose(chooser, 2) == 0 ? 0 : (int64_t)choose(chooser, 6) - 1;
    range.revision = choose(chooser, 2) == 0 ? 0 : draw_revision(drawn);
    range.sort_order = (enum pd_kv_sort_order)choose(chooser, 3);
    range.sort_target = (enum pd_kv_sort_target)choose(chooser, 5);
    range.keys_only = choose(chooser, 4) == 0;
    range.count_only = choose(chooser, 6) == 0;
    int64_t *bounds[] = {&range.min_mod_revision, &range.max_mod_revision,
                         &range.min_create_revision, &range.max_create_revision};
    for (size_t i = 0; i < 4; i++) {
        *bounds[i] = choose(chooser, 6) == 0 ? draw_revision(drawn) : 0;
    }
    return range;
}

static inline struct pd_kv_op draw_op(struct drawn *drawn)
{
    struct chooser *chooser = drawn->chooser;
    struct pd_kv_op op = {.kind = PD_KV_OP_RANGE};
    switch (choose(chooser, 4)) {
    case 0:
        op.as.range = draw_range(drawn);
        break;
    case 1:
        op.kind = PD_KV_OP_DELETE;
        op.as.delete_range = (struct pd_kv_delete){.key = draw_key(drawn),
                                                   .range_end = draw_end(drawn),
                                                   .prev_kv = choose(chooser, 2) == 0};
        break;
    default:
        op.kind = PD_KV_OP_PUT;
        op.as.put = (struct pd_kv_put){.key = draw_key(drawn),
                                       .prev_kv = choose(chooser, 2) == 0,
                                       .ignore_value = choose(chooser, 8) == 0,
                                       .ignore_lease = choose(chooser, 8) == 0};
        op.as.put.value = op.as.put.ignore_value ? pd_kv_span(NULL, 0) : draw_value(drawn);
        op.as.put.lease = op.as.put.ignore_lease || choose(chooser, 3) == 0 ? 0 : draw_lease(drawn);
        break;
    }
    return op;
}

static inline struct pd_kv_compare draw_compare(struct drawn *drawn)
{
    struct chooser *chooser = drawn->chooser;
    struct pd_kv_compare compare = {
        .result = (enum pd_kv_compare_result)choose(chooser, 4),
        .target = (enum pd_kv_compare_target)choose(chooser, 5),
        .key = draw_key(drawn),
        .range_end = choose(chooser, 2) == 0 ? draw_end(drawn) : pd_kv_span(NULL, 0),
    };
    if (compare.target == PD_KV_COMPARE_VALUE) {
        compare.value = draw_value(drawn);
    } else if (compare.target == PD_KV_COMPARE_VERSION || compare.target == PD_KV_COMPARE_LEASE) {
        compare.number = (int64_t)choose(chooser, 5) - 1;
    } else {
        compare.number = choose(chooser, 2) == 0 ? 0 : draw_revision(drawn);
    }
    return compare;
}

/* A txn of up to three levels: each level's last child may be a txn again. */
static inline void draw_txn(struct drawn *drawn)
{
    struct pd_kv_command *command = &drawn->command;
    uint32_t levels = 1 + (uint32_t)choose(drawn->chooser, 3);
    for (uint32_t level = 0; level < levels; level++) {
        struct pd_kv_txn txn = {.compare_first = command->compare_count,
                                .compare_count = (uint32_t)choose(drawn->chooser, 3),
                                .then_count = (uint32_t)choose(drawn->chooser, 4),
                                .else_count = (uint32_t)choose(drawn->chooser, 4)};
        for (uint32_t i = 0; i < txn.compare_count; i++) {
            drawn->compares[command->compare_count++] = draw_compare(drawn);
        }
        uint32_t plain = txn.then_count + txn.else_count;
        bool goes_on = level + 1 < levels;
        /* The inner txn comes last: as the last of `else`. */
        txn.else_count += goes_on;
        drawn->ops[command->op_count++] = (struct pd_kv_op){.kind = PD_KV_OP_TXN, .as.txn = txn};
        for (uint32_t i = 0; i < plain; i++) {
            drawn->ops[command->op_count++] = draw_op(drawn);
        }
    }
}

/* A key is put in one nested txn and deleted by a later one: twice written in one revision. Or the
 * other way round, or in two branches: then it may be refused. */
static inline void draw_twice(struct drawn *drawn)
{
    struct chooser *chooser = drawn->chooser;
    struct pd_kv_command *command = &drawn->command;
    uint32_t inner = 2 + (uint32_t)choose(chooser, 2);
    bool is_then = choose(chooser, 4) != 0;
    drawn->ops[command->op_count++] = (struct pd_kv_op){
        .kind = PD_KV_OP_TXN,
        .as.txn = {.then_count = inner, .else_count = 0},
    };
    for (uint32_t i = 0; i < inner; i++) {
        uint32_t count = 1 + (uint32_t)choose(chooser, 3);
        bool is_put = (i == 0) == (choose(chooser, 10) != 0);
        drawn->ops[command->op_count++] = (struct pd_kv_op){
            .kind = PD_KV_OP_TXN,
            .as.txn = {.compare_first = command->compare_count,
                       .then_count = is_then ? count : 0,
                       .else_count = is_then ? 0 : count,
                       .compare_count = is_then ? 0 : 1},
        };
        if (!is_then) {
            drawn->compares[command->compare_count++] = draw_compare(drawn);
        }
        for (uint32_t k = 0; k < count; k++) {
            struct pd_kv_op op;
            do {
                op = draw_op(drawn);
            } while (op.kind != PD_KV_OP_RANGE && (op.kind == PD_KV_OP_PUT) != is_put);
            drawn->ops[command->op_count++] = op;
        }
    }
}

static inline struct pd_span draw_big_key(struct drawn *drawn, uint32_t number)
{
    uint8_t *to = drawn->bytes + drawn->used;
    int size = snprintf((char *)to, 16, "\xff\xff\xff\xff%05u", number);
    drawn->used += (size_t)size;
    return (struct pd_span){to, (size_t)size};
}

/* Many keys of few leases, sixteen at a time; and now and then all of them go at once. */
static inline void draw_big(struct drawn *drawn)
{
    struct pd_kv_command *command = &drawn->command;
    command->kind = PD_KV_OPS;
    if (drawn->big >= RANDOM_BIG_MAX || choose(drawn->chooser, 40) == 0) {
        drawn->big = 0;
        if (choose(drawn->chooser, 3) == 0) {
            command->kind = PD_KV_LEASE_REVOKE;
            command->id = 1 + (int64_t)choose(drawn->chooser, 2);
            return;
        }
        drawn->ops[0] =
            (struct pd_kv_op){.kind = PD_KV_OP_DELETE,
                              .as.delete_range = {.key = pd_kv_span("\xff\xff\xff\xff", 4),
                                                  .range_end = pd_kv_span("\xff\xff\xff\xff:", 5),
                                                  .prev_kv = choose(drawn->chooser, 3) == 0}};
        command->op_count = 1;
        return;
    }
    drawn->ops[0] =
        (struct pd_kv_op){.kind = PD_KV_OP_TXN, .as.txn = {.then_count = 16, .else_count = 0}};
    int64_t lease = (int64_t)choose(drawn->chooser, 3);
    lease = lease != 0 && drawn->model->lease_count > 0
                ? drawn->model->leases[choose(drawn->chooser, drawn->model->lease_count)].id
                : 0;
    for (uint32_t i = 0; i < 16; i++) {
        drawn->ops[1 + i] = (struct pd_kv_op){.kind = PD_KV_OP_PUT,
                                              .as.put = {.key = draw_big_key(drawn, drawn->big++),
                                                         .value = draw_value(drawn),
                                                         .lease = lease}};
    }
    command->op_count = 17;
}

static inline void draw_session_command(struct drawn *drawn)
{
    struct pd_kv_command *command = &drawn->command;
    const struct model *model = drawn->model;
    command->kind = (enum pd_kv_command_kind)(PD_KV_SESSION_OPEN + choose(drawn->chooser, 4));
    command->duration_ns = 1 + choose(drawn->chooser, 80 * MODEL_SECOND);
    command->window = (uint32_t)choose(drawn->chooser, 7);
    command->id = model->session_count == 0 || choose(drawn->chooser, 8) == 0
                      ? 3
                      : (int64_t)model->sessions[choose(drawn->chooser, model->session_count)].id;
}

static inline void draw_command(struct drawn *drawn)
{
    static const enum pd_kv_command_kind plain[] = {
        PD_KV_NOOP,         PD_KV_COMPACT,         PD_KV_LEASE_GRANT,  PD_KV_LEASE_GRANT,
        PD_KV_LEASE_REVOKE, PD_KV_LEASE_KEEPALIVE, PD_KV_LEASE_EXPIRE, PD_KV_LEASES_EXTEND};
    struct chooser *chooser = drawn->chooser;
    struct pd_kv_command *command = &drawn->command;
    *command =
        (struct pd_kv_command){.kind = PD_KV_OPS, .ops = drawn->ops, .compares = drawn->compares};
    drawn->used = 0;
    uint64_t what = choose(chooser, 100);
    if (what < 35) {
        drawn->ops[0] = draw_op(drawn);
        command->op_count = 1;
    } else if (what < 48) {
        draw_txn(drawn);
    } else if (what < 55) {
        draw_twice(drawn);
    } else if (what < 75) {
        draw_big(drawn);
    } else if (what < 85) {
        draw_session_command(drawn);
    } else {
        command->kind = plain[choose(chooser, sizeof plain / sizeof plain[0])];
        command->revision = draw_revision(drawn);
        command->id = draw_lease(drawn);
        command->ttl_s = (int64_t)choose(chooser, 30) - 2;
    }
}

/* The next entry of the log, with its envelope. */
/* Commands that are tried elsewhere: member_test.c, version_test.c. */
static inline bool is_beyond_model(const struct model *model, struct pd_span entry)
{
    struct pd_kv_envelope envelope;
    struct pd_kv_command command;
    static struct pd_kv_op ops[MODEL_OPS_MAX];
    static struct pd_kv_compare compares[MODEL_OPS_MAX];
    struct pd_kv_command_room room = {ops, compares, MODEL_OPS_MAX, MODEL_OPS_MAX};
    return pd_kv_envelope_decode(entry, &envelope) == PD_OK &&
           pd_kv_command_decode(envelope.command, &model->config.limits, &room, &command) ==
               PD_KV_OK &&
           (command.kind == PD_KV_MEMBER_PUT || command.kind == PD_KV_MEMBER_REMOVE ||
            command.kind == PD_KV_MEMBER_TELL || command.kind == PD_KV_VERSION_RAISE);
}

/* One bit is another one, but not so that the model does not know what is asked. */
static inline void spoil(const struct drawn *drawn, uint8_t *entry, size_t size)
{
    uint8_t *byte = &entry[choose(drawn->chooser, size)];
    uint8_t bit = (uint8_t)(1u << choose(drawn->chooser, 8));
    *byte ^= bit;
    if (is_beyond_model(drawn->model, pd_kv_span(entry, size))) {
        *byte ^= bit;
    }
}

static inline struct pd_span draw_entry(struct drawn *drawn, uint8_t *room, size_t room_size)
{
    struct chooser *chooser = drawn->chooser;
    static uint8_t inner[16384];
    struct pd_kv_writer command = {.bytes = inner, .bytes_max = sizeof inner};
    struct pd_kv_writer outer = {.bytes = room, .bytes_max = room_size};
    /* Deadlines are looked for where they are. */
    uint64_t due_ns = model_next_deadline(drawn->model);
    uint64_t step = choose(chooser, 40);
    drawn->now_ns = step == 0                          ? drawn->model->time_ns / 2
                    : step == 1                        ? drawn->model->time_ns + 100 * MODEL_SECOND
                    : step < 6 && due_ns != UINT64_MAX ? due_ns - choose(chooser, 2)
                                                       : drawn->now_ns + step * MODEL_SECOND / 20;
    draw_command(drawn);
    pd_kv_command_encode(&command, &drawn->command);
    model_check(!command.is_full);
    struct pd_kv_envelope envelope = {
        .state_time_ns = drawn->now_ns, .wall_ns = drawn->now_ns, .command = {inner, command.size}};
    if (drawn->model->session_count > 0 && choose(chooser, 2) == 0) {
        const struct model_session *session =
            &drawn->model->sessions[choose(chooser, drawn->model->session_count)];
        envelope.session_id = session->id + (choose(chooser, 20) == 0);
        envelope.sequence = session->low + choose(chooser, 6) - (choose(chooser, 10) == 0);
        envelope.low = session->low + choose(chooser, 2) * choose(chooser, 3);
    }
    pd_kv_envelope_encode(&outer, &envelope);
    model_check(!outer.is_full);
    if (choose(chooser, 50) == 0) {
        spoil(drawn, room, outer.size);
    }
    return (struct pd_span){room, outer.size};
}

#endif
