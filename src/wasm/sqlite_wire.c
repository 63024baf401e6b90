#include "wasm/sqlite_wire.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "wasm/sqlite_engine.h"

#define PAIR_SIZE_MIN 8u /* two tags */
#define CAPACITY_FIRST 256u
#define UTF8_SIZE_MAX 4u

_Static_assert(sizeof(double) == sizeof(uint64_t), "a double is sent as its bits");

/* --- Reading ---------------------------------------------------------------------------------- */

static bool take(struct pd_sqlite_binds *binds, uint64_t size, const uint8_t **bytes_out)
{
    if (size > binds->size) {
        return false;
    }
    *bytes_out = binds->at;
    binds->at += size;
    binds->size -= (size_t)size;
    return true;
}

static bool take_u32(struct pd_sqlite_binds *binds, uint32_t *value_out)
{
    const uint8_t *bytes = NULL;
    if (!take(binds, sizeof *value_out, &bytes)) {
        return false;
    }
    *value_out = pd_get_u32(bytes);
    return true;
}

static bool take_u64(struct pd_sqlite_binds *binds, uint64_t *value_out)
{
    const uint8_t *bytes = NULL;
    if (!take(binds, sizeof *value_out, &bytes)) {
        return false;
    }
    *value_out = pd_get_u64(bytes);
    return true;
}

static bool take_bytes(struct pd_sqlite_binds *binds, const uint8_t **bytes_out, size_t *size_out)
{
    uint64_t size = 0;
    if (!take_u64(binds, &size) || !take(binds, size, bytes_out)) {
        return false;
    }
    *size_out = (size_t)size;
    return true;
}

enum pd_status pd_sqlite_binds_begin(struct pd_sqlite_binds *binds, const uint8_t *bytes,
                                     size_t size)
{
    *binds = (struct pd_sqlite_binds){.at = bytes, .size = size};
    uint64_t count = 0;
    if (!take_u64(binds, &count) || count > binds->size / PAIR_SIZE_MIN) {
        return PD_ERR_INVALID;
    }
    if (count > PD_SQLITE_BINDS_MAX) {
        return PD_ERR_FULL;
    }
    binds->count = count;
    return PD_OK;
}

static bool next_key(struct pd_sqlite_binds *binds, struct pd_sqlite_bind *bind)
{
    uint32_t tag = 0;
    const uint8_t *name = NULL;
    if (!take_u32(binds, &tag)) {
        return false;
    }
    switch (tag) {
    case PD_SQLITE_KEY_NONE:
        bind->key = PD_SQLITE_KEY_NONE;
        return true;
    case PD_SQLITE_KEY_NUMBER:
        bind->key = PD_SQLITE_KEY_NUMBER;
        return take_u64(binds, &bind->number);
    case PD_SQLITE_KEY_NAME:
        bind->key = PD_SQLITE_KEY_NAME;
        if (!take_bytes(binds, &name, &bind->name_size)) {
            return false;
        }
        bind->name = (const char *)name;
        return pd_utf8_is_valid(name, bind->name_size);
    default:
        return false;
    }
}

static bool next_value(struct pd_sqlite_binds *binds, struct pd_sqlite_bind *bind)
{
    uint32_t tag = 0;
    uint32_t narrow = 0;
    uint64_t wide = 0;
    if (!take_u32(binds, &tag)) {
        return false;
    }
    bind->type = (enum pd_sqlite_type)(tag <= PD_SQLITE_I64 ? tag : PD_SQLITE_NULL);
    switch (tag) {
    case PD_SQLITE_NULL:
        return true;
    case PD_SQLITE_BLOB:
        return take_bytes(binds, &bind->bytes, &bind->size);
    case PD_SQLITE_TEXT:
        return take_bytes(binds, &bind->bytes, &bind->size) &&
               pd_utf8_is_valid(bind->bytes, bind->size);
    case PD_SQLITE_DOUBLE:
        if (!take_u64(binds, &wide)) {
            return false;
        }
        memcpy(&bind->real, &wide, sizeof wide);
        return true;
    case PD_SQLITE_INTEGER:
        if (!take_u32(binds, &narrow)) {
            return false;
        }
        bind->integer = (int32_t)narrow;
        return true;
    case PD_SQLITE_I64:
        if (!take_u64(binds, &wide)) {
            return false;
        }
        bind->integer = (int64_t)wide;
        return true;
    default:
        return false;
    }
}

enum pd_status pd_sqlite_binds_next(struct pd_sqlite_binds *binds, struct pd_sqlite_bind *bind_out)
{
    *bind_out = (struct pd_sqlite_bind){.key = PD_SQLITE_KEY_NONE};
    if (binds->count == 0 || !next_key(binds, bind_out) || !next_value(binds, bind_out)) {
        binds->count = 0;
        return PD_ERR_INVALID;
    }
    binds->count--;
    return PD_OK;
}

/* --- Writing ---------------------------------------------------------------------------------- */

void pd_sqlite_answer_deinit(struct pd_sqlite_answer *answer)
{
    if (answer->account != NULL && answer->capacity > 0) {
        pd_sqlite_account_give(answer->account, answer->capacity);
        pd_sqlite_account_release(answer->account);
    }
    pd_free(answer->bytes);
    *answer = (struct pd_sqlite_answer){0};
}

static bool make_room(struct pd_sqlite_answer *answer, size_t size)
{
    if (answer->status != PD_OK) {
        return false;
    }
    if (size > PD_SQLITE_ANSWER_MAX - answer->size) {
        answer->status = PD_ERR_FULL;
        return false;
    }
    size_t needed = answer->size + size;
    if (needed <= answer->capacity) {
        return true;
    }
    size_t capacity = answer->capacity * 2 > CAPACITY_FIRST ? answer->capacity * 2 : CAPACITY_FIRST;
    capacity = capacity > needed ? capacity : needed;
    size_t more = capacity - answer->capacity;
    if (answer->account != NULL && !pd_sqlite_account_take(answer->account, more)) {
        answer->status = PD_ERR_NO_MEMORY;
        return false;
    }
    uint8_t *moved = pd_realloc(answer->bytes, capacity);
    if (moved == NULL) {
        if (answer->account != NULL) {
            pd_sqlite_account_give(answer->account, more);
        }
        answer->status = PD_ERR_NO_MEMORY;
        return false;
    }
    if (answer->account != NULL && answer->capacity == 0) {
        pd_sqlite_account_retain(answer->account);
    }
    answer->bytes = moved;
    answer->capacity = capacity;
    return true;
}

void pd_sqlite_put_raw(struct pd_sqlite_answer *answer, const void *bytes, size_t size)
{
    if (make_room(answer, size) && size > 0) {
        memcpy(answer->bytes + answer->size, bytes, size);
        answer->size += size;
    }
}

void pd_sqlite_put_u8(struct pd_sqlite_answer *answer, uint8_t value)
{
    pd_sqlite_put_raw(answer, &value, sizeof value);
}

void pd_sqlite_put_u32(struct pd_sqlite_answer *answer, uint32_t value)
{
    uint8_t bytes[sizeof value];
    pd_put_u32(bytes, value);
    pd_sqlite_put_raw(answer, bytes, sizeof bytes);
}

void pd_sqlite_put_u64(struct pd_sqlite_answer *answer, uint64_t value)
{
    uint8_t bytes[sizeof value];
    pd_put_u64(bytes, value);
    pd_sqlite_put_raw(answer, bytes, sizeof bytes);
}

/* The size of the character that the text begins with, or 0: it begins with none. */
static size_t character_size(const uint8_t *text, size_t size)
{
    for (size_t length = 1; length <= UTF8_SIZE_MAX && length <= size; length++) {
        if (pd_utf8_is_valid(text, length)) {
            return length;
        }
    }
    return 0;
}

void pd_sqlite_put_utf8(struct pd_sqlite_answer *answer, const char *text, size_t size)
{
    static const uint8_t replacement[] = {0xEF, 0xBF, 0xBD};
    const uint8_t *at = (const uint8_t *)text;
    if (pd_utf8_is_valid(at, size)) {
        pd_sqlite_put_raw(answer, text, size);
        return;
    }
    while (size > 0 && answer->status == PD_OK) {
        size_t length = character_size(at, size);
        if (length == 0) {
            pd_sqlite_put_raw(answer, replacement, sizeof replacement);
            length = 1;
        } else {
            pd_sqlite_put_raw(answer, at, length);
        }
        at += length;
        size -= length;
    }
}

void pd_sqlite_put_blob(struct pd_sqlite_answer *answer, const void *bytes, size_t size)
{
    pd_sqlite_put_u64(answer, size);
    pd_sqlite_put_raw(answer, bytes, size);
}

void pd_sqlite_put_text(struct pd_sqlite_answer *answer, const char *text, size_t size)
{
    size_t length_at = answer->size;
    pd_sqlite_put_u64(answer, 0);
    pd_sqlite_put_utf8(answer, text, size);
    if (answer->status == PD_OK) {
        pd_put_u64(answer->bytes + length_at, answer->size - length_at - sizeof(uint64_t));
    }
}
