#include "proto/arena.h"

#include <stdalign.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define CHUNK_BYTES ((size_t)64 * 1024)

struct pd_arena_chunk {
    struct pd_arena_chunk *next;
    size_t size; /* of bytes */
    size_t used;
    alignas(max_align_t) uint8_t bytes[];
};

static void *allocate(void *data, size_t size)
{
    return pd_arena_take(data, size);
}

static void keep(void *data, void *block)
{
    (void)data;
    (void)block;
}

void pd_arena_init(struct pd_arena *arena, size_t bytes_max)
{
    *arena = (struct pd_arena){
        .allocator = {.alloc = allocate, .free = keep, .allocator_data = arena},
        .bytes_max = bytes_max,
    };
}

static void free_from(struct pd_arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct pd_arena_chunk *next = chunk->next;
        pd_free(chunk);
        chunk = next;
    }
}

void pd_arena_deinit(struct pd_arena *arena)
{
    free_from(arena->first);
    *arena = (struct pd_arena){0};
}

void pd_arena_reset(struct pd_arena *arena)
{
    struct pd_arena_chunk *first = arena->first;
    if (first == NULL) {
        return;
    }
    if (first->size > CHUNK_BYTES) { /* a large one is not kept for nobody */
        free_from(first);
        arena->first = NULL;
        arena->current = NULL;
        arena->bytes = 0;
        return;
    }
    free_from(first->next);
    first->next = NULL;
    first->used = 0;
    arena->current = first;
    arena->bytes = first->size;
}

static struct pd_arena_chunk *add_chunk(struct pd_arena *arena, size_t size)
{
    size_t wanted = size > CHUNK_BYTES ? size : CHUNK_BYTES;
    if (wanted > arena->bytes_max - arena->bytes) {
        return NULL;
    }
    struct pd_arena_chunk *chunk = pd_alloc(sizeof *chunk + wanted);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->next = NULL;
    chunk->size = wanted;
    chunk->used = 0;
    if (arena->first == NULL) {
        arena->first = chunk;
    } else {
        pd_assert(arena->current != NULL);
        arena->current->next = chunk;
    }
    arena->current = chunk;
    arena->bytes += wanted;
    return chunk;
}

void *pd_arena_take(struct pd_arena *arena, size_t size)
{
    pd_assert(arena->bytes <= arena->bytes_max);
    size_t alignment = alignof(max_align_t);
    if (size > arena->bytes_max) {
        return NULL;
    }
    size_t wanted = size == 0 ? alignment : (size + alignment - 1) / alignment * alignment;
    struct pd_arena_chunk *chunk = arena->current;
    if (chunk == NULL || chunk->size - chunk->used < wanted) {
        chunk = add_chunk(arena, wanted);
    }
    if (chunk == NULL) {
        return NULL;
    }
    void *taken = chunk->bytes + chunk->used;
    chunk->used += wanted;
    return taken;
}

void *pd_arena_take_zeroed(struct pd_arena *arena, size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) {
        return NULL;
    }
    void *taken = pd_arena_take(arena, count * size);
    if (taken != NULL) {
        memset(taken, 0, count * size);
    }
    return taken;
}
