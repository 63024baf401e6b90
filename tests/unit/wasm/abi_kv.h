/* abi_kv - a store for fake guests: a port whose answers the test sets. Nothing is kept. */
#ifndef PD_TEST_ABI_KV_H
#define PD_TEST_ABI_KV_H

#include "abi_actor.h"
#include "base/kv_port.h"
#include "wasm/pando_kv.h"

#define KV "pando::kv"
#define BLOCKS_MAX 64u

struct pd_kv_ticket {
    uint32_t references;
    bool is_released;
    uint8_t *bytes;
    size_t size;
};

/* The port: answers at once, or when the test lets it. */
static struct fake_kv {
    struct pd_kv_port interface; /* first */
    bool holds;                  /* nothing is answered */
    enum pd_kv_code begin_code;
    enum pd_kv_code code;
    int64_t revision;
    const uint8_t *bytes;
    size_t size;
    enum pd_status now_status;
    uint32_t begun;
    uint32_t open;   /* tickets that somebody refers to */
    uint32_t asking; /* begun and not released */
    uint32_t credit_back;
    bool is_behind;
    struct pd_kv_block *blocks[BLOCKS_MAX];
    uint32_t block_count;
    /* The last ask. */
    struct pd_kv_ask ask;
    char key[64];
    char end[64];
    char value[64];
    char prefix[64];
} fake_kv;

static void keep(char *to, struct pd_span span)
{
    size_t size = span.size < 63 ? span.size : 63;
    if (size > 0) {
        memcpy(to, span.bytes, size);
    }
    to[size] = '\0';
}

static enum pd_status fake_get_now(struct pd_kv_port *interface, struct pd_span key, uint8_t *room,
                                   size_t room_max, size_t *size_out)
{
    (void)interface;
    (void)key;
    if (fake_kv.now_status == PD_OK) {
        pd_assert(fake_kv.size <= room_max);
        memcpy(room, fake_kv.bytes, fake_kv.size);
        *size_out = fake_kv.size;
    }
    return fake_kv.now_status;
}

static enum pd_kv_code fake_begin(struct pd_kv_port *interface, const struct pd_kv_ask *ask,
                                  struct pd_kv_ticket **ticket_out, char text[PD_KV_PORT_TEXT_MAX])
{
    (void)interface;
    fake_kv.begun++;
    fake_kv.ask = *ask;
    keep(fake_kv.key, ask->key);
    keep(fake_kv.end, ask->end);
    keep(fake_kv.value, ask->value);
    keep(fake_kv.prefix, ask->prefix);
    if (fake_kv.begin_code != PD_KV_CODE_OK) {
        (void)snprintf(text, PD_KV_PORT_TEXT_MAX, "not begun");
        return fake_kv.begin_code;
    }
    struct pd_kv_ticket *ticket = pd_alloc_zeroed(1, sizeof *ticket);
    uint8_t *bytes = fake_kv.size == 0 ? NULL : pd_alloc(fake_kv.size);
    if (ticket == NULL || (bytes == NULL && fake_kv.size > 0)) {
        pd_free(ticket);
        pd_free(bytes);
        (void)snprintf(text, PD_KV_PORT_TEXT_MAX, "no memory");
        return PD_KV_CODE_UNAVAILABLE;
    }
    if (fake_kv.size > 0) {
        memcpy(bytes, fake_kv.bytes, fake_kv.size);
    }
    *ticket = (struct pd_kv_ticket){.references = 1, .bytes = bytes, .size = fake_kv.size};
    fake_kv.open++;
    fake_kv.asking++;
    *ticket_out = ticket;
    return PD_KV_CODE_OK;
}

static bool fake_step(struct pd_kv_ticket *ticket, uint64_t now_ns, uint64_t *wake_at_ns)
{
    pd_assert(!ticket->is_released);
    (void)now_ns;
    *wake_at_ns = fake_kv.ask.deadline_ns;
    return !fake_kv.holds;
}

static void fake_result(const struct pd_kv_ticket *ticket, struct pd_kv_result *result_out)
{
    *result_out = (struct pd_kv_result){.code = fake_kv.code,
                                        .revision = fake_kv.revision,
                                        .bytes = {ticket->bytes, ticket->size},
                                        .text = "the port says no"};
}

static uint8_t *fake_take(struct pd_kv_ticket *ticket)
{
    uint8_t *bytes = ticket->bytes;
    ticket->bytes = NULL;
    return bytes;
}

static struct pd_kv_block *fake_next(struct pd_kv_ticket *ticket)
{
    pd_assert(!ticket->is_released);
    if (fake_kv.block_count == 0) {
        return NULL;
    }
    struct pd_kv_block *block = fake_kv.blocks[0];
    memmove(fake_kv.blocks, fake_kv.blocks + 1, --fake_kv.block_count * sizeof fake_kv.blocks[0]);
    return block;
}

static bool fake_is_behind(const struct pd_kv_ticket *ticket)
{
    (void)ticket;
    return fake_kv.is_behind;
}

static void fake_drop(struct pd_kv_ticket *ticket)
{
    if (--ticket->references == 0) {
        pd_free(ticket->bytes);
        pd_free(ticket);
        fake_kv.open--;
    }
}

static void fake_retain(struct pd_kv_ticket *ticket)
{
    ticket->references++;
}

static void fake_give_back(struct pd_kv_ticket *ticket, uint32_t cost)
{
    fake_kv.credit_back += cost;
    fake_drop(ticket);
}

static void fake_release(struct pd_kv_ticket *ticket)
{
    pd_assert(!ticket->is_released);
    ticket->is_released = true;
    fake_kv.asking--;
    fake_drop(ticket);
}

static void fake_settle_port(struct pd_kv_port *interface)
{
    (void)interface;
}

static void fake_flush(struct pd_kv_port *interface, bool is_last)
{
    (void)interface;
    (void)is_last;
}

static const struct pd_kv_port_ops fake_ops = {
    .get_now = fake_get_now,
    .begin = fake_begin,
    .step = fake_step,
    .result = fake_result,
    .take = fake_take,
    .next = fake_next,
    .is_behind = fake_is_behind,
    .retain = fake_retain,
    .give_back = fake_give_back,
    .release = fake_release,
    .flush = fake_flush,
    .settle = fake_settle_port,
};

/* The world's guests ask the port from here on; it answers OK, with nothing. */
static inline void fake_kv_open(struct world *world)
{
    memset(&fake_kv, 0, sizeof fake_kv);
    fake_kv.interface.ops = &fake_ops;
    fake_kv.interface.wake = pd_wasm_wake;
    fake_kv.now_status = PD_ERR_RANGE;
    world->system.kv = &fake_kv.interface;
}

/* When the world is closed: nothing that was begun is left. */
static inline void fake_kv_close(void)
{
    for (uint32_t i = 0; i < fake_kv.block_count; i++) {
        pd_free(fake_kv.blocks[i]);
    }
    fake_kv.block_count = 0;
    pd_assert(fake_kv.asking == 0);
    pd_assert(fake_kv.open == 0);
}

/* A record with this key and value, as a port gives it: its size. */
static inline size_t fake_kv_record(uint8_t *to, const char *key, const char *value)
{
    pd_put_u32(to, (uint32_t)strlen(key));
    pd_put_u32(to + 4, (uint32_t)strlen(value));
    pd_put_u64(to + 8, 3);
    pd_put_u64(to + 16, 7);
    pd_put_u64(to + 24, 2);
    pd_put_u64(to + 32, 0);
    memcpy(to + PD_KV_PORT_RECORD_SIZE, key, strlen(key));
    memcpy(to + PD_KV_PORT_RECORD_SIZE + strlen(key), value, strlen(value));
    return PD_KV_PORT_RECORD_SIZE + strlen(key) + strlen(value);
}

/* The next block of whichever watch asks first. */
static inline void fake_kv_give(const uint8_t *bytes, size_t size, bool is_last)
{
    struct pd_kv_block *block = pd_alloc(sizeof *block + size);
    pd_assert(block != NULL && fake_kv.block_count < BLOCKS_MAX);
    block->cost = 10;
    block->size = (uint32_t)size;
    block->is_last = is_last;
    if (size > 0) {
        memcpy(block->bytes, bytes, size);
    }
    fake_kv.blocks[fake_kv.block_count++] = block;
}

static inline void fake_kv_give_block(const char *text, bool is_last)
{
    fake_kv_give((const uint8_t *)text, strlen(text), is_last);
}

#endif
