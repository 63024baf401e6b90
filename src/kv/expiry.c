/* expiry - what is due, in the order of (deadline, id), read off the heap without changing it. */
#include "kv/internal.h"
#include "kv/state_time.h"

uint64_t pd_kv_next_deadline_ns(const struct pd_kv *kv)
{
    uint32_t first = pd_kv_deadlines_first(&kv->deadlines);
    return kv->deadlines.count == 0 ? UINT64_MAX : kv->deadlines.keys[first].deadline_ns;
}

struct pd_kv_due pd_kv_due_at(const struct pd_kv *kv, uint32_t place)
{
    const struct pd_kv_timed *timed = pd_kv_timed_of(kv, kv->deadlines.heap[place]);
    return (struct pd_kv_due){timed->deadline_ns, timed->id, timed->is_session};
}

static bool is_due_sooner(const struct pd_kv_due *a, const struct pd_kv_due *b)
{
    if (a->deadline_ns != b->deadline_ns) {
        return a->deadline_ns < b->deadline_ns;
    }
    return a->id != b->id ? a->id < b->id : a->is_session < b->is_session;
}

/* The front is a heap of places in the big one, by what lies there. */
static bool is_sooner(const struct pd_kv *kv, uint32_t a, uint32_t b)
{
    struct pd_kv_due one = pd_kv_due_at(kv, a);
    struct pd_kv_due two = pd_kv_due_at(kv, b);
    return is_due_sooner(&one, &two);
}

static void front_add(const struct pd_kv *kv, uint32_t *count, uint32_t place)
{
    uint32_t *front = kv->expiry_front;
    uint32_t at = (*count)++;
    for (; at > 0 && is_sooner(kv, place, front[(at - 1) / 2]); at = (at - 1) / 2) {
        front[at] = front[(at - 1) / 2];
    }
    front[at] = place;
}

static uint32_t front_take(const struct pd_kv *kv, uint32_t *count)
{
    uint32_t *front = kv->expiry_front;
    uint32_t first = front[0];
    uint32_t last = front[--*count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < *count && is_sooner(kv, front[child + 1], front[child])) {
            child++;
        }
        if (child >= *count || !is_sooner(kv, front[child], last)) {
            break;
        }
        front[at] = front[child];
        at = child;
    }
    front[at] = last;
    return first;
}

/* The one that comes behind `skip` others. false: there is none, or too many are passed over. */
static bool due_behind(const struct pd_kv *kv, uint32_t skip, struct pd_kv_due *due_out)
{
    uint32_t count = 0;
    if (kv->deadlines.count == 0 || skip > PD_KV_EXPIRY_SKIP_MAX) {
        return false;
    }
    front_add(kv, &count, 0);
    for (; count > 0; skip--) {
        uint32_t place = front_take(kv, &count);
        if (skip == 0) {
            *due_out = pd_kv_due_at(kv, place);
            return true;
        }
        for (uint32_t child = 2 * place + 1; child <= 2 * place + 2; child++) {
            if (child < kv->deadlines.count) {
                front_add(kv, &count, child);
            }
        }
    }
    return false;
}

bool pd_kv_expiry_command(const struct pd_kv *kv, uint64_t state_time_ns, uint32_t skip,
                          struct pd_kv_writer *writer)
{
    struct pd_kv_due due;
    if (!due_behind(kv, skip, &due) || !pd_kv_is_due(due.deadline_ns, state_time_ns)) {
        return false;
    }
    struct pd_kv_command command = {
        .kind = due.is_session ? PD_KV_SESSION_EXPIRE : PD_KV_LEASE_EXPIRE,
        .id = (int64_t)due.id,
    };
    pd_kv_command_encode(writer, &command);
    return !writer->is_full;
}

int64_t pd_kv_due_take(struct pd_kv_due *due, uint32_t *count)
{
    struct pd_kv_due first = due[0];
    struct pd_kv_due last = due[--*count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < *count && is_due_sooner(&due[child + 1], &due[child])) {
            child++;
        }
        if (child >= *count || !is_due_sooner(&due[child], &last)) {
            break;
        }
        due[at] = due[child];
        at = child;
    }
    due[at] = last;
    return first.is_session ? 0 : (int64_t)first.id;
}
