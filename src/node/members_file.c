#include "node/members_file.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"
#include "node/json_fields.h"
#include "node/members.h"

#define NEW_NAME PD_MEMBERS_FILE_NEW_NAME
#define FORMAT 1
#define BYTES_MAX (UINT32_C(1) << 20)
#define HEX_DIGITS (2 * PD_KV_MEMBER_KEY_SIZE)
#define SUM_SEED UINT64_C(0x706d656d62657273)

/* -- Reading ----------------------------------------------------------------------------------- */

/* Where texts are kept; NULL: no room is left, or the text is none. */
struct keeper {
    char *bytes;
    size_t size;
    size_t bytes_max;
};

static struct pd_span keep(struct keeper *keeper, const json_t *text)
{
    const char *from = json_string_value(text);
    size_t size = json_string_length(text);
    if (from == NULL || size > keeper->bytes_max - keeper->size) {
        return (struct pd_span){NULL, 0};
    }
    char *to = keeper->bytes + keeper->size;
    memcpy(to, from, size);
    keeper->size += size;
    return (struct pd_span){(const uint8_t *)to, size};
}

/* A row need not say its node's id; one that does is not of another key. */
static bool node_is_right(const json_t *object, uint64_t node)
{
    uint64_t told = 0;
    return json_object_get(object, "node") == NULL ||
           (pd_json_hex(object, "node", &told) && told == node);
}

static bool read_key(const json_t *object, uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    const char *text = json_string_value(json_object_get(object, "key"));
    if (text == NULL || strlen(text) != HEX_DIGITS ||
        strspn(text, "0123456789abcdef") != HEX_DIGITS) {
        return false;
    }
    for (uint32_t i = 0; i < PD_KV_MEMBER_KEY_SIZE; i++) {
        const char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        key[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static bool read_texts(struct keeper *keeper, const json_t *list, struct pd_span *texts,
                       uint32_t *count_out)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > PD_KV_MEMBER_ADDRESSES_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        texts[i] = keep(keeper, json_array_get(list, i));
        if (texts[i].size == 0) {
            return false;
        }
    }
    *count_out = (uint32_t)count;
    return true;
}

/* What a member may be is judged by its codec. */
static bool is_sound(const struct pd_kv_member *member)
{
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member back = {.node = member->node};
    pd_kv_member_encode(&writer, member);
    return !writer.is_full &&
           pd_kv_member_decode((struct pd_span){room, writer.size}, &back) == PD_OK &&
           pd_members_node_of(member->key) == member->node;
}

static bool read_member(struct keeper *keeper, const json_t *object, struct pd_kv_member *member)
{
    const char *role = json_string_value(json_object_get(object, "role"));
    if (role == NULL || !read_key(object, member->key)) {
        return false;
    }
    member->node = pd_members_node_of(member->key);
    member->role = strcmp(role, "worker") == 0 ? PD_KV_MEMBER_WORKER : PD_KV_MEMBER_VOTER;
    member->name = keep(keeper, json_object_get(object, "name"));
    return (member->role == PD_KV_MEMBER_WORKER || strcmp(role, "voter") == 0) &&
           node_is_right(object, member->node) &&
           read_texts(keeper, json_object_get(object, "peers"), member->peers,
                      &member->peer_count) &&
           read_texts(keeper, json_object_get(object, "clients"), member->clients,
                      &member->client_count) &&
           is_sound(member);
}

static uint64_t sum_of(const struct pd_members_file *file)
{
    uint64_t sum = pd_hash_u64(pd_hash_u64(SUM_SEED, file->cluster_id), file->index);
    for (uint32_t i = 0; i < file->count; i++) {
        uint8_t room[PD_KV_MEMBER_BYTES_MAX];
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
        pd_kv_member_encode(&writer, &file->members[i]);
        sum = pd_hash_bytes(pd_hash_u64(sum, file->members[i].node), room, writer.size);
    }
    return sum;
}

static int by_node(const void *a, const void *b)
{
    uint64_t left = ((const struct pd_kv_member *)a)->node;
    uint64_t right = ((const struct pd_kv_member *)b)->node;
    return left < right ? -1 : left > right;
}

/* NULL, or what is wrong. */
static const char *read_members(struct keeper *keeper, const json_t *list,
                                struct pd_members_file *file)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count == 0 || count > PD_MEMBERS_FILE_MAX) {
        return "\"members\" is no list of 1 to 31 members";
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_member(keeper, json_array_get(list, i), &file->members[i])) {
            return "a member of it is none: each has key, name, role, peers and clients";
        }
    }
    file->count = (uint32_t)count;
    qsort(file->members, count, sizeof file->members[0], by_node);
    for (size_t i = 1; i < count; i++) {
        if (file->members[i].node == file->members[i - 1].node) {
            return "it names the same key twice";
        }
    }
    return NULL;
}

static const char *const starts[] = {[PD_MEMBERS_START_NEW] = "new",
                                     [PD_MEMBERS_START_JOIN] = "join",
                                     [PD_MEMBERS_START_BEGUN] = "begun",
                                     [PD_MEMBERS_START_GATHER] = "gather",
                                     [PD_MEMBERS_START_WORKER] = "worker"};

static bool read_start(const char *text, enum pd_members_start *start_out)
{
    for (size_t i = 0; text != NULL && i < sizeof starts / sizeof starts[0]; i++) {
        if (strcmp(text, starts[i]) == 0) {
            *start_out = (enum pd_members_start)i;
            return true;
        }
    }
    return false;
}

/* A file without an index was written by hand, or at first, and has no sum. */
static bool read_index(const json_t *object, struct pd_members_file *file)
{
    const json_t *index = json_object_get(object, "index");
    uint64_t sum = 0;
    if (index == NULL) {
        return true;
    }
    file->index = (uint64_t)json_integer_value(index);
    return file->index > 0 && pd_json_hex(object, "sum", &sum) && sum == sum_of(file);
}

static const char *parse(const char *bytes, size_t size, struct pd_members_file *file)
{
    json_t *object = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    const char *start = json_string_value(json_object_get(object, "start"));
    struct keeper keeper = {.bytes = file->texts, .bytes_max = size};
    const char *wrong = NULL;
    if (object == NULL) {
        wrong = "it is no JSON";
    } else if (json_integer_value(json_object_get(object, "format")) != FORMAT) {
        wrong = "its format is another version's";
    } else if (!pd_json_hex(object, "cluster", &file->cluster_id) || file->cluster_id == 0) {
        wrong = "\"cluster\" is no id of a cluster";
    } else if (!read_start(start, &file->start)) {
        wrong = "\"start\" is not \"new\", \"join\", \"begun\" or \"gather\"";
    } else {
        wrong = read_members(&keeper, json_object_get(object, "members"), file);
    }
    if (wrong == NULL && !read_index(object, file)) {
        wrong = "its \"sum\" is not that of what it says";
    }
    json_decref(object);
    return wrong;
}

enum pd_status pd_members_file_read_as(struct pd_disk *folder, const char *name, char *text,
                                       size_t text_max, struct pd_members_file *file_out)
{
    struct pd_disk_file opened;
    uint64_t whole = 0;
    *file_out = (struct pd_members_file){0};
    text[0] = '\0';
    enum pd_status status = folder->ops->open(folder, name, &opened, &whole);
    if (status != PD_OK) {
        return status;
    }
    size_t size = 0;
    char *bytes = whole > BYTES_MAX ? NULL : pd_alloc((size_t)whole + 1);
    file_out->texts = whole > BYTES_MAX ? NULL : pd_alloc((size_t)whole + 1);
    const char *wrong = whole > BYTES_MAX ? "it is too large" : NULL;
    if (wrong == NULL && (bytes == NULL || file_out->texts == NULL)) {
        status = PD_ERR_NO_MEMORY;
    } else if (wrong == NULL) {
        status = folder->ops->read(folder, opened, 0, (uint8_t *)bytes, (size_t)whole, &size);
        wrong = status == PD_OK ? parse(bytes, size, file_out) : NULL;
    }
    folder->ops->close(folder, opened);
    pd_free(bytes);
    if (wrong != NULL) {
        (void)snprintf(text, text_max, "%s", wrong);
        status = PD_ERR_CORRUPT;
    }
    if (status != PD_OK) {
        pd_members_file_deinit(file_out);
    }
    return status;
}

enum pd_status pd_members_file_read(struct pd_disk *folder, char *text, size_t text_max,
                                    struct pd_members_file *file_out)
{
    return pd_members_file_read_as(folder, PD_MEMBERS_FILE_NAME, text, text_max, file_out);
}

void pd_members_file_deinit(struct pd_members_file *file)
{
    pd_free(file->texts);
    *file = (struct pd_members_file){0};
}

void pd_members_file_own(struct pd_members_file *file, size_t size)
{
    size_t used = 0;
    for (uint32_t i = 0; i < file->count; i++) {
        struct pd_kv_member *member = &file->members[i];
        struct pd_span *texts[2 + 2 * PD_KV_MEMBER_ADDRESSES_MAX] = {&member->name,
                                                                     &member->program};
        uint32_t count = 2;
        for (uint32_t j = 0; j < member->peer_count; j++) {
            texts[count++] = &member->peers[j];
        }
        for (uint32_t j = 0; j < member->client_count; j++) {
            texts[count++] = &member->clients[j];
        }
        for (uint32_t j = 0; j < count; j++) {
            pd_assert(texts[j]->size <= size - used);
            if (texts[j]->size > 0) {
                memcpy(file->texts + used, texts[j]->bytes, texts[j]->size);
                texts[j]->bytes = (const uint8_t *)file->texts + used;
                used += texts[j]->size;
            }
        }
    }
}

const struct pd_kv_member *pd_members_file_find(const struct pd_members_file *file, uint64_t node)
{
    for (uint32_t i = 0; i < file->count; i++) {
        if (file->members[i].node == node) {
            return &file->members[i];
        }
    }
    return NULL;
}

/* -- Writing ----------------------------------------------------------------------------------- */

static json_t *member_json(const struct pd_kv_member *member)
{
    char node[17];
    char key[HEX_DIGITS + 1];
    (void)snprintf(node, sizeof node, "%016" PRIx64, member->node);
    for (uint32_t i = 0; i < PD_KV_MEMBER_KEY_SIZE; i++) {
        (void)snprintf(key + (size_t)2 * i, 3, "%02x", member->key[i]);
    }
    return json_pack("{s:s, s:o, s:s, s:s, s:o, s:o}", "node", node, "name",
                     json_stringn((const char *)member->name.bytes, member->name.size), "role",
                     member->role == PD_KV_MEMBER_WORKER ? "worker" : "voter", "key", key, "peers",
                     pd_json_texts(member->peers, member->peer_count), "clients",
                     pd_json_texts(member->clients, member->client_count));
}

/* NULL: no memory. To be freed with free(). */
static char *compose(const struct pd_members_file *file)
{
    char cluster[17];
    (void)snprintf(cluster, sizeof cluster, "%016" PRIx64, file->cluster_id);
    json_t *list = json_array();
    for (uint32_t i = 0; i < file->count; i++) {
        (void)json_array_append_new(list, member_json(&file->members[i]));
    }
    json_t *object = json_pack("{s:i, s:s, s:s, s:o}", "format", FORMAT, "cluster", cluster,
                               "start", starts[file->start], "members", list);
    if (file->index > 0) {
        char sum[17];
        (void)snprintf(sum, sizeof sum, "%016" PRIx64, sum_of(file));
        (void)json_object_set_new(object, "index", json_integer((json_int_t)file->index));
        (void)json_object_set_new(object, "sum", json_string(sum));
    }
    char *text = object == NULL ? NULL : json_dumps(object, JSON_INDENT(2));
    json_decref(object);
    return text;
}

static enum pd_status write_text(struct pd_disk *folder, const char *name, const char *text)
{
    struct pd_disk_file file;
    enum pd_status status = folder->ops->remove(folder, NEW_NAME);
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        return status;
    }
    status = folder->ops->create(folder, NEW_NAME, &file);
    if (status != PD_OK) {
        return status;
    }
    status = folder->ops->write(folder, file, 0, (const uint8_t *)text, strlen(text));
    status = status == PD_OK ? folder->ops->sync(folder, file) : status;
    folder->ops->close(folder, file);
    if (status == PD_OK) {
        status = folder->ops->rename(folder, NEW_NAME, name);
    }
    return status == PD_OK ? folder->ops->sync_names(folder) : status;
}

enum pd_status pd_members_file_write_as(struct pd_disk *folder, const char *name,
                                        const struct pd_members_file *file)
{
    for (uint32_t i = 0; i < file->count; i++) {
        if (!is_sound(&file->members[i])) {
            return PD_ERR_INVALID;
        }
    }
    char *text = compose(file);
    enum pd_status status = text == NULL ? PD_ERR_NO_MEMORY : write_text(folder, name, text);
    free(text);
    return status;
}

enum pd_status pd_members_file_write(struct pd_disk *folder, const struct pd_members_file *file)
{
    return pd_members_file_write_as(folder, PD_MEMBERS_FILE_NAME, file);
}
