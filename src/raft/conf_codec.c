/* The codec of configuration changes in entries. V1: type, node, context. V2: transition, count,
 * then type and node of each, context; an empty entry is the empty change, which leaves a joint
 * configuration. */
#include <string.h>

#include "base/bytes.h"
#include "raft/conf_change.h"

#define SINGLE_SIZE 9u

enum pd_status pd_raft_conf_change_encode(const struct pd_raft_conf_change *change, bool is_v1,
                                          uint8_t *bytes, size_t size_max, size_t *size_out)
{
    if (change->count > PD_RAFT_MEMBERS_MAX || (is_v1 && change->count != 1) ||
        (is_v1 && change->transition != PD_RAFT_TRANSITION_AUTO)) {
        return PD_ERR_INVALID;
    }
    *size_out = 0;
    if (!is_v1 && change->count == 0 && change->context.size == 0 &&
        change->transition == PD_RAFT_TRANSITION_AUTO) {
        return PD_OK;
    }
    size_t head = is_v1 ? 0 : 2;
    size_t fixed = head + SINGLE_SIZE * change->count;
    if (fixed > size_max || change->context.size > size_max - fixed) {
        return PD_ERR_RANGE;
    }
    if (!is_v1) {
        bytes[0] = (uint8_t)change->transition;
        bytes[1] = (uint8_t)change->count;
    }
    for (uint32_t i = 0; i < change->count; i++) {
        uint8_t *at = bytes + head + (size_t)SINGLE_SIZE * i;
        at[0] = (uint8_t)change->changes[i].type;
        pd_put_u64(at + 1, change->changes[i].node);
    }
    if (change->context.size > 0) {
        memcpy(bytes + fixed, change->context.bytes, change->context.size);
    }
    *size_out = fixed + change->context.size;
    return PD_OK;
}

static enum pd_status decode_single(const uint8_t *at, struct pd_raft_conf_change_single *single)
{
    if (at[0] > PD_RAFT_CONF_ADD_LEARNER) {
        return PD_ERR_CORRUPT;
    }
    single->type = (enum pd_raft_conf_change_type)at[0];
    single->node = pd_get_u64(at + 1);
    return PD_OK;
}

enum pd_status pd_raft_conf_change_decode(enum pd_raft_entry_type type, struct pd_span data,
                                          struct pd_raft_conf_change *change_out)
{
    memset(change_out, 0, sizeof *change_out);
    if (type == PD_RAFT_ENTRY_NORMAL) {
        return PD_ERR_CORRUPT;
    }
    size_t head = 0;
    uint32_t count = 1;
    if (type == PD_RAFT_ENTRY_CONF_CHANGE_V2) {
        if (data.size == 0) {
            return PD_OK;
        }
        if (data.size < 2 || data.bytes[0] > PD_RAFT_TRANSITION_JOINT_EXPLICIT ||
            data.bytes[1] > PD_RAFT_MEMBERS_MAX) {
            return PD_ERR_CORRUPT;
        }
        change_out->transition = (enum pd_raft_conf_transition)data.bytes[0];
        count = data.bytes[1];
        head = 2;
    }
    size_t fixed = head + (size_t)SINGLE_SIZE * count;
    if (data.size < fixed) {
        return PD_ERR_CORRUPT;
    }
    for (uint32_t i = 0; i < count; i++) {
        enum pd_status status =
            decode_single(data.bytes + head + (size_t)SINGLE_SIZE * i, &change_out->changes[i]);
        if (status != PD_OK) {
            return status;
        }
    }
    change_out->count = count;
    change_out->context = (struct pd_span){.bytes = data.bytes + fixed, .size = data.size - fixed};
    return PD_OK;
}
