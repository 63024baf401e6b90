#include "net/frame.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

#define CAPACITY_MIN ((size_t)4096)

struct pd_net_account *pd_net_account_create(void)
{
    struct pd_net_account *account = pd_alloc_zeroed(1, sizeof *account);
    if (account != NULL) {
        atomic_init(&account->references, 1);
    }
    return account;
}

void pd_net_account_acquire(struct pd_net_account *account)
{
    (void)atomic_fetch_add_explicit(&account->references, 1, memory_order_relaxed);
}

void pd_net_account_release(struct pd_net_account *account)
{
    if (account != NULL &&
        atomic_fetch_sub_explicit(&account->references, 1, memory_order_acq_rel) == 1) {
        pd_assert(atomic_load(&account->bytes) == 0);
        pd_free(account);
    }
}

struct pd_net_buffer *pd_net_buffer_make(struct pd_net_account *account, uint64_t correlation,
                                         struct pd_span bytes)
{
    pd_assert(bytes.size <= UINT32_MAX);
    struct pd_net_buffer *buffer = pd_alloc(sizeof *buffer + PD_NET_FRAME_HEAD_SIZE + bytes.size);
    if (buffer == NULL) {
        return NULL;
    }
    buffer->next = NULL;
    buffer->account = account;
    buffer->size = PD_NET_FRAME_HEAD_SIZE + bytes.size;
    pd_put_u32(buffer->bytes, (uint32_t)bytes.size);
    pd_put_u64(buffer->bytes + 4, correlation);
    if (bytes.size > 0) {
        memcpy(buffer->bytes + PD_NET_FRAME_HEAD_SIZE, bytes.bytes, bytes.size);
    }
    pd_net_account_acquire(account);
    (void)atomic_fetch_add_explicit(&account->bytes, buffer->size, memory_order_relaxed);
    return buffer;
}

void pd_net_buffer_free(struct pd_net_buffer *buffer)
{
    if (buffer != NULL) {
        (void)atomic_fetch_sub_explicit(&buffer->account->bytes, buffer->size,
                                        memory_order_relaxed);
        pd_net_account_release(buffer->account);
        pd_free(buffer);
    }
}

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* Room for at least one byte more of a body of `whole` bytes. */
static bool grow(struct pd_net_assembly *assembly, size_t whole)
{
    if (assembly->size < assembly->capacity) {
        return true;
    }
    size_t wanted = assembly->capacity == 0 ? CAPACITY_MIN : 2 * assembly->capacity;
    wanted = least(wanted, whole);
    uint8_t *body = pd_realloc(assembly->body, wanted);
    if (body == NULL) {
        return false;
    }
    assembly->body = body;
    assembly->capacity = wanted;
    return true;
}

static size_t move_bytes(uint8_t *to, struct pd_span *input, size_t most)
{
    size_t size = least(input->size, most);
    if (size > 0) {
        memcpy(to, input->bytes, size);
        input->bytes += size;
        input->size -= size;
    }
    return size;
}

enum pd_status pd_net_assembly_take(struct pd_net_assembly *assembly, struct pd_span *input,
                                    size_t bytes_max, bool *is_whole_out,
                                    struct pd_net_frame *frame_out)
{
    *is_whole_out = false;
    assembly->head_size += (uint32_t)move_bytes(assembly->head + assembly->head_size, input,
                                                PD_NET_FRAME_HEAD_SIZE - assembly->head_size);
    if (assembly->head_size < PD_NET_FRAME_HEAD_SIZE) {
        return PD_OK;
    }
    size_t whole = pd_get_u32(assembly->head);
    if (whole > bytes_max) {
        return PD_ERR_RANGE;
    }
    while (input->size > 0 && assembly->size < whole) {
        if (!grow(assembly, whole)) {
            return PD_ERR_NO_MEMORY;
        }
        assembly->size +=
            move_bytes(assembly->body + assembly->size, input, assembly->capacity - assembly->size);
    }
    if (assembly->size < whole) {
        return PD_OK;
    }
    *frame_out = (struct pd_net_frame){
        .correlation = pd_get_u64(assembly->head + 4), .bytes = assembly->body, .size = whole};
    *is_whole_out = true;
    memset(assembly, 0, sizeof *assembly);
    return PD_OK;
}

bool pd_net_assembly_is_empty(const struct pd_net_assembly *assembly)
{
    return assembly->head_size == 0;
}

void pd_net_assembly_deinit(struct pd_net_assembly *assembly)
{
    pd_free(assembly->body);
    memset(assembly, 0, sizeof *assembly);
}
