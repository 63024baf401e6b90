#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "client/internal.h"

#define CLOSE_MS 500
#define UNREADABLE "the node's answer cannot be read: is it of another version?"

/* -- Statuses and bytes ------------------------------------------------------------------------ */

const char *pando_status_text(enum pando_status status)
{
    switch (status) {
    case PANDO_OK:
        return "done";
    case PANDO_INVALID:
        return "the request can never be accepted";
    case PANDO_NOT_FOUND:
        return "no such key or lease";
    case PANDO_EXISTS:
        return "it exists already";
    case PANDO_COMPACTED:
        return "the revision is compacted";
    case PANDO_REFUSED:
        return "refused";
    case PANDO_UNREACHABLE:
        return "no node can be reached";
    case PANDO_BUSY:
        return "the cluster is busy, or has no leader";
    case PANDO_NO_SPACE:
        return "the leader's disk is nearly full";
    case PANDO_TIMEOUT:
        return "no answer in time";
    case PANDO_UNKNOWN:
        return "it may or may not have happened";
    case PANDO_PROTOCOL:
        return "not Pando's protocol, or another version of it";
    case PANDO_SYSTEM:
        return "the system refuses";
    case PANDO_NO_MEMORY:
        return "no memory";
    }
    return "unknown status";
}

const char *pando_version(void)
{
    return PD_CLIENT_VERSION;
}

struct pando_bytes pando_text(const char *text)
{
    return (struct pando_bytes){text, strlen(text)};
}

struct pando_keys pando_key(struct pando_bytes key)
{
    return (struct pando_keys){.kind = PANDO_KEY, .key = key};
}

struct pando_keys pando_prefix(struct pando_bytes prefix)
{
    return (struct pando_keys){.kind = PANDO_PREFIX, .key = prefix};
}

struct pd_span pd_client_span(struct pando_bytes bytes)
{
    return (struct pd_span){bytes.data, bytes.size};
}

/* Behind all that begin with `prefix`: its last byte that can be raised is; "\0" is the end of all
 * keys. */
static struct pd_span prefix_end(struct pd_span prefix, uint8_t *room)
{
    size_t size = prefix.size;
    while (size > 0 && prefix.bytes[size - 1] == 0xff) {
        size--;
    }
    if (size == 0) {
        room[0] = 0;
        return (struct pd_span){room, 1};
    }
    memcpy(room, prefix.bytes, size);
    room[size - 1]++;
    return (struct pd_span){room, size};
}

bool pd_client_range(const struct pando_keys *keys, uint8_t *room, struct pd_span *key_out,
                     struct pd_span *end_out)
{
    static const uint8_t zero[1] = {0};
    struct pd_span key = pd_client_span(keys->key);
    bool is_sound = true;
    *end_out = (struct pd_span){NULL, 0};
    switch (keys->kind) {
    case PANDO_KEY:
        is_sound = key.size > 0;
        break;
    case PANDO_PREFIX:
        *end_out = prefix_end(key, room);
        break;
    case PANDO_RANGE:
        *end_out = pd_client_span(keys->end);
        is_sound = keys->end.size > 0;
        break;
    case PANDO_FROM:
        *end_out = (struct pd_span){zero, 1};
        break;
    default:
        is_sound = false;
        break;
    }
    *key_out = key.size > 0 ? key : (struct pd_span){zero, 1};
    return is_sound;
}

/* -- Clients ----------------------------------------------------------------------------------- */

static bool copy_text(const char **copy_out, const char *text)
{
    *copy_out = text == NULL ? NULL : pd_alloc_text(text, strlen(text));
    return text == NULL || *copy_out != NULL;
}

static void free_text(const char **text)
{
    union {
        const char *text;
        void *block;
    } any = {.text = *text};
    pd_free(any.block);
    *text = NULL;
}

void pd_client_config_free(struct pd_client_config *config)
{
    for (size_t i = 0; i < config->endpoint_count; i++) {
        pd_free(config->endpoints[i]);
    }
    config->endpoint_count = 0;
    free_text(&config->link.ca_file);
    free_text(&config->link.cert_file);
    free_text(&config->link.key_file);
    free_text(&config->link.server_name);
}

enum pd_status pd_client_config_copy(struct pd_client_config *config,
                                     const struct pd_client_config *from)
{
    *config = (struct pd_client_config){.timeout_ms = from->timeout_ms};
    bool is_whole = copy_text(&config->link.ca_file, from->link.ca_file) &&
                    copy_text(&config->link.cert_file, from->link.cert_file) &&
                    copy_text(&config->link.key_file, from->link.key_file) &&
                    copy_text(&config->link.server_name, from->link.server_name);
    while (is_whole && config->endpoint_count < from->endpoint_count) {
        const char *text = from->endpoints[config->endpoint_count];
        char *copy = pd_alloc_text(text, strlen(text));
        is_whole = copy != NULL;
        if (is_whole) {
            config->endpoints[config->endpoint_count++] = copy;
        }
    }
    if (!is_whole) {
        pd_client_config_free(config);
        return PD_ERR_NO_MEMORY;
    }
    return PD_OK;
}

void pd_client_node_init(struct pd_node_client *node, const struct pd_client_config *config)
{
    /* What points to texts that may be changed serves as what points to texts that may not. */
    union {
        char *const *owned;
        const char *const *borrowed;
    } endpoints = {.owned = config->endpoints};
    pd_node_client_init_endpoints(node, endpoints.borrowed, config->endpoint_count, &config->link,
                                  config->timeout_ms);
}

enum pando_status pd_client_fail(struct pando_client *client, enum pando_status status,
                                 const char *text)
{
    (void)snprintf(client->node.text, sizeof client->node.text, "%s", text);
    return status;
}

static enum pando_status check_config(struct pando_client *client,
                                      const struct pando_config *config)
{
    char text[PD_NODE_TEXT_MAX];
    struct pd_link_endpoint parsed;
    if (config->config_size != sizeof *config) {
        return pd_client_fail(client, PANDO_INVALID,
                              "the configuration is of another version of this library");
    }
    if (config->endpoint_count == 0 || config->endpoint_count > PANDO_ENDPOINTS_MAX) {
        (void)snprintf(text, sizeof text, "%zu endpoints: one at least, and %d at most",
                       config->endpoint_count, PANDO_ENDPOINTS_MAX);
        return pd_client_fail(client, PANDO_INVALID, text);
    }
    for (size_t i = 0; i < config->endpoint_count; i++) {
        if (config->endpoints[i] == NULL ||
            !pd_link_endpoint_parse(config->endpoints[i], &parsed)) {
            (void)snprintf(text, sizeof text,
                           "'%.200s' is no endpoint: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT",
                           config->endpoints[i] == NULL ? "" : config->endpoints[i]);
            return pd_client_fail(client, PANDO_INVALID, text);
        }
    }
    if ((config->cert_file == NULL) != (config->key_file == NULL)) {
        return pd_client_fail(client, PANDO_INVALID, "a certificate and its key go together");
    }
    return PANDO_OK;
}

enum pando_status pando_client_open(const struct pando_config *config,
                                    struct pando_client **client_out)
{
    struct pando_client *client = pd_alloc_zeroed(1, sizeof *client);
    *client_out = client;
    if (client == NULL) {
        return PANDO_NO_MEMORY;
    }
    pd_link_init(&client->node.link);
    enum pando_status status = check_config(client, config);
    if (status != PANDO_OK) {
        return status;
    }
    struct pd_client_config wanted = {.endpoint_count = config->endpoint_count,
                                      .link = {.ca_file = config->ca_file,
                                               .cert_file = config->cert_file,
                                               .key_file = config->key_file,
                                               .server_name = config->server_name},
                                      .timeout_ms = config->timeout_ms == 0 ? PANDO_TIMEOUT_MS
                                                                            : config->timeout_ms};
    for (size_t i = 0; i < config->endpoint_count; i++) {
        union {
            const char *text;
            char *only_read;
        } endpoint = {.text = config->endpoints[i]};
        wanted.endpoints[i] = endpoint.only_read;
    }
    if (pd_client_config_copy(&client->config, &wanted) != PD_OK) {
        pd_free(client);
        *client_out = NULL;
        return PANDO_NO_MEMORY;
    }
    pd_client_node_init(&client->node, &client->config);
    return PANDO_OK;
}

void pando_client_close(struct pando_client *client)
{
    if (client == NULL) {
        return;
    }
    if (pd_node_client_is_connected(&client->node)) {
        client->node.timeout_ms = CLOSE_MS;
        client->node.is_hasty = true;
        pd_node_client_close_session(&client->node);
    }
    pd_node_client_deinit(&client->node);
    pd_client_config_free(&client->config);
    pd_free(client);
}

void pando_client_set_timeout(struct pando_client *client, uint64_t timeout_ms)
{
    client->config.timeout_ms = timeout_ms == 0 ? PANDO_TIMEOUT_MS : timeout_ms;
    client->node.timeout_ms = client->config.timeout_ms;
}

const char *pando_client_message(const struct pando_client *client)
{
    return client == NULL ? "no memory" : client->node.text;
}

const char *pando_client_endpoint(const struct pando_client *client)
{
    return pd_node_client_is_connected(&client->node)
               ? client->node.endpoints[client->node.endpoint]
               : NULL;
}

/* -- Calls ------------------------------------------------------------------------------------- */

static enum pando_status status_of_store(enum pd_kv_error error)
{
    if (error == PD_KV_ERR_LEASE_NOT_FOUND || error == PD_KV_ERR_KEY_NOT_FOUND) {
        return PANDO_NOT_FOUND;
    }
    if (error == PD_KV_ERR_LEASE_EXISTS) {
        return PANDO_EXISTS;
    }
    if (error == PD_KV_ERR_COMPACTED) {
        return PANDO_COMPACTED;
    }
    bool is_invalid = error == PD_KV_ERR_EMPTY_KEY || error == PD_KV_ERR_FUTURE_REVISION ||
                      error == PD_KV_ERR_TOO_LARGE || error == PD_KV_ERR_LEASE_TTL_TOO_LARGE ||
                      error == PD_KV_ERR_INVALID || error == PD_KV_ERR_MALFORMED;
    return is_invalid ? PANDO_INVALID : PANDO_REFUSED;
}

/* Of a refusal by the node, or by its certificate. */
static enum pando_status status_of_outcome(enum pd_replica_outcome outcome)
{
    switch (outcome) {
    case PD_REPLICA_NOT_LEADER:
    case PD_REPLICA_NOT_READY:
    case PD_REPLICA_BUSY:
    case PD_REPLICA_DROPPED:
        return PANDO_BUSY;
    case PD_REPLICA_DISK_LOW:
        return PANDO_NO_SPACE;
    case PD_REPLICA_UNKNOWN:
        return PANDO_UNKNOWN;
    case PD_REPLICA_OK:
    case PD_REPLICA_INVALID:
    case PD_REPLICA_CANCELLED:
    case PD_REPLICA_OUTCOME_COUNT:
        break;
    }
    return PANDO_REFUSED;
}

static enum pando_status status_of(const struct pd_node_client *node, enum pd_status status,
                                   const struct pd_kv_answer_head *head)
{
    switch (status) {
    case PD_OK:
        return PANDO_OK;
    case PD_ERR_DENIED:
        return node->outcome == PD_REPLICA_OK && head != NULL ? status_of_store(head->error)
                                                              : status_of_outcome(node->outcome);
    case PD_ERR_CLOSED:
        return PANDO_UNREACHABLE;
    case PD_ERR_TIMEOUT:
        return node->was_sent ? PANDO_TIMEOUT : PANDO_UNREACHABLE;
    case PD_ERR_CORRUPT:
        return PANDO_PROTOCOL;
    case PD_ERR_NO_MEMORY:
        return PANDO_NO_MEMORY;
    case PD_ERR_INVALID:
        return PANDO_INVALID;
    case PD_ERR_IO:
    case PD_ERR_FULL:
    case PD_ERR_UNKNOWN:
    case PD_ERR_EXISTS:
    case PD_ERR_RANGE:
    case PD_ERR_UNSUPPORTED:
        break;
    }
    return PANDO_SYSTEM;
}

enum pando_status pd_client_status(const struct pd_node_client *node, enum pd_status status,
                                   const struct pd_kv_answer_head *head, bool is_write)
{
    enum pando_status told = status_of(node, status, head);
    bool is_answer = status == PD_OK || (status == PD_ERR_DENIED && node->outcome == PD_REPLICA_OK);
    /* A refusal of the last try says nothing about those before it. */
    return is_write && node->is_uncertain && !is_answer && told != PANDO_TIMEOUT ? PANDO_UNKNOWN
                                                                                 : told;
}

enum pando_status pd_client_write(struct pando_client *client, struct pd_span command,
                                  bool frees_space, struct pd_kv_answer_head *head_out,
                                  struct pd_kv_reader *reader_out)
{
    struct pd_node_client *node = &client->node;
    for (unsigned round = 0;; round++) {
        if (node->session == 0) {
            enum pd_status opened = pd_node_client_open_session(node);
            bool goes_without = frees_space && node->outcome == PD_REPLICA_DISK_LOW;
            if (opened != PD_OK && !goes_without) {
                return pd_client_status(node, opened, NULL, false);
            }
        }
        *head_out = (struct pd_kv_answer_head){.error = PD_KV_OK};
        enum pd_status status = pd_node_client_write(node, command, head_out, reader_out);
        bool is_expired = status == PD_ERR_DENIED && node->outcome == PD_REPLICA_OK &&
                          head_out->error == PD_KV_ERR_SESSION_UNKNOWN;
        if (is_expired) {
            node->session = 0; /* it was idle for too long: nothing was applied now */
        }
        if (!is_expired) {
            return pd_client_status(node, status, head_out, true);
        }
        if (node->is_uncertain) {
            return pd_client_fail(client, PANDO_UNKNOWN,
                                  "the session has ended before an answer came: it may or may not "
                                  "have happened. Look before doing it again");
        }
        if (round > 0) {
            return PANDO_REFUSED;
        }
    }
}

/* Room for a command of so many bytes of keys and values; NULL: the status is told. */
static uint8_t *command_room(struct pando_client *client, size_t bytes, struct pd_kv_writer *writer,
                             enum pando_status *status_out)
{
    if (bytes > PD_CLIENT_REQUEST_MAX) {
        *status_out = pd_client_fail(client, PANDO_INVALID, "key and value are too large");
        return NULL;
    }
    uint8_t *room = pd_alloc(bytes + 1024);
    *writer = (struct pd_kv_writer){.bytes = room, .bytes_max = bytes + 1024};
    *status_out = room == NULL ? pd_client_fail(client, PANDO_NO_MEMORY, "no memory") : PANDO_OK;
    return room;
}

static struct pd_span written(const struct pd_kv_writer *writer)
{
    return (struct pd_span){writer->bytes, writer->size};
}

static void give(int64_t *out, int64_t value)
{
    if (out != NULL) {
        *out = value;
    }
}

enum pando_status pando_put(struct pando_client *client, struct pando_bytes key,
                            struct pando_bytes value, int64_t lease, int64_t *revision_out)
{
    struct pd_kv_writer writer;
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    enum pando_status status;
    if (key.size > PD_CLIENT_REQUEST_MAX || value.size > PD_CLIENT_REQUEST_MAX) {
        return pd_client_fail(client, PANDO_INVALID, "key and value are too large");
    }
    uint8_t *room = command_room(client, key.size + value.size, &writer, &status);
    if (room == NULL) {
        return status;
    }
    pd_kv_encode_put(&writer, &(struct pd_kv_put){.key = pd_client_span(key),
                                                  .value = pd_client_span(value),
                                                  .lease = lease});
    status = pd_client_write(client, written(&writer), false, &head, &reader);
    pd_free(room);
    if (status == PANDO_OK) {
        give(revision_out, head.revision);
    }
    return status;
}

/* Room for the keys' range beside that of the command. */
static uint8_t *keys_room(struct pando_client *client, const struct pando_keys *keys,
                          struct pd_kv_writer *writer, struct pd_span *key, struct pd_span *end,
                          enum pando_status *status_out)
{
    if (keys->key.size > PD_CLIENT_REQUEST_MAX / 4 || keys->end.size > PD_CLIENT_REQUEST_MAX / 4) {
        *status_out = pd_client_fail(client, PANDO_INVALID, "the key is too large");
        return NULL;
    }
    size_t range_size = keys->key.size + 1;
    size_t command_size = 2 * range_size + keys->end.size;
    uint8_t *room = command_room(client, command_size + range_size, writer, status_out);
    if (room == NULL) {
        return NULL;
    }
    writer->bytes_max -= range_size;
    if (!pd_client_range(keys, room + writer->bytes_max, key, end)) {
        pd_free(room);
        *status_out = pd_client_fail(client, PANDO_INVALID, "a key or the end of a range is empty");
        return NULL;
    }
    return room;
}

enum pando_status pando_delete(struct pando_client *client, const struct pando_keys *keys,
                               int64_t *deleted_out, int64_t *revision_out)
{
    struct pd_kv_delete wanted = {.prev_kv = false};
    struct pd_kv_writer writer;
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    struct pd_kv_record record;
    enum pando_status status;
    uint8_t *room = keys_room(client, keys, &writer, &wanted.key, &wanted.range_end, &status);
    if (room == NULL) {
        return status;
    }
    pd_kv_encode_delete(&writer, &wanted);
    status = pd_client_write(client, written(&writer), true, &head, &reader);
    pd_free(room);
    if (status == PANDO_OK) {
        while (pd_kv_answer_record(&reader, &record)) {
        }
        give(deleted_out, pd_kv_answer_delete_tail(&reader));
        give(revision_out, head.revision);
        status = reader.is_bad ? pd_client_fail(client, PANDO_PROTOCOL, UNREADABLE) : PANDO_OK;
    }
    return status;
}

enum pando_status pando_get(struct pando_client *client, const struct pando_keys *keys,
                            int64_t revision, uint64_t limit, unsigned flags,
                            struct pando_result **result_out)
{
    struct pd_kv_range wanted = {.revision = revision,
                                 .limit = limit > INT64_MAX ? 0 : (int64_t)limit,
                                 .keys_only = (flags & PANDO_KEYS_ONLY) != 0};
    struct pd_kv_writer writer;
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    enum pando_status status;
    bool more = false;
    uint8_t *room = keys_room(client, keys, &writer, &wanted.key, &wanted.range_end, &status);
    if (room == NULL) {
        return status;
    }
    pd_kv_encode_range(&writer, &wanted);
    enum pd_status read = pd_node_client_read(&client->node, written(&writer),
                                              (flags & PANDO_SERIALIZABLE) != 0, &head, &reader);
    pd_free(room);
    status = pd_client_status(&client->node, read, &head, false);
    if (status != PANDO_OK) {
        return status;
    }
    struct pando_result *result = pd_client_result_new(&reader, head.revision);
    if (result == NULL || !pd_client_take_records(result, &reader)) {
        pando_result_free(result);
        return pd_client_fail(client, PANDO_NO_MEMORY, "no memory for the answer");
    }
    pd_kv_answer_range_tail(&reader, &more, &result->total);
    if (reader.is_bad) {
        pando_result_free(result);
        return pd_client_fail(client, PANDO_PROTOCOL, UNREADABLE);
    }
    *result_out = result;
    return PANDO_OK;
}

enum pando_status pando_compact(struct pando_client *client, int64_t revision,
                                int64_t *revision_out)
{
    uint8_t room[64];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    const struct pd_kv_command command = {.kind = PD_KV_COMPACT, .revision = revision};
    struct pd_kv_answer_head head = {.error = PD_KV_OK};
    struct pd_kv_reader reader;
    pd_kv_command_encode(&writer, &command);
    enum pando_status status = pd_client_write(client, written(&writer), true, &head, &reader);
    if (status == PANDO_OK) {
        give(revision_out, head.revision);
    }
    return status;
}

/* -- Results ----------------------------------------------------------------------------------- */

struct pando_record pd_client_record(const struct pd_kv_record *record)
{
    return (struct pando_record){.key = {record->key.bytes, record->key.size},
                                 .value = {record->value.bytes, record->value.size},
                                 .create_revision = record->create_revision,
                                 .mod_revision = record->mod_revision,
                                 .version = record->version,
                                 .lease = record->lease};
}

bool pd_client_add_record(struct pando_result *result, const struct pd_kv_record *record)
{
    if (result->count == result->capacity) {
        size_t capacity = result->capacity == 0 ? 8 : 2 * result->capacity;
        struct pando_record *grown =
            pd_realloc(result->records, capacity * sizeof *result->records);
        if (grown == NULL) {
            return false;
        }
        result->records = grown;
        result->capacity = capacity;
    }
    result->records[result->count++] = pd_client_record(record);
    return true;
}

bool pd_client_take_records(struct pando_result *result, struct pd_kv_reader *reader)
{
    struct pd_kv_record record;
    while (pd_kv_answer_record(reader, &record)) {
        if (!pd_client_add_record(result, &record)) {
            return false;
        }
    }
    return true;
}

struct pando_result *pd_client_result_new(struct pd_kv_reader *reader, int64_t revision)
{
    struct pando_result *result = pd_alloc_zeroed(1, sizeof *result);
    uint8_t *bytes = pd_alloc(reader->bytes.size + 1);
    if (result == NULL || bytes == NULL) {
        pd_free(result);
        pd_free(bytes);
        return NULL;
    }
    if (reader->bytes.size > 0) {
        memcpy(bytes, reader->bytes.bytes, reader->bytes.size);
    }
    reader->bytes.bytes = bytes;
    result->bytes = bytes;
    result->revision = revision;
    return result;
}

size_t pando_result_count(const struct pando_result *result)
{
    return result->count;
}

const struct pando_record *pando_result_record(const struct pando_result *result, size_t index)
{
    return index < result->count ? &result->records[index] : NULL;
}

int64_t pando_result_total(const struct pando_result *result)
{
    return result->total;
}

int64_t pando_result_revision(const struct pando_result *result)
{
    return result->revision;
}

void pando_result_free(struct pando_result *result)
{
    if (result != NULL) {
        pd_free(result->records);
        pd_free(result->bytes);
        pd_free(result);
    }
}
