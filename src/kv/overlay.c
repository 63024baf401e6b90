#include "kv/overlay.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/pages.h"
#include "kv/codec.h"

#define ALIGNMENT 8u
#define FORGET_BYTES (UINT64_C(4) << 20) /* once so much was released, its pages go back */
/* Positions begin here, so that 0 is none. */
#define FIRST_POSITION ALIGNMENT

static uint64_t round_up(uint64_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

enum pd_status pd_kv_overlay_init(struct pd_kv_overlay *overlay, uint64_t size)
{
    size = round_up(size);
    uint8_t *ring = pd_alloc((size_t)size);
    if (ring == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    *overlay = (struct pd_kv_overlay){.ring = ring, .ring_size = size};
    pd_kv_overlay_clear(overlay);
    return PD_OK;
}

void pd_kv_overlay_deinit(struct pd_kv_overlay *overlay)
{
    pd_free(overlay->ring);
    *overlay = (struct pd_kv_overlay){0};
}

void pd_kv_overlay_clear(struct pd_kv_overlay *overlay)
{
    overlay->tail = FIRST_POSITION;
    overlay->head = FIRST_POSITION;
    overlay->last = 0;
    overlay->forgotten = FIRST_POSITION;
    memset(overlay->links, 0, sizeof overlay->links);
    pd_random_init(&overlay->random, 1, "overlay");
}

uint64_t pd_kv_overlay_room_left(const struct pd_kv_overlay *overlay)
{
    return overlay->ring_size - (overlay->head - overlay->tail);
}

static uint64_t entry_size(uint32_t height, size_t key_size, size_t value_size)
{
    return round_up(sizeof(struct pd_kv_entry) + height * sizeof(uint64_t) + key_size + value_size);
}

uint64_t pd_kv_overlay_entry_size(size_t key_size, size_t value_size)
{
    return entry_size(PD_KV_OVERLAY_LEVELS, key_size, value_size);
}

struct pd_kv_entry *pd_kv_overlay_at(const struct pd_kv_overlay *overlay, uint64_t position)
{
    return (struct pd_kv_entry *)(void *)(overlay->ring + position % overlay->ring_size);
}

struct pd_span pd_kv_entry_key(const struct pd_kv_entry *entry)
{
    return pd_kv_span(entry->next + entry->height, entry->key_size);
}

struct pd_span pd_kv_entry_value(const struct pd_kv_entry *entry)
{
    const uint8_t *key = (const uint8_t *)(const void *)(entry->next + entry->height);
    return pd_kv_span(key + entry->key_size, entry->value_size);
}

/* For each level the link that leads to the first entry with a key >= `key`. */
static void find_links(struct pd_kv_overlay *overlay, struct pd_span key,
                       uint64_t *links[PD_KV_OVERLAY_LEVELS])
{
    uint64_t *level_links = overlay->links;
    for (uint32_t level = PD_KV_OVERLAY_LEVELS; level-- > 0;) {
        uint64_t *link = &level_links[level];
        while (*link != 0) {
            struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, *link);
            if (pd_kv_span_compare(pd_kv_entry_key(entry), key) >= 0) {
                break;
            }
            level_links = entry->next;
            link = &level_links[level];
        }
        links[level] = link;
    }
}

static void unlink_entry(struct pd_kv_overlay *overlay, uint64_t position)
{
    struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, position);
    if (!entry->indexed) {
        return;
    }
    uint64_t *links[PD_KV_OVERLAY_LEVELS];
    find_links(overlay, pd_kv_entry_key(entry), links);
    for (uint32_t level = 0; level < entry->height; level++) {
        pd_assert(*links[level] == position);
        *links[level] = entry->next[level];
    }
    entry->indexed = 0;
}

static void link_entry(struct pd_kv_overlay *overlay, uint64_t position)
{
    struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, position);
    uint64_t *links[PD_KV_OVERLAY_LEVELS];
    struct pd_span key = pd_kv_entry_key(entry);
    find_links(overlay, key, links);
    uint64_t twin = *links[0];
    if (twin != 0 && pd_kv_span_equal(pd_kv_entry_key(pd_kv_overlay_at(overlay, twin)), key)) {
        unlink_entry(overlay, twin);
        entry->replaced = twin;
        find_links(overlay, key, links);
    }
    for (uint32_t level = 0; level < entry->height; level++) {
        entry->next[level] = *links[level];
        *links[level] = position;
    }
    entry->indexed = 1;
}

static uint32_t draw_height(struct pd_kv_overlay *overlay)
{
    uint64_t bits = pd_random_next(&overlay->random);
    uint32_t height = 1;
    while (height < PD_KV_OVERLAY_LEVELS && (bits & 3) == 0) {
        bits >>= 2;
        height++;
    }
    return height;
}

/* Room for `size` bytes in one piece at head, after a pad if need be. */
static bool make_room(struct pd_kv_overlay *overlay, uint64_t size)
{
    uint64_t offset = overlay->head % overlay->ring_size;
    uint64_t pad = overlay->ring_size - offset < size ? overlay->ring_size - offset : 0;
    if (pad + size > pd_kv_overlay_room_left(overlay)) {
        return false;
    }
    if (pad >= sizeof(struct pd_kv_entry)) {
        *pd_kv_overlay_at(overlay, overlay->head) = (struct pd_kv_entry){
            .before = overlay->last, .size = (uint32_t)pad, .kind = PD_KV_ENTRY_PAD};
        overlay->last = overlay->head;
    }
    overlay->head += pad;
    return true;
}

/* A remainder that is too small for an entry is skipped without one. */
static uint64_t skip_rest(const struct pd_kv_overlay *overlay, uint64_t position)
{
    uint64_t left = overlay->ring_size - position % overlay->ring_size;
    return left < sizeof(struct pd_kv_entry) && position < overlay->head ? position + left
                                                                         : position;
}

uint64_t pd_kv_overlay_append(struct pd_kv_overlay *overlay, enum pd_kv_entry_kind kind,
                              struct pd_span key, struct pd_span head, struct pd_span body,
                              bool is_indexed)
{
    uint32_t height = is_indexed ? draw_height(overlay) : 0;
    uint64_t size = entry_size(height, key.size, head.size + body.size);
    if (!make_room(overlay, size)) {
        return 0;
    }
    uint64_t position = overlay->head;
    struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, position);
    *entry = (struct pd_kv_entry){
        .before = overlay->last,
        .size = (uint32_t)size,
        .key_size = (uint32_t)key.size,
        .value_size = (uint32_t)(head.size + body.size),
        .kind = (uint8_t)kind,
        .height = (uint8_t)height,
    };
    uint8_t *to = (uint8_t *)(void *)(entry->next + height);
    memcpy(to, key.bytes, key.size);
    if (head.size > 0) {
        memcpy(to + key.size, head.bytes, head.size);
    }
    if (body.size > 0) {
        memcpy(to + key.size + head.size, body.bytes, body.size);
    }
    overlay->head += size;
    overlay->last = position;
    if (is_indexed) {
        link_entry(overlay, position);
    }
    return position;
}

uint64_t pd_kv_overlay_seek(const struct pd_kv_overlay *overlay, struct pd_span key)
{
    const uint64_t *level_links = overlay->links;
    for (uint32_t level = PD_KV_OVERLAY_LEVELS; level-- > 0;) {
        while (level_links[level] != 0) {
            const struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, level_links[level]);
            if (pd_kv_span_compare(pd_kv_entry_key(entry), key) >= 0) {
                break;
            }
            level_links = entry->next;
        }
    }
    return level_links[0];
}

uint64_t pd_kv_overlay_next(const struct pd_kv_overlay *overlay, uint64_t position)
{
    return pd_kv_overlay_at(overlay, position)->next[0];
}

uint64_t pd_kv_overlay_from(const struct pd_kv_overlay *overlay, uint64_t position)
{
    return skip_rest(overlay, position < overlay->tail ? overlay->tail : position);
}

uint64_t pd_kv_overlay_after(const struct pd_kv_overlay *overlay, uint64_t position)
{
    position = skip_rest(overlay, position);
    if (position >= overlay->head) {
        return overlay->head;
    }
    return skip_rest(overlay, position + pd_kv_overlay_at(overlay, position)->size);
}

void pd_kv_overlay_release(struct pd_kv_overlay *overlay, uint64_t position)
{
    pd_assert(position <= overlay->head);
    overlay->tail = skip_rest(overlay, overlay->tail);
    while (overlay->tail < position) {
        struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, overlay->tail);
        unlink_entry(overlay, overlay->tail);
        overlay->tail = skip_rest(overlay, overlay->tail + entry->size);
    }
    if (overlay->tail >= overlay->head) {
        overlay->tail = overlay->head;
        overlay->last = 0;
    }
    if (overlay->tail - overlay->forgotten >= FORGET_BYTES) {
        pd_pages_forget_unused(overlay->ring, overlay->ring_size, overlay->tail, overlay->head);
        overlay->forgotten = overlay->tail;
    }
}

void pd_kv_overlay_take_back(struct pd_kv_overlay *overlay, uint64_t position)
{
    while (overlay->last >= position && overlay->last >= overlay->tail && overlay->last != 0) {
        uint64_t last = overlay->last;
        struct pd_kv_entry *entry = pd_kv_overlay_at(overlay, last);
        unlink_entry(overlay, last);
        overlay->last = entry->before;
        if (entry->replaced >= overlay->tail && entry->replaced != 0) {
            /* Its place is free again: nothing of the same key came in between. */
            struct pd_kv_entry *old = pd_kv_overlay_at(overlay, entry->replaced);
            uint64_t older = old->replaced;
            link_entry(overlay, entry->replaced);
            old->replaced = older;
        }
    }
    if (overlay->head > position) {
        overlay->head = position;
    }
    if (overlay->last < overlay->tail) {
        overlay->last = 0;
    }
}

void pd_kv_overlay_check(const struct pd_kv_overlay *overlay)
{
    pd_assert(overlay->tail <= overlay->head);
    pd_assert(overlay->head - overlay->tail <= overlay->ring_size);
    uint64_t at = overlay->links[0];
    uint64_t before = 0;
    while (at != 0) {
        pd_assert(at >= overlay->tail);
        pd_assert(at < overlay->head);
        if (before != 0) {
            pd_assert(pd_kv_span_compare(pd_kv_entry_key(pd_kv_overlay_at(overlay, before)),
                                         pd_kv_entry_key(pd_kv_overlay_at(overlay, at))) < 0);
        }
        before = at;
        at = pd_kv_overlay_next(overlay, at);
    }
}

_Static_assert(sizeof(struct pd_kv_entry) % ALIGNMENT == 0, "entries follow each other aligned");
