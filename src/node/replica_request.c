#include "node/replica_request.h"

#include "base/bytes.h"
#include "kv/command.h"

const char *pd_replica_outcome_text(enum pd_replica_outcome outcome)
{
    switch (outcome) {
    case PD_REPLICA_OK:
        return "ok";
    case PD_REPLICA_NOT_LEADER:
        return "this node does not lead";
    case PD_REPLICA_NOT_READY:
        return "no leader is ready yet";
    case PD_REPLICA_BUSY:
        return "busy: a limit is reached, try again";
    case PD_REPLICA_DISK_LOW:
        return "the leader's disk is nearly full";
    case PD_REPLICA_DROPPED:
        return "another entry took its place: it was not done";
    case PD_REPLICA_UNKNOWN:
        return "nobody knows whether it was done";
    case PD_REPLICA_INVALID:
        return "the request can never be accepted";
    case PD_REPLICA_CANCELLED:
        return "cancelled";
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return "an unknown outcome";
}

void pd_replica_request_put_head(uint8_t *bytes, const struct pd_replica_request_head *head)
{
    bytes[0] = (uint8_t)head->kind;
    bytes[1] = (uint8_t)head->flags;
    pd_put_u64(bytes + 2, head->session);
    pd_put_u64(bytes + 10, head->sequence);
    pd_put_u64(bytes + 18, head->low);
    pd_put_u64(bytes + 26, head->number);
}

enum pd_status pd_replica_request_decode(struct pd_span bytes,
                                         struct pd_replica_request_head *head_out)
{
    if (bytes.size < PD_REPLICA_REQUEST_HEAD_SIZE || bytes.bytes[0] < PD_REPLICA_REQUEST_WRITE ||
        bytes.bytes[0] > PD_REPLICA_REQUEST_HEARD ||
        bytes.bytes[1] > PD_REPLICA_REQUEST_SERIALIZABLE) {
        return PD_ERR_CORRUPT;
    }
    *head_out =
        (struct pd_replica_request_head){.kind = (enum pd_replica_request_kind)bytes.bytes[0],
                                         .flags = bytes.bytes[1],
                                         .session = pd_get_u64(bytes.bytes + 2),
                                         .sequence = pd_get_u64(bytes.bytes + 10),
                                         .low = pd_get_u64(bytes.bytes + 18),
                                         .number = pd_get_u64(bytes.bytes + 26),
                                         .body = {bytes.bytes + PD_REPLICA_REQUEST_HEAD_SIZE,
                                                  bytes.size - PD_REPLICA_REQUEST_HEAD_SIZE}};
    return PD_OK;
}

void pd_replica_answer_put_head(uint8_t *bytes, const struct pd_replica_answer_head *head)
{
    bytes[0] = (uint8_t)head->outcome;
    bytes[1] = 0;
    pd_put_u64(bytes + 2, head->leader);
    pd_put_u64(bytes + 10, head->term);
}

enum pd_status pd_replica_answer_decode(struct pd_span bytes,
                                        struct pd_replica_answer_head *head_out)
{
    if (bytes.size < PD_REPLICA_ANSWER_HEAD_SIZE || bytes.bytes[0] >= PD_REPLICA_OUTCOME_COUNT ||
        bytes.bytes[1] != 0) {
        return PD_ERR_CORRUPT;
    }
    *head_out = (struct pd_replica_answer_head){.outcome = (enum pd_replica_outcome)bytes.bytes[0],
                                                .leader = pd_get_u64(bytes.bytes + 2),
                                                .term = pd_get_u64(bytes.bytes + 10),
                                                .body = {bytes.bytes + PD_REPLICA_ANSWER_HEAD_SIZE,
                                                         bytes.size - PD_REPLICA_ANSWER_HEAD_SIZE}};
    return PD_OK;
}

/* A command's kind is its first byte: every kind is below 128, where a varint has one byte. */
bool pd_replica_command_is_clients(struct pd_span command)
{
    uint8_t kind = command.size > 0 ? command.bytes[0] : PD_KV_MEMBER_PUT;
    return kind == PD_KV_OPS || kind == PD_KV_COMPACT || kind == PD_KV_LEASE_GRANT ||
           kind == PD_KV_LEASE_REVOKE || kind == PD_KV_LEASE_KEEPALIVE ||
           kind == PD_KV_SESSION_OPEN || kind == PD_KV_SESSION_CLOSE ||
           kind == PD_KV_SESSION_KEEPALIVE;
}
