#include "node/gateway_writes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/answer.h"

#define MILLISECOND_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)
#define TAG_SESSION (UINT64_C(1) << 62)
#define GENERATION_BITS 30u

struct pd_gateway_writes_config pd_gateway_writes_config_default(void)
{
    return (struct pd_gateway_writes_config){
        .writes_max = 16384,
        .bytes_max = UINT64_C(128) << 20,
        .sessions_max = PD_GATEWAY_SESSIONS_MAX,
        .window = PD_GATEWAY_WINDOW_MAX,
        .session_ns = 600 * SECOND_NS,
        .timeout_ns = 7 * SECOND_NS,
        .retry_ns = 20 * MILLISECOND_NS,
    };
}

enum pd_status pd_gateway_writes_init(struct pd_gateway_writes *writes,
                                      const struct pd_gateway_writes_config *config)
{
    pd_assert(config->writes_max > 0);
    pd_assert(config->sessions_max > 0 && config->sessions_max <= PD_GATEWAY_SESSIONS_MAX);
    pd_assert(config->window > 0 && config->window <= PD_GATEWAY_WINDOW_MAX);
    *writes = (struct pd_gateway_writes){.config = *config};
    writes->writes = pd_alloc_zeroed(config->writes_max, sizeof *writes->writes);
    if (writes->writes == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    pd_list_init(&writes->free);
    pd_list_init(&writes->waiting);
    pd_list_init(&writes->pausing);
    for (uint32_t i = 0; i < config->writes_max; i++) {
        pd_list_append(&writes->free, &writes->writes[i].link);
    }
    return PD_OK;
}

void pd_gateway_writes_deinit(struct pd_gateway_writes *writes)
{
    for (uint32_t i = 0; writes->writes != NULL && i < writes->config.writes_max; i++) {
        pd_free(writes->writes[i].bytes);
    }
    pd_free(writes->writes);
    *writes = (struct pd_gateway_writes){0};
}

static struct pd_gateway_write *first_of(const struct pd_list *list)
{
    struct pd_list *link = pd_list_first(list);
    return link == NULL ? NULL : pd_container_of(link, struct pd_gateway_write, link);
}

static void move(struct pd_gateway_write *write, enum pd_gateway_write_state state,
                 struct pd_list *to)
{
    pd_list_remove(&write->link);
    write->state = state;
    if (to != NULL) {
        pd_list_append(to, &write->link);
    }
}

enum pd_status pd_gateway_writes_add(struct pd_gateway_writes *writes, uint64_t correlation,
                                     struct pd_span command, bool is_repeatable, uint64_t now_ns)
{
    struct pd_gateway_write *write = first_of(&writes->free);
    if (write == NULL || command.size == 0 ||
        command.size > writes->config.bytes_max - writes->bytes) {
        return PD_ERR_FULL;
    }
    uint8_t *bytes = pd_alloc(command.size);
    if (bytes == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    memcpy(bytes, command.bytes, command.size);
    pd_list_remove(&write->link);
    uint32_t generation = (write->generation + 1) & ((1u << GENERATION_BITS) - 1);
    *write = (struct pd_gateway_write){
        .generation = generation,
        .is_repeatable = is_repeatable,
        .correlation = correlation,
        .deadline_ns = now_ns + writes->config.timeout_ns,
        .bytes = bytes,
        .size = command.size,
    };
    writes->bytes += command.size;
    pd_list_init(&write->link);
    move(write, PD_GATEWAY_WRITE_WAITS, &writes->waiting);
    return PD_OK;
}

/* -- Sessions ---------------------------------------------------------------------------------- */

/* The number is not waited for any more. */
static void give_number_back(struct pd_gateway_writes *writes, struct pd_gateway_write *write)
{
    if (!write->has_number) {
        return;
    }
    struct pd_gateway_session *session = &writes->sessions[write->session];
    write->has_number = false;
    session->flying--;
    if (session->state != PD_GATEWAY_SESSION_OPEN) {
        return;
    }
    pd_assert(write->sequence >= session->low && write->sequence < session->next);
    session->answered |= UINT64_C(1) << (write->sequence - session->low);
    while ((session->answered & 1) != 0) {
        session->answered >>= 1;
        session->low++;
    }
}

/* It is not to be used any more. Its writes in flight keep its place until they are answered. */
static void close_session(struct pd_gateway_session *session)
{
    session->state = PD_GATEWAY_SESSION_CLOSED;
}

static bool is_usable(const struct pd_gateway_session *session)
{
    return session->state == PD_GATEWAY_SESSION_OPEN &&
           session->next < session->low + session->width.width;
}

/* One with room for another write. If there is none, one is going to be opened. NULL: wait. */
static struct pd_gateway_session *find_session(struct pd_gateway_writes *writes, uint64_t now_ns)
{
    struct pd_gateway_session *closed = NULL;
    bool is_coming = false;
    for (uint32_t i = 0; i < writes->config.sessions_max; i++) {
        struct pd_gateway_session *session = &writes->sessions[i];
        if (session->state == PD_GATEWAY_SESSION_OPEN && session->flying == 0 &&
            now_ns - session->used_ns > writes->config.session_ns / 2) {
            close_session(session); /* it may have expired */
        }
        if (is_usable(session)) {
            return session;
        }
        is_coming = is_coming || session->state == PD_GATEWAY_SESSION_WANTED ||
                    session->state == PD_GATEWAY_SESSION_OPENING;
        if (session->state == PD_GATEWAY_SESSION_CLOSED && session->flying == 0 && closed == NULL) {
            closed = session;
        }
    }
    if (!is_coming && closed != NULL) {
        *closed =
            (struct pd_gateway_session){.state = PD_GATEWAY_SESSION_WANTED, .retry_ns = now_ns};
    }
    return NULL;
}

/* The command that opens the first one that is wanted by now. */
static bool open_next(struct pd_gateway_writes *writes, uint64_t now_ns,
                      struct pd_gateway_sending *sending_out)
{
    for (uint32_t i = 0; i < writes->config.sessions_max; i++) {
        struct pd_gateway_session *session = &writes->sessions[i];
        if (session->state == PD_GATEWAY_SESSION_WANTED && session->retry_ns <= now_ns) {
            const struct pd_kv_command command = {.kind = PD_KV_SESSION_OPEN,
                                                  .duration_ns = writes->config.session_ns,
                                                  .window = writes->config.window};
            struct pd_kv_writer writer = {.bytes = writes->room, .bytes_max = sizeof writes->room};
            pd_kv_command_encode(&writer, &command);
            pd_assert(!writer.is_full);
            session->state = PD_GATEWAY_SESSION_OPENING;
            *sending_out = (struct pd_gateway_sending){
                .tag = PD_GATEWAY_WRITES_TAG | TAG_SESSION | i,
                .head = {.kind = PD_REPLICA_REQUEST_WRITE, .body = {writer.bytes, writer.size}},
            };
            return true;
        }
    }
    return false;
}

static void session_answered(struct pd_gateway_writes *writes, uint64_t tag,
                             const struct pd_replica_answer_head *answer, uint64_t now_ns)
{
    uint32_t at = (uint32_t)tag;
    if (at >= writes->config.sessions_max ||
        writes->sessions[at].state != PD_GATEWAY_SESSION_OPENING) {
        return;
    }
    struct pd_gateway_session *session = &writes->sessions[at];
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head = {.error = PD_KV_ERR_INVALID};
    pd_kv_reader_init(&reader, answer->body);
    if (answer->outcome == PD_REPLICA_OK) {
        pd_kv_answer_head(&reader, &head);
    }
    writes->is_crowded = head.error == PD_KV_ERR_SESSIONS_FULL;
    int64_t id = head.error == PD_KV_OK ? pd_kv_answer_number(&reader) : 0;
    if (head.error != PD_KV_OK || reader.is_bad || id == 0) {
        session->state = PD_GATEWAY_SESSION_WANTED;
        session->retry_ns = now_ns + writes->config.retry_ns;
        return;
    }
    *session = (struct pd_gateway_session){.state = PD_GATEWAY_SESSION_OPEN,
                                           .id = (uint64_t)id,
                                           .next = 1,
                                           .low = 1,
                                           .used_ns = now_ns,
                                           .width = pd_session_width_of(writes->config.window)};
}

/* -- Writes ------------------------------------------------------------------------------------ */

static void send(struct pd_gateway_writes *writes, struct pd_gateway_write *write, uint64_t now_ns,
                 struct pd_gateway_sending *sending_out)
{
    uint64_t place = (uint64_t)(write - writes->writes);
    *sending_out = (struct pd_gateway_sending){
        .tag = PD_GATEWAY_WRITES_TAG | (uint64_t)write->generation << 32 | place,
        .head = {.kind = PD_REPLICA_REQUEST_WRITE, .body = {write->bytes, write->size}},
    };
    if (write->has_number) {
        struct pd_gateway_session *session = &writes->sessions[write->session];
        session->used_ns = now_ns;
        sending_out->head.session = session->id;
        sending_out->head.sequence = write->sequence;
        sending_out->head.low = session->low;
    }
    move(write, PD_GATEWAY_WRITE_FLIES, NULL);
}

/* Whether it may be sent now: it has a number, or gets one, or needs none. */
static bool take_number(struct pd_gateway_writes *writes, struct pd_gateway_write *write,
                        uint64_t now_ns)
{
    if (write->is_repeatable || write->has_number) {
        return true;
    }
    struct pd_gateway_session *session = find_session(writes, now_ns);
    if (session == NULL) {
        return false;
    }
    write->session = (uint32_t)(session - writes->sessions);
    write->sequence = session->next++;
    write->has_number = true;
    session->flying++;
    return true;
}

bool pd_gateway_writes_next(struct pd_gateway_writes *writes, uint64_t now_ns,
                            struct pd_gateway_sending *sending_out)
{
    struct pd_gateway_write *write = first_of(&writes->pausing);
    if (write != NULL && write->retry_ns <= now_ns) {
        move(write, PD_GATEWAY_WRITE_WAITS, NULL);
        if (take_number(writes, write, now_ns)) {
            send(writes, write, now_ns, sending_out);
            return true;
        }
        pd_list_append(&writes->waiting, &write->link);
    }
    write = first_of(&writes->waiting);
    if (write != NULL && take_number(writes, write, now_ns)) {
        send(writes, write, now_ns, sending_out);
        return true;
    }
    return open_next(writes, now_ns, sending_out);
}

static struct pd_gateway_write *find(struct pd_gateway_writes *writes, uint64_t tag)
{
    uint32_t at = (uint32_t)tag;
    uint32_t generation = (uint32_t)(tag >> 32) & ((1u << GENERATION_BITS) - 1);
    if (at >= writes->config.writes_max || writes->writes[at].generation != generation ||
        writes->writes[at].state != PD_GATEWAY_WRITE_FLIES) {
        return NULL;
    }
    return &writes->writes[at];
}

static void release(struct pd_gateway_writes *writes, struct pd_gateway_write *write)
{
    give_number_back(writes, write);
    writes->bytes -= write->size;
    pd_free(write->bytes);
    write->bytes = NULL;
    write->size = 0;
    move(write, PD_GATEWAY_WRITE_FREE, NULL);
    pd_list_prepend(&writes->free, &write->link); /* the next one: what was just used is near */
}

/* Later again; or, when its time is up, the end. true: it is over. */
static bool pause_or_end(struct pd_gateway_writes *writes, struct pd_gateway_write *write,
                         enum pd_replica_outcome outcome, uint64_t now_ns,
                         uint64_t *correlation_out, enum pd_replica_outcome *outcome_out)
{
    if (now_ns + writes->config.retry_ns < write->deadline_ns) {
        write->retry_ns = now_ns + writes->config.retry_ns;
        move(write, PD_GATEWAY_WRITE_PAUSES, &writes->pausing);
        return false;
    }
    *correlation_out = write->correlation;
    *outcome_out = write->may_have_happened ? PD_REPLICA_UNKNOWN : outcome;
    release(writes, write);
    return true;
}

void pd_gateway_writes_refused(struct pd_gateway_writes *writes, uint64_t tag, uint64_t now_ns)
{
    if ((tag & TAG_SESSION) != 0) {
        const struct pd_replica_answer_head refused = {.outcome = PD_REPLICA_BUSY};
        session_answered(writes, tag, &refused, now_ns);
        return;
    }
    struct pd_gateway_write *write = find(writes, tag);
    pd_assert(write != NULL);
    write->retry_ns = now_ns + writes->config.retry_ns;
    move(write, PD_GATEWAY_WRITE_PAUSES, &writes->pausing);
}

enum verdict {
    VERDICT_DONE, /* tell it as it is */
    VERDICT_AGAIN,
    VERDICT_UNKNOWN_AGAIN,
    VERDICT_NO_ROOM, /* its session keeps too many answers: it was not done */
    VERDICT_SESSION_GONE
};

static enum verdict judge(const struct pd_replica_answer_head *answer)
{
    switch (answer->outcome) {
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_BUSY:
    case PD_REPLICA_DROPPED:
        return VERDICT_AGAIN;
    case PD_REPLICA_UNKNOWN:
        return VERDICT_UNKNOWN_AGAIN;
    case PD_REPLICA_OK: {
        struct pd_kv_reader reader;
        struct pd_kv_answer_head head;
        pd_kv_reader_init(&reader, answer->body);
        pd_kv_answer_head(&reader, &head);
        if (head.error == PD_KV_ERR_SESSION_UNKNOWN) {
            return VERDICT_SESSION_GONE;
        }
        return head.error == PD_KV_ERR_SESSION_ANSWERS_FULL ? VERDICT_NO_ROOM : VERDICT_DONE;
    }
    case PD_REPLICA_DISK_LOW:
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return VERDICT_DONE;
}

/* It gets another number, unless an earlier try under this one may have happened. */
static void make_room(struct pd_gateway_writes *writes, struct pd_gateway_write *write)
{
    if (!write->has_number) {
        return;
    }
    struct pd_gateway_session *session = &writes->sessions[write->session];
    pd_session_width_refused(&session->width, write->sequence, session->next);
    if (!write->may_have_happened) {
        give_number_back(writes, write);
    }
}

bool pd_gateway_writes_answered(struct pd_gateway_writes *writes, uint64_t tag,
                                const struct pd_replica_answer_head *answer, uint64_t now_ns,
                                uint64_t *correlation_out, enum pd_replica_outcome *outcome_out)
{
    if ((tag & TAG_SESSION) != 0) {
        session_answered(writes, tag, answer, now_ns);
        return false;
    }
    struct pd_gateway_write *write = find(writes, tag);
    if (write == NULL) {
        return false;
    }
    switch (judge(answer)) {
    case VERDICT_AGAIN:
        return pause_or_end(writes, write, answer->outcome, now_ns, correlation_out, outcome_out);
    case VERDICT_NO_ROOM:
        make_room(writes, write);
        return pause_or_end(writes, write, answer->outcome, now_ns, correlation_out, outcome_out);
    case VERDICT_UNKNOWN_AGAIN:
        write->may_have_happened = true;
        return pause_or_end(writes, write, PD_REPLICA_UNKNOWN, now_ns, correlation_out,
                            outcome_out);
    case VERDICT_SESSION_GONE:
        /* Refused, not applied; but an earlier try, while there still was a session, may have
         * been. */
        if (write->has_number) {
            close_session(&writes->sessions[write->session]);
        }
        give_number_back(writes, write);
        if (!write->may_have_happened) {
            return pause_or_end(writes, write, PD_REPLICA_NOT_READY, now_ns, correlation_out,
                                outcome_out);
        }
        *outcome_out = PD_REPLICA_UNKNOWN;
        break;
    case VERDICT_DONE:
        if (answer->outcome != PD_REPLICA_OK && write->may_have_happened) {
            /* This try was refused for good; one before it may have been taken. */
            return pause_or_end(writes, write, PD_REPLICA_UNKNOWN, now_ns, correlation_out,
                                outcome_out);
        }
        *outcome_out = answer->outcome;
        if (write->has_number) {
            pd_session_width_answered(&writes->sessions[write->session].width);
        }
        break;
    }
    *correlation_out = write->correlation;
    release(writes, write);
    return true;
}

bool pd_gateway_writes_expired(struct pd_gateway_writes *writes, uint64_t now_ns,
                               uint64_t *correlation_out, enum pd_replica_outcome *outcome_out)
{
    struct pd_gateway_write *write = first_of(&writes->waiting);
    if (write == NULL || write->deadline_ns > now_ns) {
        write = first_of(&writes->pausing); /* what the node does not take is not answered */
    }
    if (write == NULL || write->deadline_ns > now_ns) {
        return false;
    }
    *correlation_out = write->correlation;
    *outcome_out = write->may_have_happened ? PD_REPLICA_UNKNOWN : PD_REPLICA_NOT_READY;
    release(writes, write);
    return true;
}

bool pd_gateway_writes_are_crowded(const struct pd_gateway_writes *writes)
{
    return writes->is_crowded;
}

uint64_t pd_gateway_writes_deadline_ns(const struct pd_gateway_writes *writes)
{
    uint64_t deadline = UINT64_MAX;
    const struct pd_gateway_write *write = first_of(&writes->pausing);
    if (write != NULL) {
        deadline = write->retry_ns;
    }
    write = first_of(&writes->waiting);
    if (write != NULL && write->deadline_ns < deadline) {
        deadline = write->deadline_ns;
    }
    for (uint32_t i = 0; i < writes->config.sessions_max; i++) {
        const struct pd_gateway_session *session = &writes->sessions[i];
        if (session->state == PD_GATEWAY_SESSION_WANTED && session->retry_ns < deadline) {
            deadline = session->retry_ns;
        }
    }
    return deadline;
}
