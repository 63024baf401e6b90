/* Calls to supervisor processes and their answers, as messages. */
#include "actor/supervisor_call.h"

#include <string.h>

#include "actor/mailbox.h"
#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"

#define COUNTS_SIZE 16u
#define ROW_SIZE 25u /* before the id */

/* --- Calls ------------------------------------------------------------------------------------ */

static void held_call_release(void *object)
{
    struct pd_held_call *held = object;
    pd_child_spec_release(held->call.spec);
    pd_free(held->id);
    pd_free(held);
}

static struct pd_held_call *held_call_create(const struct pd_supervisor_call *call)
{
    struct pd_held_call *held = pd_alloc_zeroed(1, sizeof *held + call->arguments_size);
    if (held == NULL) {
        return NULL;
    }
    held->call = *call;
    held->call.arguments = NULL;
    held->call.id = NULL;
    if (call->arguments_size > 0) {
        memcpy(held->arguments, call->arguments, call->arguments_size);
        held->call.arguments = held->arguments;
    }
    if (call->id != NULL) {
        held->id = pd_alloc_text(call->id, strlen(call->id));
        if (held->id == NULL) {
            pd_free(held);
            return NULL;
        }
    }
    pd_child_spec_share(held->call.spec);
    return held;
}

struct pd_held_call *pd_held_call_take(struct pd_message *message)
{
    void *object = NULL;
    if (message->kind != PD_MESSAGE_DATA ||
        pd_message_take(message, 0, PD_RESOURCE_SUPERVISOR_CALL, &object) != PD_OK) {
        return NULL;
    }
    return object;
}

void pd_held_call_destroy(struct pd_held_call *held)
{
    held_call_release(held);
}

static void look_at_behavior(struct pd_process *process, void *context)
{
    *(bool *)context = pd_process_is_supervisor(process);
}

static enum pd_status check_is_supervisor(struct pd_environment *environment, uint64_t pid)
{
    bool is_supervisor = false;
    struct pd_mailbox_view view;
    enum pd_status status =
        pd_mailbox_look(environment, pid, &view, look_at_behavior, &is_supervisor);
    return status == PD_OK && !is_supervisor ? PD_ERR_UNKNOWN : status;
}

enum pd_status pd_supervisor_call_post(struct pd_environment *environment, uint64_t pid,
                                       const struct pd_supervisor_call *call, uint64_t asker,
                                       uint64_t ref)
{
    /* A pid is never used twice, so what is a supervisor now will not be anything else later. */
    enum pd_status status = check_is_supervisor(environment, pid);
    if (status != PD_OK) {
        return status;
    }
    struct pd_held_call *held = held_call_create(call);
    struct pd_message *message = pd_message_create(0, 0);
    if (held == NULL || message == NULL) {
        pd_message_destroy(message);
        if (held != NULL) {
            held_call_release(held);
        }
        return PD_ERR_NO_MEMORY;
    }
    struct pd_resource resource = {PD_RESOURCE_SUPERVISOR_CALL, held, held_call_release};
    uint32_t index;
    status = pd_message_attach(message, resource, &index);
    if (status != PD_OK) {
        held_call_release(held);
        pd_message_destroy(message);
        return status;
    }
    message->pid = asker;
    message->ref = ref;
    status = pd_mailbox_post(environment, pid, message);
    if (status != PD_OK) {
        pd_message_destroy(message);
    }
    return status;
}

enum pd_status pd_supervisor_say_ready(struct pd_process *self)
{
    if (self->is_ready) {
        return PD_OK;
    }
    struct pd_supervisor_call call = {.kind = PD_SUPERVISOR_CALL_READY, .pid = {self->pid}};
    enum pd_status status = pd_supervisor_call_post(self->environment, self->parent, &call, 0, 0);
    /* Nobody there, or nobody who asks for it: as good as told. */
    status = status == PD_ERR_UNKNOWN ? PD_OK : status;
    self->is_ready = status == PD_OK;
    return status;
}

/* --- Answers ---------------------------------------------------------------------------------- */

struct pd_message *pd_supervisor_answer_create(const struct pd_supervisor_answer *answer,
                                               struct pd_exit_text *text)
{
    uint32_t size = PD_SUPERVISOR_ANSWER_SIZE + answer->rows_size;
    struct pd_message *message = pd_message_create(0, size);
    if (message == NULL) {
        return NULL;
    }
    uint8_t *to = message->data;
    pd_put_u32(to, (uint32_t)answer->status);
    pd_put_u64(to + 4, answer->child.value);
    pd_put_u64(to + 12, answer->pid.value);
    to[20] = (uint8_t)answer->reason;
    if (answer->rows_size > 0) {
        memcpy(to + PD_SUPERVISOR_ANSWER_SIZE, answer->rows, answer->rows_size);
    }
    message->size = size;
    message->kind = PD_MESSAGE_REPLY;
    message->reason = (uint8_t)answer->reason;
    message->text = pd_exit_text_share(text);
    return message;
}

enum pd_status pd_supervisor_answer_read(const struct pd_message *message,
                                         struct pd_supervisor_answer *answer_out)
{
    const uint8_t *from = message->data;
    if (message->size < PD_SUPERVISOR_ANSWER_SIZE || from[20] > PD_EXIT_DENIED) {
        return PD_ERR_INVALID;
    }
    int32_t status = (int32_t)pd_get_u32(from);
    if (status > PD_OK || status < PD_ERR_UNSUPPORTED) {
        return PD_ERR_INVALID;
    }
    *answer_out = (struct pd_supervisor_answer){
        .status = (enum pd_status)status,
        .child = {pd_get_u64(from + 4)},
        .pid = {pd_get_u64(from + 12)},
        .reason = (enum pd_exit_reason)from[20],
        .rows = from + PD_SUPERVISOR_ANSWER_SIZE,
        .rows_size = message->size - PD_SUPERVISOR_ANSWER_SIZE,
    };
    return PD_OK;
}

uint32_t pd_supervisor_row_write(const struct pd_supervisor_child *child, uint8_t *to,
                                 uint32_t room)
{
    uint32_t id_size = (uint32_t)strlen(child->spec->id);
    pd_assert(id_size <= PD_CHILD_ID_SIZE_MAX);
    if (room < ROW_SIZE + id_size) {
        return 0;
    }
    pd_put_u64(to, child->child.value);
    pd_put_u64(to + 8, child->pid.value);
    pd_put_u32(to + 16, child->restart_count);
    to[20] = (uint8_t)child->state;
    to[21] = (uint8_t)child->spec->kind;
    to[22] = (uint8_t)child->spec->restart;
    pd_put_u16(to + 23, (uint16_t)id_size);
    memcpy(to + ROW_SIZE, child->spec->id, id_size);
    return ROW_SIZE + id_size;
}

bool pd_supervisor_row_read(const struct pd_supervisor_answer *answer, uint32_t *offset,
                            struct pd_supervisor_row *row_out)
{
    if (*offset > answer->rows_size || answer->rows_size - *offset < ROW_SIZE) {
        return false;
    }
    const uint8_t *from = answer->rows + *offset;
    uint32_t id_size = pd_get_u16(from + 23);
    if (answer->rows_size - *offset - ROW_SIZE < id_size) {
        return false;
    }
    *row_out = (struct pd_supervisor_row){
        .child = {pd_get_u64(from)},
        .pid = {pd_get_u64(from + 8)},
        .restart_count = pd_get_u32(from + 16),
        .state = (enum pd_child_state)from[20],
        .kind = (enum pd_child_kind)from[21],
        .restart = (enum pd_child_restart)from[22],
        .id = (const char *)(from + ROW_SIZE),
        .id_size = id_size,
    };
    *offset += ROW_SIZE + id_size;
    return true;
}

uint32_t pd_supervisor_counts_write(struct pd_supervisor_counts counts, uint8_t *to)
{
    pd_put_u32(to, counts.specs);
    pd_put_u32(to + 4, counts.active);
    pd_put_u32(to + 8, counts.live);
    pd_put_u32(to + 12, counts.waiting);
    return COUNTS_SIZE;
}

enum pd_status pd_supervisor_counts_read(const struct pd_supervisor_answer *answer,
                                         struct pd_supervisor_counts *counts_out)
{
    if (answer->rows_size != COUNTS_SIZE) {
        return PD_ERR_INVALID;
    }
    *counts_out = (struct pd_supervisor_counts){
        .specs = pd_get_u32(answer->rows),
        .active = pd_get_u32(answer->rows + 4),
        .live = pd_get_u32(answer->rows + 8),
        .waiting = pd_get_u32(answer->rows + 12),
    };
    return PD_OK;
}
