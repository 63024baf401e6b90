#include "kv/raise.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "kv/internal.h"

struct pd_kv_raise_config pd_kv_raise_config_default(void)
{
    return (struct pd_kv_raise_config){
        .revisions = UINT64_C(1000000000000),
        .indices = UINT64_C(1000000000000),
        .terms = UINT64_C(1000000),
    };
}

/* Half of the numbers stay for what comes after. */
static bool may_grow(uint64_t number, uint64_t by)
{
    return number <= (uint64_t)INT64_MAX / 2 && by <= (uint64_t)INT64_MAX / 2 - number;
}

enum pd_status pd_kv_raise_init(struct pd_kv_raise *raise, const struct pd_kv_raise_config *config,
                                struct pd_span meta_row)
{
    struct pd_kv_meta meta;
    *raise = (struct pd_kv_raise){.config = *config};
    if (!pd_kv_meta_decode(meta_row, &meta) || meta.index == 0) {
        return PD_ERR_CORRUPT;
    }
    memcpy(raise->old_meta, meta_row.bytes, PD_KV_META_SIZE);
    raise->from = (struct pd_kv_raise_state){.index = meta.index,
                                             .term = meta.term,
                                             .revision = meta.revision,
                                             .key_count = meta.key_count};
    if (!may_grow((uint64_t)meta.revision, config->revisions) ||
        !may_grow(meta.index, config->indices) || !may_grow(meta.term, config->terms)) {
        return PD_ERR_RANGE;
    }
    raise->to = (struct pd_kv_raise_state){.index = meta.index + config->indices,
                                           .term = meta.term + config->terms,
                                           .revision = meta.revision + (int64_t)config->revisions};
    raise->version = PD_KV_VERSION_FIRST;
    return PD_OK;
}

void pd_kv_raise_deinit(struct pd_kv_raise *raise)
{
    pd_free(raise->group);
    pd_free(raise->user);
    *raise = (struct pd_kv_raise){0};
}

static bool has_room(uint8_t **bytes, size_t *max, size_t wanted)
{
    if (wanted > *max) {
        uint8_t *grown = pd_realloc(*bytes, wanted);
        if (grown == NULL) {
            return false;
        }
        *bytes = grown;
        *max = wanted;
    }
    return true;
}

/* Versions of a key stand together, the newest first: the first one that the state has decides, and
 * those behind it are history. A row of a later revision is the beginning of a command that the
 * state does not have yet. */
static enum pd_status take_version(struct pd_kv_raise *raise, struct pd_span key,
                                   struct pd_span value, bool *stays_out)
{
    struct pd_kv_row row;
    if (!has_room(&raise->user, &raise->user_max, key.size) ||
        !has_room(&raise->group, &raise->group_max, key.size)) {
        return PD_ERR_NO_MEMORY;
    }
    struct pd_kv_place user = {.bytes = raise->user};
    if (!pd_kv_x_parse(key, value, &user, &row)) {
        return PD_ERR_CORRUPT;
    }
    struct pd_span group = {key.bytes, key.size - PD_KV_X_TAIL};
    bool is_decided =
        raise->group_size == group.size && memcmp(raise->group, group.bytes, group.size) == 0;
    if (is_decided || row.found.record.mod_revision > raise->from.revision) {
        return PD_OK;
    }
    memcpy(raise->group, group.bytes, group.size);
    raise->group_size = group.size;
    if (row.found.record.version == 0) {
        return PD_OK;
    }
    pd_kv_value_hash(row.found.record.value, row.found.value_hash);
    struct pd_kv_hash hash = pd_kv_record_hash(&row.found);
    raise->seen_count++;
    pd_kv_hash_add(&raise->seen_hash, hash);
    if (row.found.record.lease == 0) {
        raise->to.key_count++;
        pd_kv_hash_add(&raise->kept_hash, hash);
        *stays_out = true;
    }
    return PD_OK;
}

enum pd_status pd_kv_raise_row(struct pd_kv_raise *raise, struct pd_span key, struct pd_span value,
                               bool *stays_out)
{
    *stays_out = false;
    if (key.size == 0) {
        return PD_ERR_CORRUPT;
    }
    switch (key.bytes[0]) {
    case 'x':
        return take_version(raise, key, value, stays_out);
    case 'a': /* attachments */
    case 'c': /* how far the store has come with what is compacted */
    case 'h': /* history */
    case 'k': /* members */
    case 'l': /* leases */
    case 'r': /* the configuration */
    case 's': /* sessions */
    case 't': /* their answers */
        return PD_OK;
    case 'v':
        *stays_out = true;
        return key.size == 1 && pd_kv_version_parse(value, &raise->version) ? PD_OK
                                                                            : PD_ERR_CORRUPT;
    default:
        return PD_ERR_CORRUPT; /* of a later version: it might matter */
    }
}

enum pd_status pd_kv_raise_end(struct pd_kv_raise *raise, uint8_t meta_out[PD_KV_META_SIZE])
{
    struct pd_kv_meta meta;
    bool is_good = pd_kv_meta_decode(pd_kv_span(raise->old_meta, PD_KV_META_SIZE), &meta);
    pd_assert(is_good); /* it was when it came */
    if (raise->seen_count != meta.key_count || raise->seen_hash.low != meta.keys_hash.low ||
        raise->seen_hash.high != meta.keys_hash.high) {
        return PD_ERR_CORRUPT;
    }
    meta.index = raise->to.index;
    meta.term = raise->to.term;
    meta.revision = raise->to.revision;
    meta.compacted = raise->to.revision;
    meta.keys_hash = raise->kept_hash;
    meta.tables_hash = pd_kv_version_hash(raise->version);
    meta.key_count = raise->to.key_count;
    meta.left_subs = 0;
    pd_kv_meta_encode(meta_out, &meta);
    return PD_OK;
}
