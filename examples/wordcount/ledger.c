#include "ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MS 60000u /* for one call; an election takes a second or two */
#define VALUE_SIZE_MAX 128u
#define TXN_SIZE_MAX 2048u
#define PAGE 500

static bool fail(const char *what, enum pando_kv_code code)
{
    char text[1025];
    (void)pando_kv_error_take(text, sizeof text);
    fprintf(stderr, "wordcount: the store: cannot %s: code %d: %s\n", what, (int)code, text);
    return false;
}

static void chunk_key(const struct ledger *ledger, const char *kind, uint32_t chunk,
                      char key[LEDGER_KEY_SIZE_MAX])
{
    (void)snprintf(key, LEDGER_KEY_SIZE_MAX, "%s%s/%08" PRIu32, ledger->prefix, kind, chunk);
}

/* Create `key` if neither it nor `other` (NULL: none) is there. When nobody knows whether it
 * happened, asking again tells, since it can happen only once: then somebody has created it,
 * whoever that was. */
static bool create(const char *key, const char *other, const char *value, bool *is_created_out)
{
    char room[TXN_SIZE_MAX];
    struct pando_kv_committed committed = {0, 0, 0};
    enum pando_kv_code code = PANDO_KV_UNKNOWN;
    while (code == PANDO_KV_UNKNOWN) {
        struct pando_kv_txn txn = pando_kv_txn(room, sizeof room);
        pando_kv_if(&txn, key, PANDO_KV_VERSION, PANDO_KV_EQUAL, 0);
        if (other != NULL) {
            pando_kv_if(&txn, other, PANDO_KV_VERSION, PANDO_KV_EQUAL, 0);
        }
        pando_kv_then_put(&txn, key, value, (uint32_t)strlen(value));
        code = pando_kv_commit(&txn, &committed);
    }
    *is_created_out = code == PANDO_KV_OK && committed.succeeded != 0;
    return code == PANDO_KV_OK || fail("write", code);
}

/* --- News ------------------------------------------------------------------------------------- */

/* A key below the prefix: of a chunk, or something else, which is passed over. */
static void tell_key(const struct ledger *ledger, const char *key, const char *value,
                     ledger_tell *tell, void *state)
{
    uint32_t chunk = 0;
    const char *rest = key + strlen(ledger->prefix);
    const char *by = strchr(value, ' ');
    if (sscanf(rest, "chunk/%8" SCNu32, &chunk) == 1) {
        tell(state, LEDGER_RECORDED, chunk, by != NULL ? by + 1 : "");
    } else if (sscanf(rest, "claim/%8" SCNu32, &chunk) == 1) {
        tell(state, LEDGER_CLAIMED, chunk, value);
    }
}

bool ledger_take_news(struct ledger *ledger, ledger_tell *tell, void *state)
{
    char key[LEDGER_KEY_SIZE_MAX];
    char value[VALUE_SIZE_MAX];
    struct pando_kv_events events;
    struct pando_kv_event event;
    if (!pando_kv_events(&events)) {
        return true;
    }
    if (events.has_ended != 0) {
        pando_kv_message_text(value, sizeof value, sizeof value - 1);
        fprintf(stderr, "wordcount: the store: no further news: %s\n", value);
        return false;
    }
    while (pando_kv_next_event(&event, key, sizeof key, value, sizeof value)) {
        if (event.is_delete == 0) {
            tell_key(ledger, key, value, tell, state);
        }
    }
    return true;
}

/* Every record below `prefix`, of one revision, page by page. */
static bool read_all(const struct ledger *ledger, const char *prefix, ledger_tell *tell,
                     void *state, uint64_t *sum_out, uint64_t *count_out)
{
    char from[LEDGER_KEY_SIZE_MAX];
    char end[LEDGER_KEY_SIZE_MAX];
    char value[VALUE_SIZE_MAX];
    struct pando_kv_record record;
    struct pando_kv_ranged ranged = {.more = 1};
    struct pando_kv_range range = pando_kv_prefix(prefix, end);
    range.limit = PAGE;
    while (ranged.more != 0) {
        enum pando_kv_code code = pando_kv_range(&range, &ranged);
        if (code != PANDO_KV_OK) {
            return fail("read", code);
        }
        range.revision = ranged.revision;
        while (pando_kv_next(&record, from, sizeof from, value, sizeof value)) {
            *sum_out += strtoull(value, NULL, 10);
            *count_out += 1;
            if (tell != NULL) {
                tell_key(ledger, from, value, tell, state);
            }
        }
        range.key = from; /* behind the last one: its key and a zero byte */
        range.key_size = (uint32_t)strlen(from) + 1;
    }
    return true;
}

/* --- The text --------------------------------------------------------------------------------- */

static bool agree(const struct ledger *ledger, const struct plan *plan)
{
    char key[LEDGER_KEY_SIZE_MAX];
    char mine[VALUE_SIZE_MAX];
    char theirs[VALUE_SIZE_MAX] = "";
    struct pando_kv_found found;
    bool is_created = false;
    (void)snprintf(key, sizeof key, "%splan", ledger->prefix);
    (void)snprintf(mine, sizeof mine, "%" PRIu32 " files, %" PRIu64 " bytes, %" PRIu32 " chunks",
                   plan->file_count, plan->byte_count, plan->chunk_count);
    if (!create(key, NULL, mine, &is_created)) {
        return false;
    }
    enum pando_kv_code code = pando_kv_get(key, theirs, sizeof theirs - 1, &found);
    if (code != PANDO_KV_OK) {
        return fail("read", code);
    }
    if (strcmp(mine, theirs) != 0) {
        fprintf(stderr,
                "wordcount: below '%s' something else is counted: %s, and not %s. Choose another "
                "--store\n",
                ledger->prefix, theirs, mine);
        return false;
    }
    return true;
}

bool ledger_open(struct ledger *ledger, const struct plan *plan, ledger_tell *tell, void *state)
{
    char end[LEDGER_KEY_SIZE_MAX];
    struct pando_kv_watch watch;
    uint64_t sum = 0;
    uint64_t count = 0;
    struct pando_kv_range range = pando_kv_prefix(ledger->prefix, end);
    pando_kv_set_timeout(PATIENCE_MS);
    if (!agree(ledger, plan)) {
        return false;
    }
    enum pando_kv_code code = pando_kv_watch(&range, TAG_STORE, &watch);
    if (code != PANDO_KV_OK) {
        return fail("watch", code);
    }
    return read_all(ledger, ledger->prefix, tell, state, &sum, &count);
}

/* --- Chunks ----------------------------------------------------------------------------------- */

bool ledger_claim(struct ledger *ledger, uint32_t chunk, bool *is_mine_out)
{
    char key[LEDGER_KEY_SIZE_MAX];
    char record[LEDGER_KEY_SIZE_MAX];
    chunk_key(ledger, "claim", chunk, key);
    chunk_key(ledger, "chunk", chunk, record);
    return create(key, record, ledger->name, is_mine_out);
}

bool ledger_record(struct ledger *ledger, uint32_t chunk, uint32_t words)
{
    char key[LEDGER_KEY_SIZE_MAX];
    char value[VALUE_SIZE_MAX];
    bool is_created = false;
    chunk_key(ledger, "chunk", chunk, key);
    (void)snprintf(value, sizeof value, "%" PRIu32 " %.64s", words, ledger->name);
    return create(key, NULL, value, &is_created);
}

bool ledger_total(struct ledger *ledger, uint32_t chunk_count, uint64_t *words_out)
{
    char key[LEDGER_KEY_SIZE_MAX];
    char value[VALUE_SIZE_MAX];
    uint64_t count = 0;
    bool is_created = false;
    *words_out = 0;
    (void)snprintf(key, sizeof key, "%schunk/", ledger->prefix);
    if (!read_all(ledger, key, NULL, NULL, words_out, &count)) {
        return false;
    }
    if (count != chunk_count) {
        fprintf(stderr, "wordcount: the store has %" PRIu64 " of %" PRIu32 " chunks\n", count,
                chunk_count);
        return false;
    }
    (void)snprintf(key, sizeof key, "%stotal", ledger->prefix);
    (void)snprintf(value, sizeof value, "%" PRIu64, *words_out);
    return create(key, NULL, value, &is_created);
}
