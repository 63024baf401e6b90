/* pando::kv, watches: events of the store as messages.
 *
 *   watch(key, size, end, size, revision, tag, flags, out) -> code; out: id, revision
 *   unwatch(id) -> 0, or 1: there is no such watch
 *
 * A block of events becomes one message with the watch's tag: the watch's id u64, then the block
 * (base/kv_port.h). It holds the block's share of the watch's credit until it is destroyed: so a
 * slow process slows its watch down and nothing else. One that finds no room in the mailbox waits
 * beside it; the process looks again whenever it has run, since only its own taking makes room. */
#include "actor/mailbox.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/pando_kv.h"

#define MODULE "pando::kv"
#define BLOCKS_A_TURN 64u
#define ID_SIZE 8u

/* --- Blocks as messages ----------------------------------------------------------------------- */

struct credit {
    const struct pd_kv_port_ops *ops;
    struct pd_kv_ticket *ticket;
    uint32_t cost;
};

static void release_credit(void *object)
{
    struct credit *credit = object;
    credit->ops->give_back(credit->ticket, credit->cost);
    pd_free(credit);
}

/* NULL: no memory. The credit is the message's from here on. */
static struct pd_message *make_message(struct pd_wasm_process *self,
                                       const struct pd_kv_watch_place *watch,
                                       const struct pd_kv_block *block)
{
    struct pd_message *message =
        pd_message_create_within(self->system->budget, watch->tag, ID_SIZE + block->size);
    struct credit *credit = pd_alloc(sizeof *credit);
    uint32_t index = 0;
    uint8_t id[ID_SIZE];
    const struct pd_resource resource = {
        .kind = PD_RESOURCE_KV_CREDIT, .object = credit, .release = release_credit};
    pd_put_u64(id, watch->id);
    bool is_made = message != NULL && credit != NULL &&
                   pd_message_append(&message, id, sizeof id, UINT32_MAX) == PD_OK &&
                   pd_message_append(&message, block->bytes, block->size, UINT32_MAX) == PD_OK &&
                   pd_message_attach(message, resource, &index) == PD_OK;
    if (!is_made) {
        pd_free(credit);
        pd_message_destroy(message);
        return NULL;
    }
    const struct pd_kv_port_ops *ops = self->system->kv->ops;
    ops->retain(watch->ticket);
    *credit = (struct credit){.ops = ops, .ticket = watch->ticket, .cost = block->cost};
    return message;
}

/* False: no room, or no memory; the block stays held. */
static bool post(struct pd_wasm_process *self, struct pd_kv_watch_place *watch)
{
    struct pd_kv_block *block = watch->held;
    struct pd_message *message = make_message(self, watch, block);
    if (message == NULL) {
        self->kv->looks_again = true;
        return false;
    }
    if (pd_mailbox_post(self->process->environment, self->process->pid, message) != PD_OK) {
        struct credit *credit = message->resources[0].object;
        credit->cost = 0; /* the block is still held, and so is its share */
        pd_message_destroy(message);
        return false;
    }
    watch->held = NULL;
    pd_free(block);
    return true;
}

static void end_watch(struct pd_wasm_process *self, struct pd_kv_watch_place *watch)
{
    self->system->kv->ops->release(watch->ticket);
    pd_free(watch->held);
    *watch = (struct pd_kv_watch_place){0};
    self->kv->watch_count--;
}

/* True: something was put into the mailbox. */
static bool deliver_one(struct pd_wasm_process *self, struct pd_kv_watch_place *watch)
{
    const struct pd_kv_port_ops *ops = self->system->kv->ops;
    bool any = false;
    for (uint32_t i = 0;; i++) {
        if (watch->held == NULL) {
            watch->held = ops->next(watch->ticket);
        }
        if (watch->held == NULL || i == BLOCKS_A_TURN) {
            self->kv->looks_again =
                self->kv->looks_again || watch->held != NULL || ops->is_behind(watch->ticket);
            break;
        }
        bool is_last = watch->held->is_last;
        if (!post(self, watch)) {
            break;
        }
        any = true;
        if (is_last) {
            end_watch(self, watch);
            break;
        }
    }
    return any;
}

static bool deliver(struct pd_wasm_process *self)
{
    bool any = false;
    for (uint32_t i = 0; i < PD_KV_WATCHES_MAX; i++) {
        struct pd_kv_watch_place *watch = &self->kv->watches[i];
        any = (watch->id != 0 && deliver_one(self, watch)) || any;
    }
    return any;
}

void pd_kv_watches_begin_turn(struct pd_wasm_process *self)
{
    if (pd_kv_has_watches(self) && deliver(self)) {
        (void)pd_process_drain(self->process); /* the guest finds them when it looks now */
    }
}

bool pd_kv_watches_end_turn(struct pd_wasm_process *self)
{
    if (!pd_kv_has_watches(self)) {
        return false;
    }
    /* What it has taken makes room only now. */
    if (pd_process_drain(self->process)) {
        pd_process_wake(self->process);
    }
    self->kv->looks_again = false;
    (void)deliver(self);
    return self->kv->looks_again;
}

void pd_kv_watches_end(struct pd_wasm_process *self)
{
    for (uint32_t i = 0; i < PD_KV_WATCHES_MAX; i++) {
        if (self->kv->watches[i].id != 0) {
            end_watch(self, &self->kv->watches[i]);
        }
    }
}

/* --- Host functions --------------------------------------------------------------------------- */

enum {
    WATCH_KEY = 0,
    WATCH_END = 2,
    WATCH_REVISION = 4,
    WATCH_TAG = 5,
    WATCH_FLAGS = 6,
    WATCH_OUT = 7,
    WATCH_OUT_SIZE = 16
};

static struct pd_kv_watch_place *free_place(struct pd_kv_state *kv)
{
    for (uint32_t i = 0; i < PD_KV_WATCHES_MAX; i++) {
        if (kv->watches[i].id == 0) {
            return &kv->watches[i];
        }
    }
    return NULL;
}

static enum pd_call_result watch_finish(struct pd_call *call, const struct pd_kv_result *result)
{
    struct pd_kv_state *kv = pd_call_process(call)->kv;
    uint8_t *out = pd_guest_memory(call->guest, pd_call_u32(call, WATCH_OUT), WATCH_OUT_SIZE);
    struct pd_kv_watch_place *place = free_place(kv); /* there was one when it asked */
    if (out == NULL || place == NULL) {
        return pd_call_trap_bounds(call, "result pointer");
    }
    *place = (struct pd_kv_watch_place){
        .id = ++kv->watch_last, .tag = call->arguments[WATCH_TAG], .ticket = kv->call};
    kv->call = NULL; /* the ticket goes on as the watch's */
    kv->watch_count++;
    pd_put_u64(out, place->id);
    pd_put_u64(out + 8, (uint64_t)result->revision);
    /* What has come behind the first answer. */
    pd_process_wake(pd_call_process(call)->process);
    return pd_call_done(call, PD_KV_CODE_OK);
}

static enum pd_call_result watch(struct pd_call *call)
{
    struct pd_kv_state *kv = pd_kv_state_of(call);
    struct pd_kv_ask ask = {.kind = PD_KV_ASK_WATCH,
                            .revision = (int64_t)call->arguments[WATCH_REVISION],
                            .flags = pd_call_u32(call, WATCH_FLAGS)};
    const uint32_t flags = PD_KV_ASK_PREVIOUS | PD_KV_ASK_NO_PUT | PD_KV_ASK_NO_DELETE;
    if (kv == NULL || !pd_kv_span(call, WATCH_KEY, "key", &ask.key) ||
        !pd_kv_span(call, WATCH_END, "range end", &ask.end) ||
        pd_call_bytes(call, pd_call_u32(call, WATCH_OUT), WATCH_OUT_SIZE, "result pointer") ==
            NULL) {
        return PD_CALL_TRAP;
    }
    if ((ask.flags & ~flags) != 0) {
        return pd_call_trap(call, MODULE "::watch: flags 0x%x: only 0x%x are known here",
                            (unsigned)ask.flags, (unsigned)flags);
    }
    if (ask.key.size == 0 || ask.revision < 0) {
        return pd_kv_fail(call, PD_KV_CODE_INVALID,
                          ask.key.size == 0 ? "a watch needs a key" : "a revision is not negative");
    }
    if (kv->watch_count == PD_KV_WATCHES_MAX) {
        return pd_kv_fail(call, PD_KV_CODE_FULL,
                          "this process holds as many watches as it may: end some");
    }
    return pd_kv_ask(call, &ask, watch_finish);
}

static enum pd_call_result unwatch(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    for (uint32_t i = 0; self->kv != NULL && i < PD_KV_WATCHES_MAX; i++) {
        struct pd_kv_watch_place *place = &self->kv->watches[i];
        if (place->id != 0 && place->id == call->arguments[0]) {
            end_watch(self, place);
            return pd_call_done(call, PD_KV_CODE_OK);
        }
    }
    return pd_call_done(call, PD_KV_CODE_ABSENT);
}

const struct pd_import pd_pando_kv_watch_imports[] = {
    {MODULE, "watch", "iiiiIIii->i", PD_CALL_DEFERRED, watch},
    {MODULE, "unwatch", "I->i", PD_CALL_DEFERRED, unwatch},
};
const size_t pd_pando_kv_watch_import_count =
    sizeof pd_pando_kv_watch_imports / sizeof pd_pando_kv_watch_imports[0];
