/* read_room - how many bytes the answers of all open reads may hold together.
 *
 *   small -> large, when there is room, few are large, and nobody stands in line outside
 *         -> turned away: ended, and in line outside; then admitted, which is large
 *   large -> waits in the middle for room; the one that became large first waits for none but that
 *            of answers on their way to those who serve the clients, and never for clients: so one
 *            always ends, and what is held has a bound, as what waits for clients has one */
#include "base/assert.h"
#include "kv/internal.h"

#define LARGE_PART 8u /* of all reads at once, those that may be large */

static uint32_t large_max(const struct pd_kv *kv)
{
    uint32_t part = kv->config.reads_max / LARGE_PART;
    return part == 0 ? 1 : part;
}

static void become_large(struct pd_kv *kv, struct pd_kv_reading *reading)
{
    pd_assert(!reading->is_large);
    reading->is_large = true;
    reading->order = ++kv->read_order;
    kv->reads_large++;
}

static bool is_first(const struct pd_kv *kv, const struct pd_kv_reading *reading)
{
    for (uint32_t i = 0; i < kv->config.reads_max; i++) {
        if (kv->reads[i].is_large && kv->reads[i].order < reading->order) {
            return false;
        }
    }
    return true;
}

static bool has_room(const struct pd_kv *kv, uint64_t held, uint64_t more)
{
    return kv->reads_away + held + more <= kv->config.reads_bytes_max;
}

/* As the only one that is under way. */
static bool may_go_alone(const struct pd_kv *kv, uint64_t more)
{
    return kv->reads_away - kv->reads_unread + more <= kv->config.reads_bytes_max;
}

bool pd_kv_reads_have_room(const struct pd_kv *kv)
{
    return kv->reads_large < large_max(kv) &&
           (has_room(kv, kv->reads_held, kv->config.small_read_bytes) ||
            (kv->reads_large == 0 && may_go_alone(kv, kv->config.small_read_bytes)));
}

bool pd_kv_read_may_take(struct pd_kv *kv, struct pd_kv_reading *reading, uint64_t more)
{
    if (reading->is_large) {
        return has_room(kv, kv->reads_held, more) ||
               (is_first(kv, reading) && may_go_alone(kv, more));
    }
    if (reading->held + more <= kv->config.small_read_bytes) {
        return true;
    }
    bool may =
        !kv->reads_line && kv->reads_large < large_max(kv) &&
        (has_room(kv, kv->reads_held, more) || (kv->reads_large == 0 && may_go_alone(kv, more)));
    if (may) {
        become_large(kv, reading);
    }
    return may;
}

void pd_kv_read_holds(struct pd_kv *kv, struct pd_kv_reading *reading, uint64_t bytes)
{
    pd_assert(kv->reads_held >= reading->held);
    kv->reads_held = kv->reads_held - reading->held + bytes;
    reading->held = bytes;
}

void pd_kv_read_leaves(struct pd_kv *kv, struct pd_kv_reading *reading)
{
    pd_kv_read_holds(kv, reading, 0);
    pd_assert(kv->reads_large >= reading->is_large);
    kv->reads_large -= reading->is_large;
    reading->is_large = false;
}

bool pd_kv_read_is_turned_away(const struct pd_kv *kv, uint32_t read)
{
    pd_assert(read < kv->config.reads_max);
    return kv->reads[read].need > 0 && !kv->reads[read].is_large;
}

void pd_kv_read_admit(struct pd_kv *kv, uint32_t read)
{
    pd_assert(read < kv->config.reads_max);
    if (!kv->reads[read].is_large && !kv->reads[read].is_done) {
        become_large(kv, &kv->reads[read]);
    }
}

void pd_kv_reads_line(struct pd_kv *kv, bool is_line)
{
    kv->reads_line = is_line;
}

void pd_kv_reads_away(struct pd_kv *kv, uint64_t bytes, uint64_t unread)
{
    pd_assert(unread <= bytes);
    kv->reads_away = bytes;
    kv->reads_unread = unread;
}
