#include "cli/slow_request.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "cli/node_log.h"

#define FIELDS_MAX 10u
#define NODE_TEXT_MAX 20u
#define NS_PER_MS 1e6

void pd_slow_request_key(const struct pd_replica_slow *slow, char text[PD_SLOW_REQUEST_KEY_MAX])
{
    size_t kept = slow->key_size < sizeof slow->key ? slow->key_size : sizeof slow->key;
    size_t size = 0;
    for (size_t i = 0; i < kept; i++) {
        uint8_t byte = slow->key[i];
        bool is_plain = byte > 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
        size +=
            (size_t)(is_plain
                         ? snprintf(text + size, PD_SLOW_REQUEST_KEY_MAX - size, "%c", byte)
                         : snprintf(text + size, PD_SLOW_REQUEST_KEY_MAX - size, "\\x%02x", byte));
    }
    (void)snprintf(text + size, PD_SLOW_REQUEST_KEY_MAX - size, "%s",
                   kept < slow->key_size ? "..." : "");
}

static double ms_of(uint64_t ns)
{
    return (double)ns / NS_PER_MS;
}

bool pd_slow_request_say(const struct pd_server_slow *slow)
{
    const struct pd_replica_slow *request = slow->request;
    struct pd_log_field fields[FIELDS_MAX];
    char key[PD_SLOW_REQUEST_KEY_MAX];
    char node[NODE_TEXT_MAX];
    size_t count = 0;
    pd_slow_request_key(request, key);
    (void)snprintf(node, sizeof node, "%016" PRIx64, slow->node != 0 ? slow->node : slow->leader);
    fields[count++] =
        (struct pd_log_field){.name = "what", .text = request->what, .is_quoted = true};
    if (request->key_size > 0) {
        fields[count++] = (struct pd_log_field){.name = "key", .text = key, .is_quoted = true};
    }
    fields[count++] = (struct pd_log_field){.name = "from", .text = slow->from};
    if (slow->node != 0 || slow->leader != 0) {
        fields[count++] =
            (struct pd_log_field){.name = slow->node != 0 ? "node" : "leader", .text = node};
    }
    fields[count++] = (struct pd_log_field){.name = "outcome",
                                            .text = pd_replica_outcome_text(request->outcome),
                                            .is_quoted = request->outcome != PD_REPLICA_OK};
    fields[count++] = (struct pd_log_field){.name = "total_ms", .number = ms_of(request->total_ns)};
    fields[count++] = (struct pd_log_field){.name = "queue_ms", .number = ms_of(request->queue_ns)};
    if (slow->is_forwarded) {
        fields[count++] =
            (struct pd_log_field){.name = "forward_ms", .number = ms_of(slow->forward_ns)};
    } else {
        fields[count++] =
            (struct pd_log_field){.name = "sync_ms", .number = ms_of(request->sync_ns)};
        fields[count++] =
            (struct pd_log_field){.name = "replicate_ms", .number = ms_of(request->replicate_ns)};
        fields[count++] =
            (struct pd_log_field){.name = "apply_ms", .number = ms_of(request->apply_ns)};
    }
    pd_assert(count <= FIELDS_MAX);
    return pd_node_log_fields(PD_LOG_WARNING, "slow request", fields, count);
}
