/* reducer - adds up the counts of its share of the words. */
#include <stdlib.h>
#include <string.h>

#include "words.h"

#define PLACES (2u * KEYS_MAX)

struct total {
    uint64_t count;
    uint32_t hash;
    uint32_t key_size;
    uint8_t key[KEY_SIZE_MAX];
};

struct reducer {
    uint64_t coordinator;
    struct total *totals; /* KEYS_MAX */
    uint32_t total_count;
    uint32_t *index;     /* PLACES: a total's number and 1, or 0 */
    uint8_t *is_applied; /* a bit a chunk */
    uint64_t words;
    uint64_t different; /* of all words; a lower bound once some were forgotten */
    bool has_forgotten;
    uint8_t *message;
    uint32_t message_room;
};

static _Noreturn void no_memory(void)
{
    pando_exit_self(PANDO_REASON_MEMORY, "no memory for a reducer");
}

/* --- Totals ----------------------------------------------------------------------------------- */

static uint32_t *find(const struct reducer *self, uint32_t hash, const uint8_t *key, uint32_t size)
{
    uint32_t place = hash & (PLACES - 1);
    while (self->index[place] != 0) {
        const struct total *total = &self->totals[self->index[place] - 1];
        if (total->hash == hash && total->key_size == size && memcmp(total->key, key, size) == 0) {
            break;
        }
        place = (place + 1) & (PLACES - 1);
    }
    return &self->index[place];
}

/* More different words than there is room for: forget the rarest half. Their words stay in the
 * sum. */
static void forget_rare(struct reducer *self)
{
    uint64_t count_max = 0;
    uint32_t kept = self->total_count;
    while (kept > KEYS_MAX / 2) {
        kept = 0;
        count_max = 2 * count_max + 1;
        for (uint32_t i = 0; i < self->total_count; i++) {
            kept += self->totals[i].count > count_max;
        }
    }
    uint32_t to = 0;
    memset(self->index, 0, PLACES * sizeof *self->index);
    for (uint32_t i = 0; i < self->total_count; i++) {
        if (self->totals[i].count > count_max) {
            self->totals[to] = self->totals[i];
            *find(self, self->totals[to].hash, self->totals[to].key, self->totals[to].key_size) =
                to + 1;
            to++;
        }
    }
    self->total_count = to;
    self->has_forgotten = true;
}

static void add(struct reducer *self, const uint8_t *key, uint32_t size, uint32_t count)
{
    uint32_t hash = key_hash(key, size);
    uint32_t *place = find(self, hash, key, size);
    if (*place != 0) {
        self->totals[*place - 1].count += count;
        return;
    }
    if (self->total_count == KEYS_MAX) {
        forget_rare(self);
        place = find(self, hash, key, size);
    }
    struct total *total = &self->totals[self->total_count];
    *total = (struct total){.count = count, .hash = hash, .key_size = size};
    memcpy(total->key, key, size);
    *place = ++self->total_count;
    self->different += self->has_forgotten ? 0 : 1;
}

/* --- Counts of a chunk ------------------------------------------------------------------------ */

static void apply(struct reducer *self, const struct counts *counts, uint32_t size)
{
    const uint8_t *from = self->message + sizeof *counts;
    const uint8_t *end = self->message + size;
    for (uint32_t i = 0; i < counts->key_count; i++) {
        uint32_t count = 0;
        uint32_t key_size = end - from < 5 ? KEY_SIZE_MAX + 1 : from[0];
        if (key_size > KEY_SIZE_MAX || (size_t)(end - from) < 5 + key_size) {
            pando_exit_self(PANDO_REASON_FAILURE, "counts are cut short");
        }
        memcpy(&count, from + 1, sizeof count);
        add(self, from + 5, key_size, count);
        from += 5 + key_size;
    }
    self->words += counts->words;
}

/* Add a chunk if it is new; acknowledge it in any case. */
static void take_counts(struct reducer *self)
{
    uint32_t size = (uint32_t)pando_message_size();
    struct counts counts;
    if (size > self->message_room) {
        free(self->message);
        self->message = malloc(size);
        self->message_room = size;
    }
    if (self->message == NULL) {
        no_memory();
    }
    if (pando_message_read(self->message, size) < sizeof counts) {
        pando_exit_self(PANDO_REASON_FAILURE, "counts are cut short");
    }
    memcpy(&counts, self->message, sizeof counts);
    if (counts.chunk >= CHUNKS_MAX) {
        pando_exit_self(PANDO_REASON_FAILURE, "counts of a chunk that cannot be");
    }
    uint8_t *byte = &self->is_applied[counts.chunk / 8];
    uint8_t bit = (uint8_t)(1u << counts.chunk % 8);
    if ((*byte & bit) == 0) {
        apply(self, &counts, size);
        *byte |= bit;
    }
    struct applied applied = {.pid = pando_self(), .chunk = counts.chunk, .words = counts.words};
    pando_message_create(TAG_APPLIED, sizeof applied);
    pando_message_write(&applied, sizeof applied);
    pando_send(self->coordinator);
}

/* --- The end ---------------------------------------------------------------------------------- */

/* The most frequent first; equal ones by their bytes, so that every run prints the same. */
static int compare(const void *left, const void *right)
{
    const struct total *a = left;
    const struct total *b = right;
    if (a->count != b->count) {
        return a->count > b->count ? -1 : 1;
    }
    uint32_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->key, b->key, size);
    return order != 0 ? order : a->key_size < b->key_size ? -1 : 1;
}

static void tell_top(struct reducer *self)
{
    uint64_t asker = pando_message_pid();
    uint64_t ref = pando_message_ref();
    uint32_t wanted = 0;
    (void)pando_message_read_u32(&wanted);
    struct top top = {.words = self->words,
                      .different = self->different,
                      .is_exact = !self->has_forgotten,
                      .key_count = wanted < self->total_count ? wanted : self->total_count};
    qsort(self->totals, self->total_count, sizeof *self->totals, compare);
    memset(self->index, 0, PLACES * sizeof *self->index);
    for (uint32_t i = 0; i < self->total_count; i++) {
        const struct total *total = &self->totals[i];
        *find(self, total->hash, total->key, total->key_size) = i + 1;
    }
    pando_message_create(0, sizeof top);
    pando_message_write(&top, sizeof top);
    for (uint32_t i = 0; i < top.key_count; i++) {
        const struct total *total = &self->totals[i];
        uint8_t size = (uint8_t)total->key_size;
        pando_message_write(&size, sizeof size);
        pando_message_write_u64(total->count);
        pando_message_write(total->key, size);
    }
    (void)pando_reply(asker, ref);
}

static _Noreturn __attribute__((noinline)) void crash_on_purpose(void)
{
    __builtin_trap();
}

PANDO_EXPORT("reducer") void reducer(int64_t coordinator, int32_t number);
void reducer(int64_t coordinator, int32_t number)
{
    struct reducer self = {.coordinator = (uint64_t)coordinator};
    self.totals = malloc(KEYS_MAX * sizeof *self.totals);
    self.index = calloc(PLACES, sizeof *self.index);
    self.is_applied = calloc(CHUNKS_MAX / 8, 1);
    if (self.totals == NULL || self.index == NULL || self.is_applied == NULL) {
        no_memory();
    }
    say_hello(self.coordinator, ROLE_REDUCER, (uint32_t)number);
    while (pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        switch (pando_message_tag()) {
        case TAG_COUNTS:
            take_counts(&self);
            break;
        case TAG_TOP:
            tell_top(&self);
            break;
        case TAG_CRASH:
            crash_on_purpose();
        default:
            break;
        }
    }
}
