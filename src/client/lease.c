#include "base/alloc.h"
#include "client/internal.h"

#define UNREADABLE "the node's answer cannot be read: is it of another version?"

static void give(int64_t *out, int64_t value)
{
    if (out != NULL) {
        *out = value;
    }
}

static enum pando_status write_lease(struct pando_client *client,
                                     const struct pd_kv_command *command, bool frees_space,
                                     struct pd_kv_answer_head *head_out,
                                     struct pd_kv_reader *reader_out)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_command_encode(&writer, command);
    return pd_client_write(client, (struct pd_span){room, writer.size}, frees_space, head_out,
                           reader_out);
}

/* Id and time to live of a LEASE answer. */
static enum pando_status take_lease(struct pando_client *client, struct pd_kv_reader *reader,
                                    int64_t *id_out, int64_t *ttl_s_out)
{
    int64_t id = pd_kv_answer_number(reader);
    int64_t ttl_s = pd_kv_answer_number(reader);
    if (reader->is_bad) {
        return pd_client_fail(client, PANDO_PROTOCOL, UNREADABLE);
    }
    give(id_out, id);
    give(ttl_s_out, ttl_s);
    return PANDO_OK;
}

enum pando_status pando_lease_grant(struct pando_client *client, int64_t ttl_s, int64_t id,
                                    int64_t *id_out, int64_t *ttl_s_out)
{
    const struct pd_kv_command command = {.kind = PD_KV_LEASE_GRANT, .id = id, .ttl_s = ttl_s};
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    if (ttl_s <= 0 || id < 0) {
        return pd_client_fail(client, PANDO_INVALID, "a lease lives a second at least");
    }
    enum pando_status status = write_lease(client, &command, false, &head, &reader);
    return status == PANDO_OK ? take_lease(client, &reader, id_out, ttl_s_out) : status;
}

enum pando_status pando_lease_revoke(struct pando_client *client, int64_t id, int64_t *revision_out)
{
    const struct pd_kv_command command = {.kind = PD_KV_LEASE_REVOKE, .id = id};
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    enum pando_status status = write_lease(client, &command, true, &head, &reader);
    if (status == PANDO_OK) {
        give(revision_out, head.revision);
    }
    return status;
}

/* Twice does no harm, so it needs no session. */
enum pando_status pando_lease_keep_alive(struct pando_client *client, int64_t id,
                                         int64_t *ttl_s_out)
{
    const struct pd_kv_command command = {.kind = PD_KV_LEASE_KEEPALIVE, .id = id};
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    int64_t ttl_s = 0;
    pd_kv_command_encode(&writer, &command);
    enum pd_status kept = pd_node_client_write_harmless(
        &client->node, (struct pd_span){room, writer.size}, &head, &reader);
    enum pando_status status = pd_client_status(&client->node, kept, &head, false);
    if (status == PANDO_OK) {
        status = take_lease(client, &reader, NULL, &ttl_s);
    }
    if (status == PANDO_OK && ttl_s <= 0) {
        return pd_client_fail(client, PANDO_NOT_FOUND, "there is no such lease");
    }
    if (status == PANDO_OK) {
        give(ttl_s_out, ttl_s);
    }
    return status;
}

/* A read without a command; *reader_out stands behind the head. */
static enum pando_status read_leases(struct pando_client *client, enum pd_replica_request_kind kind,
                                     int64_t id, struct pd_kv_answer_head *head_out,
                                     struct pd_kv_reader *reader_out)
{
    const struct pd_replica_request_head request = {.kind = kind, .number = (uint64_t)id};
    *head_out = (struct pd_kv_answer_head){.error = PD_KV_OK};
    enum pd_status status = pd_node_client_ask(&client->node, &request, head_out, reader_out);
    return pd_client_status(&client->node, status, head_out, false);
}

enum pando_status pando_lease_look(struct pando_client *client, int64_t id, int64_t *left_s_out,
                                   int64_t *granted_s_out, struct pando_result **result_out)
{
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    struct pd_kv_record key = {.version = 0};
    enum pando_status status = read_leases(client, PD_REPLICA_REQUEST_LEASE, id, &head, &reader);
    if (status != PANDO_OK) {
        return status;
    }
    (void)pd_kv_answer_number(&reader);
    int64_t left_s = pd_kv_answer_number(&reader);
    int64_t granted_s = pd_kv_answer_number(&reader);
    if (!reader.is_bad && left_s < 0) {
        return pd_client_fail(client, PANDO_NOT_FOUND, "there is no such lease");
    }
    struct pando_result *result = pd_client_result_new(&reader, head.revision);
    bool has_room = result != NULL;
    while (has_room && pd_kv_answer_key(&reader, &key.key)) {
        has_room = pd_client_add_record(result, &key);
    }
    if (!has_room) {
        pando_result_free(result);
        return pd_client_fail(client, PANDO_NO_MEMORY, "no memory for the answer");
    }
    if (reader.is_bad) {
        pando_result_free(result);
        return pd_client_fail(client, PANDO_PROTOCOL, UNREADABLE);
    }
    result->total = (int64_t)result->count;
    give(left_s_out, left_s);
    give(granted_s_out, granted_s);
    if (result_out != NULL) {
        *result_out = result;
    } else {
        pando_result_free(result);
    }
    return PANDO_OK;
}

enum pando_status pando_lease_list(struct pando_client *client, int64_t *ids, size_t ids_max,
                                   size_t *count_out)
{
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    int64_t id = 0;
    size_t count = 0;
    enum pando_status status = read_leases(client, PD_REPLICA_REQUEST_LEASES, 0, &head, &reader);
    if (status != PANDO_OK) {
        return status;
    }
    for (; pd_kv_answer_id(&reader, &id); count++) {
        if (count < ids_max) {
            ids[count] = id;
        }
    }
    if (reader.is_bad) {
        return pd_client_fail(client, PANDO_PROTOCOL, UNREADABLE);
    }
    *count_out = count;
    return PANDO_OK;
}
