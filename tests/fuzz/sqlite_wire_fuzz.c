/* The list of values that lunatic::sqlite::bind_value takes, under libFuzzer.
 *
 * Input      A list in bincode, as a guest hands it over.
 * Properties Reading ends, within the bytes (ASan); what it gives lies within them too; written
 *            again as it was read, and read again, it is the same; texts stay UTF-8 in answers;
 *            an answer that finds no memory, of its actor's or at all, leaves none counted. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/utf8.h"
#include "wasm/sqlite_engine.h"
#include "wasm/sqlite_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_key(struct pd_sqlite_answer *to, const struct pd_sqlite_bind *bind)
{
    pd_sqlite_put_u32(to, bind->key);
    if (bind->key == PD_SQLITE_KEY_NUMBER) {
        pd_sqlite_put_u64(to, bind->number);
    } else if (bind->key == PD_SQLITE_KEY_NAME) {
        pd_sqlite_put_text(to, bind->name, bind->name_size);
    }
}

static void write_value(struct pd_sqlite_answer *to, const struct pd_sqlite_bind *bind)
{
    uint64_t bits = 0;
    pd_sqlite_put_u32(to, bind->type);
    switch (bind->type) {
    case PD_SQLITE_NULL:
        break;
    case PD_SQLITE_BLOB:
        pd_sqlite_put_blob(to, bind->bytes, bind->size);
        break;
    case PD_SQLITE_TEXT:
        pd_sqlite_put_text(to, (const char *)bind->bytes, bind->size);
        break;
    case PD_SQLITE_DOUBLE:
        memcpy(&bits, &bind->real, sizeof bits);
        pd_sqlite_put_u64(to, bits);
        break;
    case PD_SQLITE_INTEGER:
        pd_sqlite_put_u32(to, (uint32_t)bind->integer);
        break;
    case PD_SQLITE_I64:
        pd_sqlite_put_u64(to, (uint64_t)bind->integer);
        break;
    }
}

static void check_within(const uint8_t *bytes, size_t size, const void *part, size_t part_size)
{
    const uint8_t *at = part;
    if (part_size > 0) {
        pd_assert(at >= bytes);
        pd_assert(part_size <= size - (size_t)(at - bytes));
    }
}

/* The size of the input says what is short: the memory that is counted, or an allocation. */
static void write_with_little_memory(const uint8_t *bytes, size_t size)
{
    uint64_t bytes_max = size % 2 == 0 ? size : UINT64_MAX;
    struct pd_sqlite_account *account = pd_sqlite_account_create(bytes_max, 1, NULL);
    pd_assert(account != NULL);
    struct pd_sqlite_answer answer = {.account = account};
    pd_alloc_fail_nth(size % 4);
    pd_sqlite_put_u8(&answer, 1);
    pd_sqlite_put_text(&answer, (const char *)bytes, size);
    pd_sqlite_put_blob(&answer, bytes, size);
    pd_alloc_fail_nth(0);
    pd_assert(answer.status == PD_OK || answer.status == PD_ERR_NO_MEMORY);
    pd_assert(answer.status != PD_OK || answer.size >= 17 + size);
    pd_sqlite_answer_deinit(&answer);
    pd_assert(atomic_load(&account->bytes) == 0);
    pd_sqlite_account_release(account);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* An allocation of its own, so that ASan sees the byte behind it. */
    uint8_t *bytes = malloc(size == 0 ? 1 : size);
    pd_assert(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    struct pd_sqlite_binds binds;
    struct pd_sqlite_answer again = {0};
    struct pd_sqlite_answer text = {0};
    enum pd_status status = pd_sqlite_binds_begin(&binds, bytes, size);
    uint64_t count = status == PD_OK ? binds.count : 0;
    pd_assert(count <= size / 8);
    pd_sqlite_put_u64(&again, count);
    while (status == PD_OK && binds.count > 0) {
        struct pd_sqlite_bind bind;
        status = pd_sqlite_binds_next(&binds, &bind);
        if (status == PD_OK) {
            check_within(bytes, size, bind.name, bind.name_size);
            check_within(bytes, size, bind.bytes, bind.size);
            write_key(&again, &bind);
            write_value(&again, &bind);
        }
    }
    if (status == PD_OK && again.status == PD_OK) {
        pd_assert(again.size <= size);
        pd_assert(memcmp(again.bytes, bytes, again.size) == 0);
    }
    pd_sqlite_put_utf8(&text, (const char *)bytes, size);
    pd_assert(text.status != PD_OK || pd_utf8_is_valid(text.bytes, text.size));
    write_with_little_memory(bytes, size);
    pd_sqlite_answer_deinit(&text);
    pd_sqlite_answer_deinit(&again);
    free(bytes);
    return 0;
}
