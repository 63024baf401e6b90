/* kv_counter: several actors count together in the store, and one watches them.
 *
 *     pando start --app build/share/examples/kv_counter.wasm --allow-kv counter/
 *     pando run --node pando-data --allow-kv counter/ build/share/examples/kv_counter.wasm 4 25
 *
 * Each counter reads the number and writes the next one in a transaction that holds only if nobody
 * wrote in between; who loses reads again. So every step is counted once, whoever dies when. */
#include <stdio.h>
#include <stdlib.h>

#include <pando/pando.h>

#define TOTAL "counter/total"
#define COUNTERS_MAX 64
#define EVENT_TAG 1
#define DONE_TAG 2

static int fail(const char *what, enum pando_kv_code code)
{
    char text[1025];
    (void)pando_kv_error_take(text, sizeof text);
    (void)fprintf(stderr, "kv_counter: %s: code %d: %s\n", what, (int)code, text);
    return 1;
}

/* Add one. PANDO_KV_OK, or what went wrong. */
static enum pando_kv_code count_once(void)
{
    for (;;) {
        char value[32] = "0";
        char room[256];
        struct pando_kv_found found = {0, 0, 0, 0, 0, 0};
        struct pando_kv_committed committed = {0, 0, 0};
        enum pando_kv_code code = pando_kv_get(TOTAL, value, sizeof value - 1, &found);
        if (code != PANDO_KV_OK && code != PANDO_KV_ABSENT) {
            return code;
        }
        if (code == PANDO_KV_OK) {
            value[found.value_size < sizeof value ? found.value_size : sizeof value - 1] = '\0';
        }
        int size = snprintf(value, sizeof value, "%ld", strtol(value, NULL, 10) + 1);
        struct pando_kv_txn txn = pando_kv_txn(room, sizeof room);
        pando_kv_if(&txn, TOTAL, PANDO_KV_MOD_REVISION, PANDO_KV_EQUAL, found.mod_revision);
        pando_kv_then_put(&txn, TOTAL, value, (uint32_t)size);
        code = pando_kv_commit(&txn, &committed);
        if (code != PANDO_KV_OK || committed.succeeded != 0) {
            return code;
        }
    }
}

PANDO_EXPORT("counter") void counter(int64_t parent, int32_t steps);
void counter(int64_t parent, int32_t steps)
{
    enum pando_kv_code code = PANDO_KV_OK;
    for (int32_t i = 0; i < steps && code == PANDO_KV_OK; i++) {
        code = count_once();
    }
    if (code != PANDO_KV_OK) {
        (void)fail("count", code);
    }
    pando_send_u64((uint64_t)parent, DONE_TAG, (uint64_t)code);
}

/* Read the events of the total until it has been `last`. How many there were, or -1. */
static long watch_until(long last)
{
    char key[64];
    char value[32];
    long seen = 0;
    for (;;) {
        struct pando_kv_events events;
        struct pando_kv_event event;
        if (pando_receive_tag(EVENT_TAG, 30000) != PANDO_DATA || !pando_kv_events(&events) ||
            events.has_ended != 0) {
            return -1;
        }
        while (pando_kv_next_event(&event, key, sizeof key, value, sizeof value)) {
            if (event.is_delete == 0) {
                seen++;
                if (strtol(value, NULL, 10) == last) {
                    return seen;
                }
            }
        }
    }
}

static int start_counters(int count, int steps)
{
    const struct pando_param params[2] = {pando_i64((int64_t)pando_self()), pando_i32(steps)};
    for (int i = 0; i < count; i++) {
        uint64_t pid = 0;
        if (pando_spawn("counter", params, 2, &pid) != PANDO_OK) {
            (void)fprintf(stderr, "kv_counter: cannot spawn\n");
            return 1;
        }
    }
    return 0;
}

int main(int count, char **arguments)
{
    int counters = count > 1 ? atoi(arguments[1]) : 4;
    int steps = count > 2 ? atoi(arguments[2]) : 25;
    char end[sizeof TOTAL];
    struct pando_kv_watch watch;
    if (counters < 1 || counters > COUNTERS_MAX || steps < 1) {
        (void)fprintf(stderr, "usage: kv_counter [COUNTERS [STEPS]]\n");
        return 2;
    }
    struct pando_kv_range range = pando_kv_prefix(TOTAL, end);
    enum pando_kv_code code = pando_kv_delete(TOTAL, NULL);
    if (code == PANDO_KV_OK) {
        code = pando_kv_watch(&range, EVENT_TAG, &watch);
    }
    if (code != PANDO_KV_OK) {
        return fail("begin", code);
    }
    if (start_counters(counters, steps) != 0) {
        return 1;
    }
    long seen = watch_until((long)counters * steps);
    for (int i = 0; i < counters; i++) {
        uint64_t done = 0;
        if (pando_receive_tag(DONE_TAG, 30000) != PANDO_DATA || !pando_message_read_u64(&done) ||
            done != PANDO_KV_OK) {
            return 1;
        }
    }
    (void)pando_kv_unwatch(watch.id);
    printf("%d counters counted to %d; the watcher saw %ld steps\n", counters, counters * steps,
           seen);
    return seen == (long)counters * steps ? 0 : 1;
}
