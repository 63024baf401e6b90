/* mapper - reads chunks and counts the words that begin in them. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "words.h"

#define BUFFER_SIZE (32u << 10)
#define NAME_SIZE_MAX 4096u
#define NO_FILE UINT32_MAX

/* One different word of the chunk. */
struct entry {
    uint32_t hash;
    uint32_t key; /* where it begins in `keys` */
    uint32_t key_size;
    uint32_t count;
};

struct mapper {
    uint64_t coordinator;
    struct order order;
    uint64_t reducers[REDUCERS_MAX];
    /* The file that is open. */
    int descriptor;
    struct piece piece;
    char name[NAME_SIZE_MAX + 1];
    uint32_t open_file;
    /* The chunk so far. */
    struct word word;
    uint32_t word_count;
    struct entry *entries;
    uint32_t entry_count;
    uint32_t entry_room;
    uint32_t *index; /* 2 * entry_room places: an entry's number and 1, or 0 */
    uint8_t *keys;
    uint32_t keys_size;
    uint32_t keys_room;
    uint8_t buffer[BUFFER_SIZE];
};

/* --- Failing ---------------------------------------------------------------------------------- */

/* Nothing that a restart would mend: tell the coordinator, and wait to be stopped. */
static _Noreturn void give_up(const struct mapper *self, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pando_message_create(TAG_FAILED, 0);
    pando_message_write(text, size < (int)sizeof text ? (uint32_t)size : (uint32_t)sizeof text - 1);
    pando_send(self->coordinator);
    while (true) {
        pando_sleep(PANDO_FOREVER);
    }
}

static void *grown(const struct mapper *self, void *block, size_t size)
{
    void *moved = realloc(block, size);
    if (moved == NULL) {
        give_up(self, "a mapper has no memory for a chunk");
    }
    return moved;
}

/* --- The words of the chunk ------------------------------------------------------------------- */

static void grow_entries(struct mapper *self)
{
    self->entry_room = self->entry_room == 0 ? 1024 : 2 * self->entry_room;
    uint32_t mask = 2 * self->entry_room - 1;
    self->entries = grown(self, self->entries, self->entry_room * sizeof *self->entries);
    self->index = grown(self, self->index, (mask + 1) * sizeof *self->index);
    memset(self->index, 0, (mask + 1) * sizeof *self->index);
    for (uint32_t i = 0; i < self->entry_count; i++) {
        uint32_t place = self->entries[i].hash & mask;
        while (self->index[place] != 0) {
            place = (place + 1) & mask;
        }
        self->index[place] = i + 1;
    }
}

static void add_entry(struct mapper *self, uint32_t place, uint32_t hash)
{
    uint32_t size = self->word.key_size;
    if (self->keys_size + size > self->keys_room) {
        self->keys_room = 2 * self->keys_room + KEY_SIZE_MAX + BUFFER_SIZE;
        self->keys = grown(self, self->keys, self->keys_room);
    }
    memcpy(self->keys + self->keys_size, self->word.key, size);
    self->entries[self->entry_count] = (struct entry){hash, self->keys_size, size, 1};
    self->keys_size += size;
    self->index[place] = ++self->entry_count;
}

static void count_word(struct mapper *self)
{
    const struct word *word = &self->word;
    if (self->entry_count == self->entry_room) {
        grow_entries(self);
    }
    self->word_count++;
    uint32_t hash = key_hash(word->key, word->key_size);
    uint32_t mask = 2 * self->entry_room - 1;
    uint32_t place = hash & mask;
    while (self->index[place] != 0) {
        struct entry *entry = &self->entries[self->index[place] - 1];
        if (entry->hash == hash && entry->key_size == word->key_size &&
            memcmp(self->keys + entry->key, word->key, word->key_size) == 0) {
            entry->count++;
            return;
        }
        place = (place + 1) & mask;
    }
    add_entry(self, place, hash);
}

/* Take bytes of the chunk. */
static void count_bytes(struct mapper *self, const uint8_t *bytes, size_t size)
{
    struct word *word = &self->word;
    bool any_byte = (self->order.flags & ORDER_ANY_BYTE) != 0;
    for (size_t i = 0; i < size; i++) {
        if (!is_space(bytes[i])) {
            word_add(word, bytes[i]);
        } else if (word->is_open && word_end(word, any_byte)) {
            count_word(self);
        }
    }
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* Let self->piece and self->name be what is read. */
static void open_piece(struct mapper *self)
{
    if (self->open_file == self->piece.file) {
        return;
    }
    if (self->descriptor >= 0) {
        close(self->descriptor);
    }
    self->descriptor = open(self->name, O_RDONLY);
    if (self->descriptor < 0) {
        give_up(self, "%s: %s", self->name, strerror(errno));
    }
    self->open_file = self->piece.file;
}

/* Up to BUFFER_SIZE bytes at the front of the piece, which moves on. */
static uint32_t read_piece(struct mapper *self)
{
    uint64_t wanted = self->piece.size < BUFFER_SIZE ? self->piece.size : BUFFER_SIZE;
    ssize_t got = pread(self->descriptor, self->buffer, (size_t)wanted, (off_t)self->piece.offset);
    if (got < 0) {
        give_up(self, "%s: %s", self->name, strerror(errno));
    }
    if (got == 0) {
        give_up(self, "%s became shorter while it was counted", self->name);
    }
    self->piece.offset += (uint64_t)got;
    self->piece.size -= (uint64_t)got;
    return (uint32_t)got;
}

/* A name of this size is next in the message at hand. */
static void take_name(struct mapper *self, uint64_t size)
{
    if (size > NAME_SIZE_MAX) {
        give_up(self, "the name of a file is longer than %u bytes", NAME_SIZE_MAX);
    }
    self->name[pando_message_read(self->name, (uint32_t)size)] = '\0';
}

/* Go on with the file behind this one. False: there is none. */
static bool take_next_file(struct mapper *self)
{
    pando_message_create(TAG_NEXT, sizeof self->piece.file);
    pando_message_write_u32(self->piece.file);
    if (pando_call(self->coordinator, CALL_TIMEOUT_MS) != PANDO_SENT) {
        pando_exit_self(PANDO_REASON_FAILURE, "the coordinator does not answer");
    }
    uint64_t size = 0;
    if (!pando_message_read_u64(&size)) {
        return false;
    }
    self->piece.file++;
    self->piece.offset = 0;
    self->piece.size = size;
    self->piece.file_size = size;
    take_name(self, pando_message_size() - sizeof size);
    open_piece(self);
    return true;
}

/* The chunk ends within a word that began in it: read on to the end of the word, however far. */
static void finish_word(struct mapper *self)
{
    self->piece.size = self->piece.file_size - self->piece.offset;
    while (true) {
        while (self->piece.size > 0) {
            uint32_t size = read_piece(self);
            uint32_t end = 0;
            while (end < size && !is_space(self->buffer[end])) {
                end++;
            }
            count_bytes(self, self->buffer, end < size ? end + 1 : end);
            if (end < size) {
                return;
            }
        }
        if (!take_next_file(self)) {
            count_bytes(self, (const uint8_t *)" ", 1);
            return;
        }
    }
}

/* The byte before the chunk decides whether its first run of bytes is a word of the chunk
 * before. */
static void look_back(struct mapper *self)
{
    (void)read_piece(self);
    if (!is_space(self->buffer[0])) {
        word_add(&self->word, self->buffer[0]);
        self->word.is_foreign = true;
    }
}

/* A piece of the order at hand. Reading files does not touch the message. */
static void count_piece(struct mapper *self, bool is_look_back)
{
    if (pando_message_read(&self->piece, sizeof self->piece) != sizeof self->piece) {
        give_up(self, "an order is cut short");
    }
    take_name(self, self->piece.name_size);
    open_piece(self);
    if (is_look_back) {
        look_back(self);
    }
    while (self->piece.size > 0) {
        count_bytes(self, self->buffer, read_piece(self));
    }
}

/* --- Delivering ------------------------------------------------------------------------------- */

/* Send a reducer its share, in one message, which it takes as a whole or not at all. */
static void send_counts(const struct mapper *self, uint32_t reducer)
{
    struct counts counts = {.chunk = self->order.chunk};
    for (uint32_t i = 0; i < self->entry_count; i++) {
        if (self->entries[i].hash % self->order.reducer_count == reducer) {
            counts.words += self->entries[i].count;
            counts.key_count++;
        }
    }
    pando_message_create(TAG_COUNTS, sizeof counts + 16u * counts.key_count);
    pando_message_write(&counts, sizeof counts);
    for (uint32_t i = 0; i < self->entry_count; i++) {
        const struct entry *entry = &self->entries[i];
        if (entry->hash % self->order.reducer_count == reducer) {
            uint8_t row[1 + sizeof entry->count + KEY_SIZE_MAX];
            row[0] = (uint8_t)entry->key_size;
            memcpy(row + 1, &entry->count, sizeof entry->count);
            memcpy(row + 1 + sizeof entry->count, self->keys + entry->key, entry->key_size);
            pando_message_write(row, 1 + (uint32_t)sizeof entry->count + entry->key_size);
        }
    }
    pando_send(self->reducers[reducer]);
}

/* What `make run` shows: a mapper that dies when some have its words, others not, and nobody its
 * result. */
static _Noreturn __attribute__((noinline)) void crash_on_purpose(void)
{
    __builtin_trap();
}

static void deliver(const struct mapper *self)
{
    for (uint32_t i = 0; i < self->order.reducer_count; i++) {
        if (self->reducers[i] != 0) {
            send_counts(self, i);
        }
        if ((self->order.flags & ORDER_CRASH) != 0) {
            crash_on_purpose();
        }
    }
    struct result result = {
        .pid = pando_self(), .chunk = self->order.chunk, .words = self->word_count};
    pando_message_create(TAG_RESULT, sizeof result);
    pando_message_write(&result, sizeof result);
    pando_send(self->coordinator);
}

/* --- Life ------------------------------------------------------------------------------------- */

static void work(struct mapper *self)
{
    uint32_t pids_size = 0;
    if (pando_message_read(&self->order, sizeof self->order) != sizeof self->order ||
        self->order.reducer_count > REDUCERS_MAX) {
        give_up(self, "an order is none");
    }
    pids_size = self->order.reducer_count * (uint32_t)sizeof self->reducers[0];
    (void)pando_message_read(self->reducers, pids_size);
    if (self->order.pace_ms > 0) {
        pando_sleep(self->order.pace_ms);
    }
    self->word = (struct word){0};
    self->word_count = 0;
    self->keys_size = 0;
    self->entry_count = 0;
    if (self->entry_room > 0) {
        memset(self->index, 0, 2 * self->entry_room * sizeof *self->index);
    }
    for (uint32_t i = 0; i < self->order.piece_count; i++) {
        count_piece(self, i == 0 && (self->order.flags & ORDER_LOOK_BACK) != 0);
    }
    if (self->word.is_open && !self->word.is_foreign) {
        finish_word(self);
    }
    deliver(self);
}

PANDO_EXPORT("mapper") void mapper(int64_t coordinator, int32_t number);
void mapper(int64_t coordinator, int32_t number)
{
    struct mapper *self = calloc(1, sizeof *self);
    if (self == NULL) {
        pando_exit_self(PANDO_REASON_MEMORY, "no memory for a mapper");
    }
    self->coordinator = (uint64_t)coordinator;
    self->descriptor = -1;
    self->open_file = NO_FILE;
    say_hello(self->coordinator, ROLE_MAPPER, (uint32_t)number);
    while (pando_receive_tag(TAG_ORDER, PANDO_FOREVER) == PANDO_DATA) {
        work(self);
    }
}
