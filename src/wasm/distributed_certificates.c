/* lunatic::distributed's certificates: for guests that are Lunatic's control server themselves.
 * Keys are made on a helper thread, and the texts go to the guest as bincode in memory that its own
 * export lunatic_alloc gave. Without a maker (a deterministic run) they trap. */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/host_certificates.h"
#include "wasm/abi_tables.h"
#include "wasm/distributed.h"
#include "wasm/wasm_process.h"

#define MODULE "lunatic::distributed"
#define LENGTH_SIZE 8u
#define ANSWER_MAX (2 * (PD_PEM_MAX + LENGTH_SIZE))
#define TEXTS_MAX 3u

struct making {
    struct pd_blocking blocking; /* first */
    const struct pd_certificates *certificates;
    enum pd_status (*make)(struct making *making);
    enum pd_status status;
    uint32_t length_address; /* of the guest, for the answer's length */
    struct pd_pem texts[TEXTS_MAX];
    struct pd_pem certificate;
    struct pd_pem key; /* empty: none is answered */
    char why[PD_CERTIFICATE_WHY_SIZE];
};

/* The answer while the guest makes room for it. */
struct answer {
    uint32_t length_address;
    uint32_t size;
    uint8_t bytes[];
};

static struct making *making_of(struct pd_blocking *blocking)
{
    return (struct making *)(void *)blocking;
}

/* --- On a helper thread ----------------------------------------------------------------------- */

static struct pd_span text_of(const struct making *making, uint32_t index)
{
    return (struct pd_span){making->texts[index].bytes, making->texts[index].size};
}

static enum pd_status make_root(struct making *making)
{
    return making->certificates->make_root(&making->certificate, &making->key, making->why);
}

static enum pd_status make_server(struct making *making)
{
    return making->certificates->make_server(text_of(making, 0), text_of(making, 1),
                                             &making->certificate, &making->key, making->why);
}

static enum pd_status sign_request(struct making *making)
{
    return making->certificates->sign_request(text_of(making, 0), text_of(making, 1),
                                              text_of(making, 2), &making->certificate,
                                              making->why);
}

static void make_work(struct pd_blocking *blocking)
{
    struct making *making = making_of(blocking);
    making->status = making->make(making);
}

static void make_release(struct pd_blocking *blocking)
{
    pd_free(blocking);
}

/* --- The answer ------------------------------------------------------------------------------- */

static void answer_abandon(struct pd_call *call)
{
    pd_free(call->state);
    call->state = NULL;
}

/* The guest gave `address`, if it gave anything. */
static enum pd_call_result answer_finish(struct pd_call *call, bool is_ok, uint32_t address)
{
    struct answer *answer = call->state;
    call->state = NULL;
    call->abandon = NULL;
    uint8_t *to = is_ok ? pd_guest_memory(call->guest, address, answer->size) : NULL;
    uint8_t *length_to = pd_guest_memory(call->guest, answer->length_address, LENGTH_SIZE);
    enum pd_call_result result = PD_CALL_TRAP;
    if (!is_ok) {
        (void)pd_call_trap(call, MODULE ": lunatic_alloc failed");
    } else if (to == NULL) {
        (void)pd_call_trap_bounds(call, "what lunatic_alloc gave");
    } else if (length_to == NULL) {
        (void)pd_call_trap_bounds(call, "length");
    } else {
        memcpy(to, answer->bytes, answer->size);
        pd_put_u64(length_to, answer->size);
        result = pd_call_done(call, address);
    }
    pd_free(answer);
    return result;
}

static uint32_t put_text(uint8_t *to, const struct pd_pem *text)
{
    pd_put_u64(to, text->size);
    memcpy(to + LENGTH_SIZE, text->bytes, text->size);
    return LENGTH_SIZE + (uint32_t)text->size;
}

static enum pd_call_result make_finish(struct pd_call *call, struct pd_blocking *blocking)
{
    const struct making *making = making_of(blocking);
    if (making->status != PD_OK) {
        return pd_call_trap(call, MODULE ": %s",
                            making->why[0] != '\0' ? making->why : pd_status_text(making->status));
    }
    struct answer *answer = pd_alloc(sizeof *answer + ANSWER_MAX);
    if (answer == NULL) {
        return pd_call_trap(call, MODULE ": no memory");
    }
    answer->length_address = making->length_address;
    answer->size = put_text(answer->bytes, &making->certificate);
    if (making->key.size > 0) {
        answer->size += put_text(answer->bytes + answer->size, &making->key);
    }
    call->state = answer;
    call->abandon = answer_abandon;
    const uint32_t size = answer->size;
    enum pd_call_result result = pd_call_nested(call, "lunatic_alloc", &size, 1, answer_finish);
    if (result == PD_CALL_TRAP && call->state != NULL) {
        answer_abandon(call); /* it was never called */
        call->abandon = NULL;
    }
    return result;
}

/* --- The calls -------------------------------------------------------------------------------- */

/* Copy text `index`, whose address and size are arguments; false after a trap. */
static bool take_text(struct pd_call *call, struct making *making, uint32_t index, const char *what)
{
    uint32_t size = pd_call_u32(call, 2 * index + 1);
    const char *text = pd_call_text(call, pd_call_u32(call, 2 * index), size, PD_PEM_MAX, what);
    if (text == NULL) {
        return false;
    }
    if (size > PD_PEM_MAX) {
        (void)pd_call_trap(call, MODULE ": %s: %u bytes, where %u are allowed", what, size,
                           PD_PEM_MAX);
        return false;
    }
    memcpy(making->texts[index].bytes, text, size);
    making->texts[index].size = size;
    return true;
}

static enum pd_call_result begin(struct pd_call *call, uint32_t text_count,
                                 enum pd_status (*make)(struct making *making))
{
    static const char *const names[TEXTS_MAX] = {"certificate", "key", "request"};
    const struct pd_certificates *certificates = pd_call_process(call)->system->certificates;
    if (certificates == NULL) {
        return pd_call_trap(call, MODULE ": a deterministic run makes no certificates");
    }
    struct making *making = pd_alloc_zeroed(1, sizeof *making);
    if (making == NULL) {
        return pd_call_trap(call, MODULE ": no memory");
    }
    making->blocking.work = make_work;
    making->blocking.finish = make_finish;
    making->blocking.release = make_release;
    making->blocking.name = "certificate";
    making->certificates = certificates;
    making->make = make;
    making->length_address = pd_call_u32(call, 2 * text_count);
    for (uint32_t i = 0; i < text_count; i++) {
        if (!take_text(call, making, i, names[i])) {
            pd_free(making);
            return PD_CALL_TRAP;
        }
    }
    if (pd_guest_memory(call->guest, making->length_address, LENGTH_SIZE) == NULL) {
        pd_free(making);
        return pd_call_trap_bounds(call, "length");
    }
    return pd_call_block(call, &making->blocking);
}

enum pd_call_result pd_distributed_test_root_cert(struct pd_call *call)
{
    return begin(call, 0, make_root);
}

enum pd_call_result pd_distributed_default_server_certificates(struct pd_call *call)
{
    return begin(call, 2, make_server);
}

enum pd_call_result pd_distributed_sign_node(struct pd_call *call)
{
    return begin(call, 3, sign_request);
}
