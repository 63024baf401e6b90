#include "actor/message.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

static bool take(struct pd_memory_budget *budget, size_t size)
{
    return budget == NULL || pd_memory_budget_take(budget, PD_MEMORY_MESSAGE, size);
}

static void give(struct pd_memory_budget *budget, size_t size)
{
    if (budget != NULL) {
        pd_memory_budget_give(budget, size);
    }
}

struct pd_message *pd_message_create_within(struct pd_memory_budget *budget, uint64_t tag,
                                            uint32_t capacity)
{
    size_t size = sizeof(struct pd_message) + capacity;
    if (!take(budget, size)) {
        return NULL;
    }
    struct pd_message *message = pd_alloc(size);
    if (message == NULL) {
        give(budget, size);
        return NULL;
    }
    *message = (struct pd_message){
        .tag = tag, .capacity = capacity, .kind = PD_MESSAGE_DATA, .budget = budget};
    message->data = (uint8_t *)(message + 1);
    return message;
}

struct pd_message *pd_message_create(uint64_t tag, uint32_t capacity)
{
    return pd_message_create_within(NULL, tag, capacity);
}

void pd_message_destroy(struct pd_message *message)
{
    if (message == NULL) {
        return;
    }
    give(message->budget, pd_message_footprint(message));
    for (uint32_t i = 0; i < message->resource_count; i++) {
        if (message->resources[i].kind != 0) {
            message->resources[i].release(message->resources[i].object);
        }
    }
    pd_free(message->resources);
    pd_exit_text_release(message->text);
    pd_free(message);
}

/* Twice the room, at least what is needed, at most size_max. */
static uint32_t grown_capacity(uint32_t capacity, uint32_t needed, uint32_t size_max)
{
    uint64_t doubled = (uint64_t)capacity * 2;
    if (doubled < needed) {
        doubled = needed;
    }
    return doubled > size_max ? size_max : (uint32_t)doubled;
}

uint8_t *pd_message_extend(struct pd_message **message, uint32_t size, uint32_t size_max,
                           enum pd_status *status_out)
{
    struct pd_message *grown = *message;
    *status_out = PD_OK;
    if (grown->size > size_max || size > size_max - grown->size) {
        *status_out = PD_ERR_FULL;
        return NULL;
    }
    uint32_t needed = grown->size + size;
    if (needed > grown->capacity) {
        uint32_t capacity = grown_capacity(grown->capacity, needed, size_max);
        struct pd_memory_budget *budget = grown->budget;
        size_t more = capacity - grown->capacity;
        bool is_taken = take(budget, more);
        grown = is_taken ? pd_realloc(grown, sizeof *grown + capacity) : NULL;
        if (grown == NULL) {
            if (is_taken) {
                give(budget, more);
            }
            *status_out = PD_ERR_NO_MEMORY;
            return NULL;
        }
        grown->capacity = capacity;
        grown->data = (uint8_t *)(grown + 1);
        *message = grown;
    }
    uint8_t *at = grown->data + grown->size;
    grown->size = needed;
    return at;
}

enum pd_status pd_message_append(struct pd_message **message, const uint8_t *bytes, uint32_t size,
                                 uint32_t size_max)
{
    enum pd_status status = PD_OK;
    uint8_t *at = pd_message_extend(message, size, size_max, &status);
    if (status == PD_OK && size > 0) {
        memcpy(at, bytes, size);
    }
    return status;
}

enum pd_status pd_message_attach(struct pd_message *message, struct pd_resource resource,
                                 uint32_t *index_out)
{
    pd_assert(resource.kind != 0);
    if (message->resource_count == PD_MESSAGE_RESOURCES_MAX) {
        return PD_ERR_FULL;
    }
    size_t count = (size_t)message->resource_count + 1;
    if (!take(message->budget, sizeof resource)) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_resource *resources = pd_realloc(message->resources, count * sizeof *resources);
    if (resources == NULL) {
        give(message->budget, sizeof resource);
        return PD_ERR_NO_MEMORY;
    }
    resources[count - 1] = resource;
    message->resources = resources;
    message->resource_count = (uint16_t)count;
    *index_out = (uint32_t)count - 1;
    return PD_OK;
}

enum pd_status pd_message_take(struct pd_message *message, uint32_t index, uint32_t kind,
                               void **object_out)
{
    pd_assert(kind != 0);
    if (index >= message->resource_count || message->resources[index].kind != kind) {
        return PD_ERR_UNKNOWN;
    }
    *object_out = message->resources[index].object;
    message->resources[index].kind = 0;
    return PD_OK;
}

size_t pd_message_footprint(const struct pd_message *message)
{
    return sizeof *message + message->capacity +
           message->resource_count * sizeof *message->resources;
}
