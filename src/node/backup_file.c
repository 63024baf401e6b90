#include "node/backup_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"

#define BODY_SIZE_AT 8u

struct reading {
    const struct pd_backup_source *source;
    struct pd_backup_about *about;
    struct pd_seal seal;
    struct pd_snapshot_chain chain;
    uint8_t *bytes; /* of the chunk in hand */
    size_t bytes_max;
    char *text;
};

static enum pd_status damaged(const struct reading *reading, const char *format, ...)
    PD_PRINTF(2, 3);

static enum pd_status damaged(const struct reading *reading, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reading->text, PD_BACKUP_TEXT_MAX, format, arguments);
    va_end(arguments);
    return PD_ERR_CORRUPT;
}

/* Exactly `size` bytes at `to`. */
static enum pd_status take(struct reading *reading, uint8_t *to, size_t size)
{
    size_t got = 0;
    enum pd_status status = reading->source->read(reading->source->state, to, size, &got);
    if (status == PD_OK && got < size) {
        return damaged(reading,
                       "it ends after %" PRIu64 " bytes, in the middle of a chunk: it was "
                       "cut short",
                       reading->seal.size + got);
    }
    return status;
}

/* The next chunk's bytes: its head tells how many. */
static enum pd_status take_chunk(struct reading *reading, struct pd_span *chunk_out)
{
    uint8_t head[PD_SNAPSHOT_CHUNK_HEAD_SIZE];
    enum pd_status status = take(reading, head, sizeof head);
    if (status != PD_OK) {
        return status;
    }
    size_t size = sizeof head + (size_t)pd_get_u32(head + BODY_SIZE_AT);
    if (size > PD_BACKUP_CHUNK_MAX) {
        return damaged(reading, "chunk %" PRIu64 " is damaged", reading->chain.number);
    }
    if (size > reading->bytes_max) {
        pd_free(reading->bytes);
        reading->bytes_max = 0;
        reading->bytes = pd_alloc(size);
        if (reading->bytes == NULL) {
            return PD_ERR_NO_MEMORY;
        }
        reading->bytes_max = size;
    }
    memcpy(reading->bytes, head, sizeof head);
    status = take(reading, reading->bytes + sizeof head, size - sizeof head);
    *chunk_out = (struct pd_span){reading->bytes, size};
    return status;
}

static enum pd_status begin(struct reading *reading, struct pd_span bytes)
{
    struct pd_snapshot_peek peek;
    if (pd_snapshot_peek(bytes, &peek) != PD_OK || peek.kind != PD_SNAPSHOT_HEAD) {
        return damaged(reading, "it does not begin as a snapshot of Pando of this version");
    }
    reading->about->id = peek.id;
    pd_snapshot_chain_init(&reading->chain, &peek.id);
    return PD_OK;
}

static enum pd_status look_at_head(struct reading *reading, const struct pd_snapshot_chunk *chunk)
{
    const struct pd_kv_raise_config nothing = {0};
    struct pd_kv_raise raise;
    enum pd_status status = pd_kv_raise_init(&raise, &nothing, chunk->head.meta);
    reading->about->state = raise.from;
    pd_kv_raise_deinit(&raise);
    return status == PD_ERR_CORRUPT || reading->about->state.index != reading->about->id.index
               ? damaged(reading, "what it says of its own state makes no sense")
               : PD_OK;
}

static enum pd_status read_chunks(struct reading *reading, pd_backup_visit visit, void *state)
{
    enum pd_status status = PD_OK;
    for (uint64_t number = 0; status == PD_OK && !reading->chain.is_ended; number++) {
        struct pd_span bytes = {NULL, 0};
        struct pd_snapshot_chunk chunk;
        status = take_chunk(reading, &bytes);
        if (status == PD_OK && number == 0) {
            status = begin(reading, bytes);
        }
        if (status != PD_OK) {
            return status;
        }
        if (pd_snapshot_take(&reading->chain, bytes, &chunk) != PD_OK) {
            return damaged(reading,
                           "chunk %" PRIu64 ", which ends at byte %" PRIu64
                           ", is damaged or not the next one",
                           number, reading->seal.size + bytes.size);
        }
        pd_seal_add(&reading->seal, bytes);
        if (number == 0) {
            status = look_at_head(reading, &chunk);
        }
        if (status == PD_OK && visit != NULL) {
            status = visit(state, &chunk);
        }
    }
    return status;
}

static enum pd_status read_tail(struct reading *reading)
{
    uint8_t wanted[PD_SEAL_TAIL_MAX];
    uint8_t found[PD_SEAL_TAIL_MAX + 1];
    size_t got = 0;
    size_t size = pd_seal_end(&reading->seal, wanted);
    enum pd_status status = reading->source->read(reading->source->state, found, size + 1, &got);
    if (status != PD_OK) {
        return status;
    }
    if (got < size) {
        return damaged(reading, "its checksum is missing: it was cut short");
    }
    if (got > size) {
        return damaged(reading, "there is more behind its checksum");
    }
    if (memcmp(found, wanted, size) != 0) {
        return damaged(reading, "its checksum is not that of its bytes: it is damaged");
    }
    reading->about->rows = reading->chain.rows;
    reading->about->bytes = reading->seal.size + PD_SEAL_HASH_SIZE;
    memcpy(reading->about->hash, wanted + size - PD_SEAL_HASH_SIZE, PD_SEAL_HASH_SIZE);
    return PD_OK;
}

enum pd_status pd_backup_file_read(const struct pd_backup_source *source, pd_backup_visit visit,
                                   void *state, struct pd_backup_about *about_out,
                                   char text[PD_BACKUP_TEXT_MAX])
{
    struct reading reading = {.source = source, .about = about_out, .text = text};
    *about_out = (struct pd_backup_about){0};
    text[0] = '\0';
    pd_seal_init(&reading.seal);
    enum pd_status status = read_chunks(&reading, visit, state);
    status = status == PD_OK ? read_tail(&reading) : status;
    pd_free(reading.bytes);
    if (status != PD_OK && text[0] == '\0') {
        (void)snprintf(text, PD_BACKUP_TEXT_MAX, "%s", pd_status_text(status));
    }
    return status;
}
