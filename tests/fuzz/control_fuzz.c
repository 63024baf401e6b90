/* Whatever a client sends over the control socket, in whatever pieces, the program goes on: each
 * conversation is bounded, and what it answers are whole lines. */
#include <pthread.h>

#include "node/control_world.h"

#include "actor/mailbox.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct world world;
static pthread_once_t is_open = PTHREAD_ONCE_INIT;

static void open_once(void)
{
    world_open(&world);
}

/* The processes that kills ended are made anew, so that there is always one to ask. */
static void respawn(void)
{
    if (pd_environment_count(world.program.environment) == 0) {
        (void)world_spawn(&world, &idle, 0, "one");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)pthread_once(&is_open, open_once);
    respawn();
    const struct pd_control_target target = {.program = &world.program, .file = "fuzz.wasm"};
    struct pd_control_session *session = pd_control_session_create(&target);
    size_t at = 0;
    uint32_t rounds = 0;
    while (session != NULL && rounds++ < 10000 && !pd_control_session_is_over(session)) {
        size_t room = pd_control_session_room(session);
        size_t piece = size - at < room ? size - at : room;
        if (at < size && (data[at] & 1u) != 0 && piece > 7) {
            piece = 7; /* in pieces, too */
        }
        pd_control_session_feed(session, (const char *)data + at, piece);
        at += piece;
        pd_control_session_work(session);
        const char *bytes = NULL;
        size_t there = pd_control_session_output(session, &bytes);
        if (there > 0 && bytes[there - 1] != '\n') {
            abort();
        }
        pd_control_session_sent(session, there);
        if (at == size && pd_control_session_wait_ms(session) < 0) {
            break;
        }
    }
    pd_control_session_destroy(session);
    return 0;
}
