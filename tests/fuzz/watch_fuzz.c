/* The first byte chooses: the bodies of watch requests and answers, which may be any bytes and are
 * encoded again alike; or a script over kv, store and hub, in which every watcher must be told of
 * exactly its events, whatever the bounds and the order of things. */
#include <stddef.h>
#include <stdint.h>

#include "kv/watch_world.h"
#include "node/replica_watch.h"

#define STEPS_MAX 400u
#define ROOM (1u << 16)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static bool is_equal(struct pd_span a, struct pd_span b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.bytes, b.bytes, a.size) == 0);
}

static void check_request(struct pd_span bytes)
{
    static uint8_t room[ROOM];
    struct pd_replica_watch_request request;
    struct pd_replica_watch_request again;
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    if (pd_replica_watch_request_decode(bytes, &request) == PD_OK) {
        pd_replica_watch_request_put(&writer, &request);
        pd_assert(!writer.is_full);
        enum pd_status status =
            pd_replica_watch_request_decode((struct pd_span){room, writer.size}, &again);
        pd_assert(status == PD_OK);
        pd_assert(is_equal(request.key, again.key));
        pd_assert(is_equal(request.range_end, again.range_end));
        pd_assert(request.start_revision == again.start_revision);
        pd_assert(request.credit == again.credit);
    }
    struct pd_replica_watch_credit credit;
    struct pd_replica_watch_credit same;
    writer.size = 0;
    if (pd_replica_watch_credit_decode(bytes, &credit) == PD_OK) {
        pd_replica_watch_credit_put(&writer, &credit);
        enum pd_status status =
            pd_replica_watch_credit_decode((struct pd_span){room, writer.size}, &same);
        pd_assert(status == PD_OK);
        pd_assert(credit.credit == same.credit);
        pd_assert(credit.wants_progress == same.wants_progress);
    }
}

static void check_answer(struct pd_span bytes)
{
    static uint8_t room[ROOM];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_replica_watch_head head;
    struct pd_kv_event event;
    struct pd_kv_reader reader;
    struct pd_kv_reader again;
    uint32_t count = 0;
    pd_kv_reader_init(&reader, bytes);
    pd_replica_watch_head_get(&reader, &head);
    pd_replica_watch_head_put(&writer, &head);
    while (pd_replica_watch_event_get(&reader, &event)) {
        size_t before = writer.size;
        pd_replica_watch_event_put(&writer, &event, true);
        pd_assert(writer.is_full ||
                  writer.size - before <= pd_replica_watch_event_bytes_max(&event));
        count++;
    }
    pd_replica_watch_end_put(&writer);
    if (!pd_kv_answer_is_whole(&reader) || writer.is_full) {
        return;
    }
    pd_kv_reader_init(&again, (struct pd_span){room, writer.size});
    pd_replica_watch_head_get(&again, &head);
    while (pd_replica_watch_event_get(&again, &event)) {
        pd_assert(count > 0);
        count--;
    }
    pd_assert(count == 0);
    pd_assert(pd_kv_answer_is_whole(&again));
}

static void step(struct world *world, uint8_t what)
{
    uint32_t more = what / 16;
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        world_command(world, more % 2 == 0 ? 40 : WORLD_VALUE, 1 + more % 6);
        break;
    case 3:
        world_add(world);
        break;
    case 4:
    case 5:
    case 6:
        world_poke(world);
        break;
    case 7:
    case 8:
    case 9:
        (void)world_turn(world, 1 + more);
        break;
    case 10:
    case 11:
        world_serve(world, false);
        break;
    case 12:
        world_write(world);
        break;
    case 13:
        pd_kv_watch_tick(world->hub);
        break;
    case 14:
        world_compact(world);
        break;
    default:
        if (more == 0) {
            world_settle(world);
        }
        break;
    }
}

/* Small bounds of all kinds, from a few bytes. */
static void run_script(const uint8_t *bytes, size_t size)
{
    struct pd_kv_watch_config config = pd_kv_watch_config_default();
    struct pd_kv_config kv = world_kv_config();
    config.watches_max = WORLD_WATCHES;
    config.recent_revisions_max = 1 + bytes[0] % 16;
    config.recent_events_max = 1 + bytes[1] % 40;
    config.recent_bytes = 1 + bytes[2] * 16u;
    config.readers_max = 1 + bytes[3] % WORLD_READERS;
    config.near_revisions = bytes[3] / 16;
    config.answer_bytes_max = 1 + bytes[4] * 8u;
    config.page_bytes = bytes[5] * 8u;
    config.whole_bytes_max = (config.answer_bytes_max > config.page_bytes ? config.answer_bytes_max
                                                                          : config.page_bytes) +
                             bytes[6] * 32u;
    config.answer_events_max = 1 + bytes[7] % 32;
    config.progress_ticks = 1 + bytes[7] / 32;
    kv.events_max = 1 + bytes[8] % 32;
    kv.event_bytes_max = bytes[9] * 16u;
    struct world *world = world_open(&kv, &config, bytes[10]);
    for (size_t i = 11; i < size && i < STEPS_MAX; i++) {
        step(world, bytes[i]);
    }
    pd_kv_watch_check(world->hub);
    world_settle(world);
    world_close(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size == 0) {
        return 0;
    }
    if (bytes[0] % 4 == 0) {
        check_request((struct pd_span){bytes + 1, size - 1});
    } else if (bytes[0] % 4 == 1) {
        check_answer((struct pd_span){bytes + 1, size - 1});
    } else if (size > 12) {
        run_script(bytes + 1, size - 1);
    }
    return 0;
}
