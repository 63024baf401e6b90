/* lunatic::message - one scratch slot holds the outgoing or the received message (lunatic-abi
 * section 1). */
#include <string.h>

#include "actor/tags.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "wasm/abi_tables.h"
#include "wasm/message_call.h"
#include "wasm/net.h"
#include "wasm/wasm_process.h"

#define TIMED_OUT 9027u
#define CAPACITY_HINT_MAX (1u << 20) /* a hint beyond is not believed until data comes */
#define TAGS_ON_STACK 32u
#define TAGS_MAX 65536u

/* --- Scratch ---------------------------------------------------------------------------------- */

struct pd_message *pd_message_call_data(struct pd_call *call)
{
    struct pd_message *scratch = pd_call_process(call)->scratch;
    if (scratch == NULL) {
        (void)pd_call_trap(call, "no message: create or receive one first");
        return NULL;
    }
    if (scratch->kind != PD_MESSAGE_DATA && scratch->kind != PD_MESSAGE_REPLY) {
        (void)pd_call_trap(call, "the message is a notice of a death and carries no data");
        return NULL;
    }
    return scratch;
}

static enum pd_call_result create_data(struct pd_call *call)
{
    uint64_t hint = call->arguments[1];
    uint32_t capacity = hint > CAPACITY_HINT_MAX ? CAPACITY_HINT_MAX : (uint32_t)hint;
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message =
        pd_message_create_within(self->system->budget, call->arguments[0], capacity);
    if (message == NULL) {
        return pd_call_trap(call, "no memory for a message of %u bytes", capacity);
    }
    pd_wasm_process_set_scratch(self, message);
    return PD_CALL_DONE;
}

/* A failed access discards the message. */
static enum pd_call_result discard_and_trap(struct pd_call *call, const char *what)
{
    pd_wasm_process_set_scratch(pd_call_process(call), NULL);
    return pd_call_trap(call, "%s", what);
}

static enum pd_call_result write_data(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    uint32_t size = pd_call_u32(call, 1);
    if (pd_message_call_data(call) == NULL) {
        return PD_CALL_TRAP;
    }
    const uint8_t *bytes = pd_guest_memory(call->guest, pd_call_u32(call, 0), size);
    if (bytes == NULL) {
        return discard_and_trap(call, "message data: pointer out of bounds");
    }
    uint32_t size_max = self->system->runtime->config.message_bytes_max;
    enum pd_status status = pd_message_append(&self->scratch, bytes, size, size_max);
    if (status == PD_OK) {
        return pd_call_done(call, size);
    }
    return discard_and_trap(call, status == PD_ERR_FULL
                                      ? "the message grows beyond the largest size allowed"
                                      : "no memory for the message");
}

static enum pd_call_result read_data(struct pd_call *call)
{
    struct pd_message *message = pd_message_call_data(call);
    if (message == NULL) {
        return PD_CALL_TRAP;
    }
    if (message->cursor > message->size) {
        return discard_and_trap(call, "reading behind the end of the message");
    }
    uint32_t size = pd_call_u32(call, 1);
    uint8_t *to = pd_guest_memory(call->guest, pd_call_u32(call, 0), size);
    if (to == NULL) {
        return discard_and_trap(call, "message data: pointer out of bounds");
    }
    uint32_t left = message->size - message->cursor;
    uint32_t count = size < left ? size : left;
    if (count > 0) {
        memcpy(to, message->data + message->cursor, count);
    }
    message->cursor += count;
    return pd_call_done(call, count);
}

static enum pd_call_result seek_data(struct pd_call *call)
{
    struct pd_message *message = pd_message_call_data(call);
    if (message == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t position = call->arguments[0];
    message->cursor = position > UINT32_MAX ? UINT32_MAX : (uint32_t)position;
    return PD_CALL_DONE;
}

static enum pd_call_result get_tag(struct pd_call *call)
{
    const struct pd_message *scratch = pd_call_process(call)->scratch;
    if (scratch == NULL) {
        return pd_call_trap(call, "no message: create or receive one first");
    }
    call->result = scratch->tag;
    return PD_CALL_DONE;
}

static enum pd_call_result get_process_id(struct pd_call *call)
{
    const struct pd_message *scratch = pd_call_process(call)->scratch;
    if (scratch == NULL) {
        return pd_call_trap(call, "no message: create or receive one first");
    }
    bool is_notice = scratch->kind == PD_MESSAGE_PROCESS_DIED || scratch->kind == PD_MESSAGE_DOWN;
    call->result = is_notice ? scratch->pid : 0;
    return PD_CALL_DONE;
}

static enum pd_call_result data_size(struct pd_call *call)
{
    const struct pd_message *message = pd_message_call_data(call);
    if (message == NULL) {
        return PD_CALL_TRAP;
    }
    call->result = message->size;
    return PD_CALL_DONE;
}

/* --- Resources -------------------------------------------------------------------------------- */

static void release_module(void *object)
{
    pd_module_release(object);
}

static enum pd_call_result push_module(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = pd_message_call_data(call);
    if (message == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_module *module = pd_id_table_get(&self->modules, call->arguments[0]);
    if (module == NULL) {
        return pd_call_trap(call, "no module has the id %llu",
                            (unsigned long long)call->arguments[0]);
    }
    struct pd_resource resource = {
        .kind = PD_RESOURCE_MODULE,
        .object = pd_module_acquire(module),
        .release = release_module,
    };
    uint32_t index = 0;
    if (pd_message_attach(message, resource, &index) != PD_OK) {
        pd_module_release(module);
        return pd_call_trap(call, "the message holds as many resources as it can");
    }
    call->result = index;
    return PD_CALL_DONE;
}

/* What was taken from the message has no place: it stays where it was. */
static void put_back(struct pd_message *message, uint32_t index, enum pd_resource_kind kind,
                     void *object)
{
    struct pd_resource *resource = &message->resources[index];
    resource->kind = kind;
    resource->object = object; /* `release` is what it was */
}

static enum pd_call_result take_module(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = pd_message_call_data(call);
    if (message == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t index = call->arguments[0];
    void *module = NULL;
    if (index >= PD_MESSAGE_RESOURCES_MAX ||
        pd_message_take(message, (uint32_t)index, PD_RESOURCE_MODULE, &module) != PD_OK) {
        return pd_call_trap(call, "the message has no module at index %llu",
                            (unsigned long long)index);
    }
    if (pd_id_table_add(&self->modules, module, &call->result) != PD_OK) {
        put_back(message, (uint32_t)index, PD_RESOURCE_MODULE, module);
        return pd_call_trap(call, "too many modules are held: drop some");
    }
    return PD_CALL_DONE;
}

/* A socket leaves the process with the message; whoever drops the message closes it. */
static enum pd_call_result push_socket(struct pd_call *call, enum pd_resource_kind kind,
                                       const char *thing)
{
    struct pd_message *message = pd_message_call_data(call);
    struct pd_id_table *table = message == NULL ? NULL : pd_net_table(call, kind);
    if (table == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_net_socket *socket = pd_id_table_get(table, call->arguments[0]);
    if (socket == NULL) {
        return pd_call_trap(call, "no %s has the id %llu", thing,
                            (unsigned long long)call->arguments[0]);
    }
    struct pd_resource resource = {
        .kind = kind,
        .object = socket,
        .release = pd_net_socket_release,
    };
    uint32_t index = 0;
    if (pd_message_attach(message, resource, &index) != PD_OK) {
        return pd_call_trap(call, "the message holds as many resources as it can");
    }
    (void)pd_id_table_take(table, call->arguments[0]); /* the message has its reference now */
    call->result = index;
    return PD_CALL_DONE;
}

static enum pd_call_result take_socket(struct pd_call *call, enum pd_resource_kind kind,
                                       const char *thing)
{
    struct pd_message *message = pd_message_call_data(call);
    struct pd_id_table *table = message == NULL ? NULL : pd_net_table(call, kind);
    if (table == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t index = call->arguments[0];
    void *socket = NULL;
    if (index >= PD_MESSAGE_RESOURCES_MAX ||
        pd_message_take(message, (uint32_t)index, kind, &socket) != PD_OK) {
        return pd_call_trap(call, "the message has no %s at index %llu", thing,
                            (unsigned long long)index);
    }
    if (!pd_net_has_room(pd_call_process(call)->net) ||
        pd_id_table_add(table, socket, &call->result) != PD_OK) {
        put_back(message, (uint32_t)index, kind, socket);
        return pd_call_trap(call, "too many sockets are held: drop some");
    }
    return PD_CALL_DONE;
}

static enum pd_call_result push_tcp_stream(struct pd_call *call)
{
    return push_socket(call, PD_RESOURCE_TCP_STREAM, "TCP stream");
}

static enum pd_call_result take_tcp_stream(struct pd_call *call)
{
    return take_socket(call, PD_RESOURCE_TCP_STREAM, "TCP stream");
}

static enum pd_call_result push_udp_socket(struct pd_call *call)
{
    return push_socket(call, PD_RESOURCE_UDP_SOCKET, "UDP socket");
}

static enum pd_call_result take_udp_socket(struct pd_call *call)
{
    return take_socket(call, PD_RESOURCE_UDP_SOCKET, "UDP socket");
}

static enum pd_call_result push_tls_stream(struct pd_call *call)
{
    return push_socket(call, PD_RESOURCE_TLS_STREAM, "TLS stream");
}

static enum pd_call_result take_tls_stream(struct pd_call *call)
{
    return take_socket(call, PD_RESOURCE_TLS_STREAM, "TLS stream");
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* Send scratch to a pid, waiting for room if need be. */
static enum pd_call_result send_scratch(struct pd_call *call, uint64_t pid)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = self->scratch;
    if (message == NULL) {
        return pd_call_trap(call, "no message to send: create one first");
    }
    /* A received notice or reply that is passed on is plain data from here on. */
    message->kind = PD_MESSAGE_DATA;
    message->ref = 0;
    message->pid = 0;
    message->cursor = 0;
    self->scratch = NULL;
    enum pd_status status = pd_process_send_waiting(self->process, pid, message);
    if (status == PD_OK) {
        call->result = 0;
        return pd_call_settle(call, 0);
    }
    self->scratch = message; /* who catches the trap has it still */
    return pd_call_trap(call, status == PD_ERR_INVALID
                                  ? "its own mailbox is full: nobody else could make room"
                                  : "too many messages sent to full mailboxes without a pause");
}

enum pd_call_result pd_message_call_send(struct pd_call *call)
{
    return send_scratch(call, call->arguments[0]);
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* The wait for tags is over. */
static void forget_tags(struct pd_wasm_process *self)
{
    self->process->awaited_tags = NULL;
    self->process->awaited_tag_count = 0;
    pd_free(self->tags);
    self->tags = NULL;
    self->tag_count = 0;
}

static enum pd_call_result received(struct pd_call *call, struct pd_message *message)
{
    struct pd_wasm_process *self = pd_call_process(call);
    pd_wasm_process_set_scratch(self, message);
    forget_tags(self);
    return pd_call_done(call, pd_wasm_receive_code(message));
}

static enum pd_call_result receive_resume(struct pd_call *call)
{
    struct pd_wasm_process *self = pd_call_process(call);
    struct pd_message *message = pd_process_take_more(self->process, self->tags, self->tag_count);
    if (message != NULL) {
        return received(call, message);
    }
    if (self->deadline_ns != PD_TIME_NEVER &&
        pd_host_now_ns(pd_guest_host(call->guest)) >= self->deadline_ns) {
        forget_tags(self);
        return pd_call_done(call, TIMED_OUT);
    }
    return PD_CALL_WAIT;
}

/* Nothing is here: wait for it. */
static enum pd_call_result wait_for(struct pd_call *call, const uint64_t *tags, uint32_t tag_count,
                                    uint64_t timeout_ms)
{
    struct pd_wasm_process *self = pd_call_process(call);
    if (timeout_ms == 0 && !self->process->is_exit_set) {
        return pd_call_done(call, TIMED_OUT);
    }
    forget_tags(self); /* of a receive that was cut off by a caught trap */
    if (tag_count > 0) {
        self->tags = pd_alloc(tag_count * sizeof *tags);
        if (self->tags == NULL) {
            return pd_call_trap(call, "no memory to wait for %u tags", tag_count);
        }
        memcpy(self->tags, tags, tag_count * sizeof *tags);
        self->tag_count = tag_count;
        self->process->awaited_tags = self->tags;
        self->process->awaited_tag_count = tag_count;
    }
    self->deadline_ns = PD_TIME_NEVER;
    if (timeout_ms != UINT64_MAX) {
        self->deadline_ns = pd_call_deadline_ns(call, timeout_ms);
        pd_call_wake_at(call, self->deadline_ns);
    }
    call->resume = receive_resume;
    return PD_CALL_WAIT;
}

static enum pd_call_result receive_tags(struct pd_call *call, const uint64_t *tags,
                                        uint32_t tag_count)
{
    struct pd_process *process = pd_call_process(call)->process;
    struct pd_message *message = pd_process_take(process, tags, tag_count);
    if (message == NULL && pd_process_drain(process) && !process->is_exit_set) {
        message = pd_process_take_more(process, tags, tag_count);
    }
    if (message != NULL) {
        return received(call, message);
    }
    return wait_for(call, tags, tag_count, call->arguments[2]);
}

static enum pd_call_result receive(struct pd_call *call)
{
    uint32_t tag_count = pd_call_u32(call, 1);
    if (tag_count == 0) {
        return receive_tags(call, NULL, 0);
    }
    if (tag_count > TAGS_MAX) {
        return pd_call_trap(call, "receive: %u tags are more than the %u allowed", tag_count,
                            TAGS_MAX);
    }
    const uint8_t *bytes =
        pd_call_bytes(call, pd_call_u32(call, 0), tag_count * (uint32_t)sizeof(uint64_t), "tags");
    if (bytes == NULL) {
        return PD_CALL_TRAP;
    }
    uint64_t few[TAGS_ON_STACK];
    uint64_t *tags = few;
    if (tag_count > TAGS_ON_STACK) {
        tags = pd_alloc(tag_count * sizeof *tags);
        if (tags == NULL) {
            return pd_call_trap(call, "no memory to wait for %u tags", tag_count);
        }
    }
    for (uint32_t i = 0; i < tag_count; i++) {
        tags[i] = pd_get_u64(bytes + i * sizeof(uint64_t));
    }
    pd_tags_sort(tags, tag_count);
    enum pd_call_result result = receive_tags(call, tags, tag_count);
    if (tags != few) {
        pd_free(tags);
    }
    return result;
}

/* How many tags a request waits for stands behind its arguments: one, or none at all. */
enum {
    REQUEST_TAG = 1,
    REQUEST_TIMEOUT = 2,
    REQUEST_TAG_COUNT = 3
};

static enum pd_call_result await_answer(struct pd_call *call)
{
    uint64_t tag = call->arguments[REQUEST_TAG];
    return wait_for(call, &tag, pd_call_u32(call, REQUEST_TAG_COUNT),
                    call->arguments[REQUEST_TIMEOUT]);
}

static enum pd_call_result request_resume(struct pd_call *call)
{
    return pd_process_must_wait(pd_call_process(call)->process) ? PD_CALL_WAIT : await_answer(call);
}

/* A request and its answer: what is in the queue already cannot be the answer. */
static enum pd_call_result request(struct pd_call *call, uint32_t tag_count)
{
    call->arguments[REQUEST_TAG_COUNT] = tag_count;
    pd_process_skip_queue(pd_call_process(call)->process);
    enum pd_call_result result = send_scratch(call, call->arguments[0]);
    if (result == PD_CALL_WAIT) {
        call->resume = request_resume;
    }
    return result == PD_CALL_DONE ? await_answer(call) : result;
}

enum pd_call_result pd_message_call_send_receive(struct pd_call *call)
{
    return request(call, 1);
}

enum pd_call_result pd_message_call_send_receive_former(struct pd_call *call)
{
    const struct pd_message *message = pd_call_process(call)->scratch;
    call->arguments[REQUEST_TIMEOUT] = call->arguments[1];
    call->arguments[REQUEST_TAG] = message == NULL ? 0 : message->tag;
    return request(call, call->arguments[REQUEST_TAG] == 0 ? 0 : 1);
}

#define MODULE "lunatic::message"

const struct pd_import pd_lunatic_message_imports[] = {
    {MODULE, "create_data", "II->", PD_CALL_SYNC, create_data},
    {MODULE, "write_data", "ii->i", PD_CALL_SYNC, write_data},
    {MODULE, "read_data", "ii->i", PD_CALL_SYNC, read_data},
    {MODULE, "seek_data", "I->", PD_CALL_SYNC, seek_data},
    {MODULE, "get_tag", "->I", PD_CALL_SYNC, get_tag},
    {MODULE, "get_process_id", "->I", PD_CALL_SYNC, get_process_id},
    {MODULE, "data_size", "->I", PD_CALL_SYNC, data_size},
    {MODULE, "push_module", "I->I", PD_CALL_SYNC, push_module},
    {MODULE, "take_module", "I->I", PD_CALL_SYNC, take_module},
    {MODULE, "push_tcp_stream", "I->I", PD_CALL_SYNC, push_tcp_stream},
    {MODULE, "take_tcp_stream", "I->I", PD_CALL_SYNC, take_tcp_stream},
    {MODULE, "push_tls_stream", "I->I", PD_CALL_SYNC, push_tls_stream},
    {MODULE, "take_tls_stream", "I->I", PD_CALL_SYNC, take_tls_stream},
    {MODULE, "push_udp_socket", "I->I", PD_CALL_SYNC, push_udp_socket},
    {MODULE, "take_udp_socket", "I->I", PD_CALL_SYNC, take_udp_socket},
    {MODULE, "send", "I->i", PD_CALL_ASYNC, pd_message_call_send},
    {MODULE, "send_receive_skip_search", "III->i", PD_CALL_ASYNC, pd_message_call_send_receive},
    {MODULE, "send_receive_skip_search", "II->i", PD_CALL_ASYNC,
     pd_message_call_send_receive_former}, /* before Lunatic 0.13 */
    {MODULE, "receive", "iiI->i", PD_CALL_ASYNC, receive},
};
const size_t pd_lunatic_message_import_count =
    sizeof pd_lunatic_message_imports / sizeof pd_lunatic_message_imports[0];
