#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNKS_WANTED 64u

static bool refuse(const char *name, const char *why)
{
    fprintf(stderr, "wordcount: %s: %s\n", name, why);
    return false;
}

static bool refuse_error(const char *name, int error)
{
    if (error == ENOTCAPABLE) {
        return refuse(name, "not within a directory that was given (pando run --dir)");
    }
    return refuse(name, strerror(error));
}

/* The size of a file that can be counted. */
static bool measure(const char *name, uint64_t *size_out)
{
    struct stat status;
    if (stat(name, &status) != 0) {
        return refuse_error(name, errno);
    }
    if (S_ISDIR(status.st_mode)) {
        return refuse(name, "is a directory; name the files in it");
    }
    if (!S_ISREG(status.st_mode)) {
        return refuse(name, "is no regular file, so its size is not known; copy it to one");
    }
    int descriptor = open(name, O_RDONLY);
    if (descriptor < 0) {
        return refuse_error(name, errno);
    }
    char byte = 0;
    ssize_t got = status.st_size == 0 ? read(descriptor, &byte, 1) : 0;
    int error = errno;
    close(descriptor);
    if (got < 0) {
        return refuse_error(name, error);
    }
    if (got > 0) {
        return refuse(name, "says that it is empty, and is not; copy it to a file");
    }
    *size_out = (uint64_t)status.st_size;
    return true;
}

/* Make one chunk that begins at *file, *offset, and move both behind it. */
static struct chunk cut(const struct plan *plan, uint32_t chunk_size, uint32_t *file,
                        uint64_t *offset)
{
    struct chunk chunk = {.offset = *offset, .file = *file};
    for (uint32_t pieces = 1; pieces < PIECES_MAX; pieces++) {
        uint64_t left = plan->files[*file].size - *offset;
        uint32_t room = chunk_size - chunk.size;
        if (left > room) {
            chunk.size += room;
            *offset += room;
            return chunk;
        }
        chunk.size += (uint32_t)left;
        *offset = 0;
        (*file)++;
        if (*file == plan->file_count || left == room) {
            return chunk;
        }
    }
    return chunk;
}

static bool cut_all(struct plan *plan, uint32_t chunk_size)
{
    uint32_t room = 0;
    uint32_t file = 0;
    uint64_t offset = 0;
    while (file < plan->file_count) {
        if (plan->chunk_count == room) {
            room = room == 0 ? 256 : 2 * room;
            struct chunk *chunks =
                room > CHUNKS_MAX ? NULL : realloc(plan->chunks, room * sizeof *chunks);
            if (chunks == NULL) {
                fprintf(stderr,
                        "wordcount: %llu bytes are more than %u chunks; count them in parts\n",
                        (unsigned long long)plan->byte_count, CHUNKS_MAX);
                return false;
            }
            plan->chunks = chunks;
        }
        plan->chunks[plan->chunk_count++] = cut(plan, chunk_size, &file, &offset);
    }
    return true;
}

bool plan_make(struct plan *plan, char **names, uint32_t name_count, uint32_t chunk_size)
{
    bool is_good = true;
    *plan = (struct plan){.files = calloc(name_count, sizeof *plan->files)};
    if (plan->files == NULL) {
        return refuse(names[0], "and the others are too many files");
    }
    for (uint32_t i = 0; i < name_count; i++) {
        uint64_t size = 0;
        if (!measure(names[i], &size)) {
            is_good = false;
        } else if (size > 0) {
            plan->files[plan->file_count++] = (struct plan_file){names[i], size};
            plan->byte_count += size;
        }
    }
    if (!is_good) {
        return false;
    }
    if (chunk_size == 0) {
        uint64_t even = plan->byte_count / CHUNKS_WANTED;
        chunk_size = even < CHUNK_SIZE_MIN   ? CHUNK_SIZE_MIN
                     : even > CHUNK_SIZE_MAX ? CHUNK_SIZE_MAX
                                             : (uint32_t)even;
    }
    return cut_all(plan, chunk_size);
}

static void write_piece(const struct plan *plan, uint32_t file, uint64_t offset, uint64_t size)
{
    const struct plan_file *from = &plan->files[file];
    struct piece piece = {.offset = offset,
                          .size = size,
                          .file_size = from->size,
                          .file = file,
                          .name_size = pando_text_size(from->name)};
    pando_message_write(&piece, sizeof piece);
    pando_message_write(from->name, piece.name_size);
}

/* How many files the bytes of a chunk lie in. */
static uint32_t count_pieces(const struct plan *plan, const struct chunk *chunk)
{
    uint32_t count = 0;
    uint64_t offset = chunk->offset;
    uint64_t left = chunk->size;
    for (uint32_t file = chunk->file; left > 0; file++) {
        uint64_t there = plan->files[file].size - offset;
        left -= there < left ? there : left;
        offset = 0;
        count++;
    }
    return count;
}

void plan_write_order(const struct plan *plan, struct order order, const uint64_t *reducers)
{
    const struct chunk *chunk = &plan->chunks[order.chunk];
    bool is_first = chunk->file == 0 && chunk->offset == 0;
    order.flags |= is_first ? 0 : ORDER_LOOK_BACK;
    order.piece_count = count_pieces(plan, chunk) + (is_first ? 0 : 1);
    pando_message_create(TAG_ORDER, 0);
    pando_message_write(&order, sizeof order);
    pando_message_write(reducers, order.reducer_count * (uint32_t)sizeof *reducers);
    if (!is_first) { /* the byte before: in this file, or the last of the one before */
        uint32_t file = chunk->offset > 0 ? chunk->file : chunk->file - 1;
        uint64_t end = chunk->offset > 0 ? chunk->offset : plan->files[file].size;
        write_piece(plan, file, end - 1, 1);
    }
    uint64_t offset = chunk->offset;
    uint64_t left = chunk->size;
    for (uint32_t file = chunk->file; left > 0; file++) {
        uint64_t there = plan->files[file].size - offset;
        uint64_t size = there < left ? there : left;
        write_piece(plan, file, offset, size);
        left -= size;
        offset = 0;
    }
}
