/* A connection that comes back: against a listener of the test's own, which answers, hangs up,
 * sends nonsense, and does not read. */
#include "host/frames_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "host/real.h"

#define LIMIT_NS UINT64_C(120000000000)

static struct pd_real_host *real;
static struct pd_host *host;
static char folder[64];
static char path[96];
static int listener = -1;

/* What the client told. */
static struct {
    struct pd_event event;
    atomic_uint frames;
    atomic_uint losses;
    atomic_uint ups;
    uint64_t correlation; /* of the last frame; read after its event */
    size_t size;
    uint8_t bytes[256];
} told;

static void on_frame(void *state, uint64_t correlation, struct pd_span bytes)
{
    (void)state;
    told.correlation = correlation;
    told.size = bytes.size;
    if (bytes.size > 0 && bytes.size <= sizeof told.bytes) {
        memcpy(told.bytes, bytes.bytes, bytes.size);
    }
    (void)atomic_fetch_add(&told.frames, 1);
    host->ops->event_set(host, &told.event);
}

static void on_lost(void *state)
{
    (void)state;
    (void)atomic_fetch_add(&told.losses, 1);
    host->ops->event_set(host, &told.event);
}

static void on_up(void *state)
{
    (void)state;
    (void)atomic_fetch_add(&told.ups, 1);
    host->ops->event_set(host, &told.event);
}

static void wait_until(atomic_uint *count, unsigned wanted)
{
    uint64_t deadline_ns = pd_host_now_ns(host) + LIMIT_NS;
    while (atomic_load(count) < wanted) {
        assert_true(host->ops->event_wait(host, &told.event, deadline_ns));
    }
}

static void start_listening(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    (void)unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 4), 0);
}

static void stop_listening(void)
{
    (void)close(listener);
    (void)unlink(path);
    listener = -1;
}

static int accept_one(void)
{
    int peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    return peer;
}

static int set_up(void **state)
{
    (void)state;
    memset(&told, 0, sizeof told);
    (void)snprintf(folder, sizeof folder, "%s/pando-frames-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(folder) == NULL || pd_real_host_create(1, 4, &real) != PD_OK) {
        return -1;
    }
    host = pd_real_host_interface(real);
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (listener >= 0) {
        stop_listening();
    }
    (void)rmdir(folder);
    pd_real_host_destroy(real);
    return 0;
}

static struct pd_frames_client_config config_of(const char *to)
{
    return (struct pd_frames_client_config){.path = to,
                                            .host = host,
                                            .frame_bytes_max = 1 << 20,
                                            .output_bytes_max = 1 << 20,
                                            .reconnect_ms = 20,
                                            .frame = on_frame,
                                            .lost = on_lost,
                                            .up = on_up};
}

static struct pd_frames_client *open_client(void)
{
    char text[PD_FRAMES_TEXT_MAX];
    struct pd_frames_client *client = NULL;
    struct pd_frames_client_config config = config_of(path);
    assert_int_equal(pd_frames_client_open(&config, text, &client), PD_OK);
    assert_string_equal(text, "");
    return client;
}

static void send_frame(int peer, uint64_t correlation, const char *text)
{
    uint8_t head[PD_FRAME_HEAD_SIZE];
    size_t size = strlen(text);
    pd_put_u32(head, (uint32_t)size);
    pd_put_u64(head + 4, correlation);
    for (size_t i = 0; i < sizeof head; i++) { /* byte by byte: frames come in pieces */
        assert_int_equal(send(peer, head + i, 1, MSG_NOSIGNAL), 1);
    }
    assert_int_equal(send(peer, text, size, MSG_NOSIGNAL), (ssize_t)size);
}

static void expect_frame(int peer, uint64_t correlation, const char *text)
{
    uint8_t bytes[PD_FRAME_HEAD_SIZE + 64];
    size_t size = PD_FRAME_HEAD_SIZE + strlen(text);
    assert_int_equal(recv(peer, bytes, size, MSG_WAITALL), (ssize_t)size);
    assert_int_equal(pd_get_u32(bytes), strlen(text));
    assert_int_equal(pd_get_u64(bytes + 4), correlation);
    assert_memory_equal(bytes + PD_FRAME_HEAD_SIZE, text, strlen(text));
}

static struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static void nobody_listens(void **state)
{
    (void)state;
    char text[PD_FRAMES_TEXT_MAX];
    char longer[256];
    struct pd_frames_client *client = NULL;
    struct pd_frames_client_config config = config_of(path);
    assert_int_equal(pd_frames_client_open(&config, text, &client), PD_ERR_CLOSED);
    assert_non_null(strstr(text, "no node listens"));
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    config = config_of(longer);
    assert_int_equal(pd_frames_client_open(&config, text, &client), PD_ERR_RANGE);
}

static void frames_go_both_ways(void **state)
{
    (void)state;
    start_listening();
    struct pd_frames_client *client = open_client();
    int peer = accept_one();
    assert_int_equal(pd_frames_client_send(client, 5, span("question")), PD_OK);
    assert_int_equal(pd_frames_client_send(client, 6, span("")), PD_OK);
    expect_frame(peer, 5, "question");
    expect_frame(peer, 6, "");
    send_frame(peer, 5, "answer");
    wait_until(&told.frames, 1);
    assert_int_equal(told.correlation, 5);
    assert_int_equal(told.size, 6);
    assert_memory_equal(told.bytes, "answer", 6);
    send_frame(peer, 6, "");
    wait_until(&told.frames, 2);
    assert_int_equal(told.size, 0);
    pd_frames_client_close(client);
    (void)close(peer);
    assert_int_equal(atomic_load(&told.losses), 0);
}

static void it_comes_back(void **state)
{
    (void)state;
    start_listening();
    struct pd_frames_client *client = open_client();
    int peer = accept_one();
    stop_listening();
    (void)close(peer);
    wait_until(&told.losses, 1);
    assert_int_equal(pd_frames_client_send(client, 1, span("x")), PD_ERR_CLOSED);
    start_listening();
    peer = accept_one();
    wait_until(&told.ups, 1);
    assert_int_equal(pd_frames_client_send(client, 2, span("again")), PD_OK);
    expect_frame(peer, 2, "again");
    /* Nonsense, and a frame that is too large, lose the connection and nothing else. */
    uint8_t head[PD_FRAME_HEAD_SIZE];
    memset(head, 0xFF, sizeof head);
    assert_int_equal(send(peer, head, sizeof head, MSG_NOSIGNAL), (ssize_t)sizeof head);
    wait_until(&told.losses, 2);
    wait_until(&told.ups, 2);
    (void)close(peer);
    peer = accept_one();
    assert_int_equal(pd_frames_client_send(client, 3, span("still")), PD_OK);
    expect_frame(peer, 3, "still");
    /* Closed while it is looking for somebody. */
    stop_listening();
    (void)close(peer);
    wait_until(&told.losses, 3);
    pd_frames_client_close(client);
    assert_int_equal(atomic_load(&told.frames), 0);
}

/* Who does not read is given as much as may wait, and then no more; all of that arrives. */
static void a_peer_that_does_not_read(void **state)
{
    (void)state;
    static uint8_t big[100000];
    static uint8_t got[sizeof big + PD_FRAME_HEAD_SIZE];
    start_listening();
    struct pd_frames_client *client = open_client();
    int peer = accept_one();
    uint64_t sent = 0;
    enum pd_status status = PD_OK;
    while (status == PD_OK) {
        memset(big, (int)sent, sizeof big);
        status = pd_frames_client_send(client, sent, (struct pd_span){big, sizeof big});
        sent += status == PD_OK ? 1 : 0;
        assert_true(sent < 1000);
    }
    assert_int_equal(status, PD_ERR_FULL);
    assert_true(sent >= 10);
    for (uint64_t i = 0; i < sent; i++) {
        assert_int_equal(recv(peer, got, sizeof got, MSG_WAITALL), (ssize_t)sizeof got);
        assert_int_equal(pd_get_u64(got + 4), i);
        assert_int_equal(got[PD_FRAME_HEAD_SIZE], (uint8_t)i);
        assert_int_equal(got[sizeof got - 1], (uint8_t)i);
    }
    assert_int_equal(pd_frames_client_send(client, 7, span("small")), PD_OK);
    expect_frame(peer, 7, "small");
    pd_frames_client_close(client);
    (void)close(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nobody_listens),
        TEST(frames_go_both_ways),
        TEST(it_comes_back),
        TEST(a_peer_that_does_not_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
