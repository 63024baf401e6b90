/* Sockets of preview 1: connections of a listener that the guest was given. */
#include "wasi_world.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>

#define LISTENER 3u
#define PEEK 1u
#define WAITALL 2u
#define NONBLOCK 4u
#define SHUT_READ_SIDE 1u
#define SHUT_WRITE_SIDE 2u
#define FLAGS_AT 16u
#define IOVEC_AT 256u
#define DATA_AT 4096u
#define IN_AT 16384u
#define OUT_AT 32768u
#define RIGHT_SOCK_SHUTDOWN (UINT64_C(1) << 28)

/* A guest with a listener as descriptor 3 and nothing else. */
struct scene {
    struct world world;
    struct pd_wasi_config *config;
    struct pd_guest guest;
    uint16_t port;
};

static void scene_open(struct scene *scene)
{
    char why[256] = "";
    world_open(&scene->world);
    assert_int_equal(pd_wasi_config_create(scene->world.files, &scene->config), PD_OK);
    pd_wasi_config_set_stdio(scene->config, true);
    assert_int_equal(
        pd_wasi_config_add_listener(scene->config, "127.0.0.1:0", &scene->port, why, sizeof why),
        PD_OK);
    assert_true(scene->port > 0);
    fake_guest_init(&scene->guest, &scene->world.host, scene->config);
}

static void scene_close(struct scene *scene)
{
    if (scene->guest.memory != NULL) {
        fake_guest_kill(&scene->guest);
    }
    fake_wait_jobs(&scene->world.host);
    pd_wasi_config_release(scene->config);
    world_close(&scene->world);
}

/* A client; reading from it waits, so that no test must. */
static int dial(const struct scene *scene)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(scene->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static uint32_t accept_as(struct pd_guest *guest, uint32_t flags, uint32_t *fd_out)
{
    uint32_t error = CALL(guest, sock_accept, LISTENER, flags, 8);
    *fd_out = fake_u32(guest, 8);
    return error;
}

static uint32_t receive(struct pd_guest *guest, uint32_t fd, uint32_t size, uint32_t flags,
                        uint32_t *count_out)
{
    pd_put_u32(guest->memory + IOVEC_AT, DATA_AT);
    pd_put_u32(guest->memory + IOVEC_AT + 4, size);
    pd_put_u32(guest->memory + 8, 0xAAAAAAAA);
    pd_put_u16(guest->memory + FLAGS_AT, 0xFFFF);
    uint32_t error = CALL(guest, sock_recv, fd, IOVEC_AT, 1, flags, 8, FLAGS_AT);
    *count_out = fake_u32(guest, 8);
    if (error == 0) {
        assert_int_equal(pd_get_u16(guest->memory + FLAGS_AT), 0);
    }
    return error;
}

static uint32_t send_text(struct pd_guest *guest, uint32_t fd, const char *text)
{
    memcpy(guest->memory + DATA_AT, text, strlen(text));
    pd_put_u32(guest->memory + IOVEC_AT, DATA_AT);
    pd_put_u32(guest->memory + IOVEC_AT + 4, (uint32_t)strlen(text));
    uint32_t error = CALL(guest, sock_send, fd, IOVEC_AT, 1, 0, 8);
    if (error == 0) {
        assert_int_equal(fake_u32(guest, 8), strlen(text));
    }
    return error;
}

static void assert_client_reads(int client, const char *text)
{
    char got[64] = "";
    assert_int_equal(recv(client, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
    assert_string_equal(got, text);
}

static void a_connection_is_served(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(CALL(guest, fd_prestat_get, LISTENER, 8), PD_FILE_BADF);
    assert_int_equal(CALL(guest, fd_fdstat_get, LISTENER, 64), 0);
    assert_int_equal(guest->memory[64], PD_FILE_TYPE_SOCKET_STREAM);
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, 0, &fd), 0);
    assert_int_equal(fd, LISTENER + 1);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, 64), 0);
    assert_int_equal(guest->memory[64], PD_FILE_TYPE_SOCKET_STREAM);
    assert_int_equal(pd_get_u16(guest->memory + 66), 0);
    assert_int_equal(CALL(guest, fd_filestat_get, fd, STAT_AT), 0);
    assert_int_equal(STAT_TYPE(guest), PD_FILE_TYPE_SOCKET_STREAM);
    assert_int_equal(send(client, "hello", 5, 0), 5);
    assert_int_equal(receive(guest, fd, 100, PEEK, &count), 0);
    assert_int_equal(count, 5);
    assert_memory_equal(guest->memory + DATA_AT, "hello", 5);
    memset(guest->memory + DATA_AT, 0, 8);
    assert_int_equal(receive(guest, fd, 3, 0, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(read_bytes(guest, fd, 100, &count), 0); /* a connection is a file too */
    assert_int_equal(count, 2);
    assert_memory_equal(guest->memory + DATA_AT, "lo", 2);
    assert_int_equal(send_text(guest, fd, "answer"), 0);
    assert_int_equal(write_text(guest, fd, " and more"), 0);
    assert_client_reads(client, "answer and more");
    /* The guest's side ends, the client's not yet. */
    assert_int_equal(CALL(guest, sock_shutdown, fd, SHUT_WRITE_SIDE), 0);
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0);
    assert_int_equal(send_text(guest, fd, "late"), PD_FILE_PIPE);
    assert_int_equal(send(client, "bye", 3, 0), 3);
    assert_int_equal(receive(guest, fd, 100, 0, &count), 0);
    assert_int_equal(count, 3);
    close(client);
    assert_int_equal(receive(guest, fd, 100, 0, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(CALL(guest, fd_close, fd), 0);
    assert_int_equal(receive(guest, fd, 100, 0, &count), PD_FILE_BADF);
    scene_close(&scene);
}

static void nothing_waits_that_must_not(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, LISTENER, NONBLOCK), 0);
    assert_int_equal(accept_as(guest, 0, &fd), PD_FILE_AGAIN);
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, LISTENER, 0), 0);
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, NONBLOCK, &fd), 0);
    assert_int_equal(CALL(guest, fd_fdstat_get, fd, 64), 0);
    assert_int_equal(pd_get_u16(guest->memory + 66), NONBLOCK);
    assert_int_equal(receive(guest, fd, 10, 0, &count), PD_FILE_AGAIN);
    assert_int_equal(receive(guest, fd, 10, PEEK, &count), PD_FILE_AGAIN);
    assert_int_equal(receive(guest, fd, 0, 0, &count), 0); /* nothing wanted, nothing waited for */
    assert_int_equal(count, 0);
    /* A full connection. */
    memset(guest->memory + 65536, 'x', 65536);
    pd_put_u32(guest->memory + IOVEC_AT, 65536);
    pd_put_u32(guest->memory + IOVEC_AT + 4, 65536);
    uint32_t error = 0;
    for (int i = 0; i < 1000 && error == 0; i++) {
        error = CALL(guest, sock_send, fd, IOVEC_AT, 1, 0, 8);
    }
    assert_int_equal(error, PD_FILE_AGAIN);
    assert_int_equal(CALL(guest, sock_shutdown, fd, SHUT_READ_SIDE | SHUT_WRITE_SIDE), 0);
    close(client);
    scene_close(&scene);
}

static void put_fd(struct pd_guest *guest, uint32_t index, uint8_t type, uint32_t fd)
{
    uint8_t *to = guest->memory + IN_AT + index * 48;
    memset(to, 0, 48);
    pd_put_u64(to, 100 + index);
    to[8] = type;
    pd_put_u32(to + 16, fd);
}

static void assert_event(struct pd_guest *guest, uint32_t index, uint64_t userdata, uint32_t error,
                         uint64_t bytes, uint32_t flags)
{
    const uint8_t *event = guest->memory + OUT_AT + index * 32;
    assert_int_equal(pd_get_u64(event), userdata);
    assert_int_equal(pd_get_u16(event + 8), error);
    assert_int_equal(pd_get_u64(event + 16), bytes);
    assert_int_equal(pd_get_u16(event + 24), flags);
}

static void sockets_are_polled(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    int client = dial(&scene);
    put_fd(guest, 0, 1, LISTENER);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, OUT_AT, 1, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 1);
    assert_event(guest, 0, 100, 0, 1, 0);
    /* A listener takes nothing. */
    put_fd(guest, 0, 2, LISTENER);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, OUT_AT, 1, 8), 0);
    assert_event(guest, 0, 100, PD_FILE_BADF, 0, 0);
    assert_int_equal(accept_as(guest, 0, &fd), 0);
    put_fd(guest, 0, 1, fd);
    put_fd(guest, 1, 2, fd);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, OUT_AT, 2, 8), 0);
    assert_int_equal(fake_u32(guest, 8), 1);
    assert_event(guest, 0, 101, 0, 1, 0);
    assert_int_equal(send(client, "four", 4, 0), 4);
    put_fd(guest, 0, 1, fd);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, OUT_AT, 1, 8), 0);
    assert_event(guest, 0, 100, 0, 4, 0);
    scene_close(&scene);
    close(client);
}

/* Begin to receive until buffers of 3 and 4 bytes, with one for nothing in between, are full. */
static enum pd_call_result begin_whole(struct pd_guest *guest, uint32_t fd)
{
    static const uint32_t iovecs[] = {DATA_AT, 3, DATA_AT, 0, DATA_AT + 100, 4};
    for (uint32_t i = 0; i < 6; i++) {
        pd_put_u32(guest->memory + IOVEC_AT + (size_t)4 * i, iovecs[i]);
    }
    memset(guest->memory + DATA_AT, 0, 128);
    const uint64_t arguments[] = {fd, IOVEC_AT, 3, WAITALL, 8, FLAGS_AT};
    return fake_begin(guest, fake_import("sock_recv"), arguments, 6);
}

static void assert_received(struct pd_guest *guest, const char *text)
{
    size_t size = strlen(text);
    assert_int_equal(guest->call.result, 0);
    guest->call.resume = NULL;
    assert_int_equal(fake_u32(guest, 8), size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(guest->memory[DATA_AT + (i < 3 ? i : 97 + i)], text[i]);
    }
}

static void all_that_is_wanted_is_waited_for(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    uint32_t count;
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, 0, &fd), 0);
    /* Each piece ends the wait of one job, and another waits for the rest. */
    assert_int_equal(begin_whole(guest, fd), PD_CALL_WAIT);
    assert_int_equal(send(client, "ab", 2, 0), 2);
    assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
    assert_int_equal(send(client, "cde", 3, 0), 3);
    assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
    assert_int_equal(send(client, "fgh", 3, 0), 3);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    assert_received(guest, "abcdefg");
    assert_int_equal(receive(guest, fd, 10, 0, &count), 0);
    assert_int_equal(count, 1); /* no byte more than was wanted */
    /* The end comes before. */
    assert_int_equal(begin_whole(guest, fd), PD_CALL_WAIT);
    assert_int_equal(send(client, "ij", 2, 0), 2);
    assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
    close(client);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    assert_received(guest, "ij");
    assert_int_equal(receive(guest, fd, 10, WAITALL, &count), 0);
    assert_int_equal(count, 0);
    scene_close(&scene);
}

/* The list of buffers lies in a buffer itself, and the peer writes one there that has less room
 * than what has come. */
static void a_list_that_is_overwritten_ends_the_wait(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, 0, &fd), 0);
    for (uint32_t size = 0; size <= 17; size++) {
        static const uint32_t list[] = {IOVEC_AT, 16, DATA_AT, 100};
        uint8_t sent[17];
        for (uint32_t i = 0; i < 4; i++) {
            pd_put_u32(guest->memory + IOVEC_AT + (size_t)4 * i, list[i]);
        }
        pd_put_u32(sent, DATA_AT);
        pd_put_u32(sent + 4, size);
        pd_put_u32(sent + 8, DATA_AT);
        pd_put_u32(sent + 12, 0);
        sent[16] = 'x';
        const uint64_t arguments[] = {fd, IOVEC_AT, 2, WAITALL, 8, FLAGS_AT};
        assert_int_equal(fake_begin(guest, fake_import("sock_recv"), arguments, 6), PD_CALL_WAIT);
        assert_int_equal(send(client, sent, sizeof sent, 0), sizeof sent);
        assert_int_equal(fake_continue(guest), PD_CALL_DONE);
        guest->call.resume = NULL;
        assert_int_equal(guest->call.result, 0);
        assert_int_equal(fake_u32(guest, 8), sizeof sent);
    }
    close(client);
    scene_close(&scene);
}

static void who_does_not_wait_gets_what_is_there(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    uint32_t count;
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, NONBLOCK, &fd), 0);
    assert_int_equal(receive(guest, fd, 10, WAITALL, &count), PD_FILE_AGAIN);
    assert_int_equal(send(client, "ab", 2, 0), 2);
    put_fd(guest, 0, 1, fd);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, OUT_AT, 1, 8), 0);
    assert_int_equal(receive(guest, fd, 10, WAITALL, &count), 0);
    assert_int_equal(count, 2);
    close(client);
    scene_close(&scene);
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t end = FAKE_MEMORY_SIZE;
    uint32_t fd;
    uint32_t count;
    int client = dial(&scene);
    assert_int_equal(CALL(guest, sock_accept, LISTENER, 1, 8), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, sock_accept, LISTENER, 0x10004, 8), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, sock_accept, LISTENER, 0, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_accept, 0, 0, 8), PD_FILE_NOTSOCK);
    assert_int_equal(CALL(guest, sock_accept, 9, 0, 8), PD_FILE_BADF);
    assert_int_equal(accept_as(guest, 0, &fd), 0); /* none of those took the connection */
    assert_int_equal(CALL(guest, sock_accept, fd, 0, 8), PD_FILE_NOTCAPABLE);
    assert_int_equal(read_bytes(guest, LISTENER, 10, &count), PD_FILE_BADF);
    assert_int_equal(write_bytes(guest, LISTENER, "x", 1, &count), PD_FILE_BADF);
    assert_int_equal(receive(guest, LISTENER, 10, 0, &count), PD_FILE_BADF);
    assert_int_equal(send_text(guest, LISTENER, "x"), PD_FILE_BADF);
    assert_int_equal(CALL(guest, sock_shutdown, LISTENER, SHUT_READ_SIDE), PD_FILE_NOTCAPABLE);
    assert_int_equal(receive(guest, fd, 10, 4, &count), PD_FILE_INVAL);
    assert_int_equal(receive(guest, fd, 10, WAITALL | PEEK, &count), PD_FILE_NOTSUP);
    assert_int_equal(receive(guest, fd, end, WAITALL, &count), PD_FILE_FAULT);
    assert_int_equal(receive(guest, fd, end, 0, &count), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_recv, fd, IOVEC_AT, 1, 0, end - 3, FLAGS_AT), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_recv, fd, IOVEC_AT, 1, 0, 8, end - 1), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_recv, fd, end - 7, 1, 0, 8, FLAGS_AT), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_send, fd, IOVEC_AT, 1, 1, 8), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, sock_send, fd, end - 7, 1, 0, 8), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_send, fd, IOVEC_AT, 0, 0, end - 3), PD_FILE_FAULT);
    assert_int_equal(CALL(guest, sock_shutdown, fd, 0), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, sock_shutdown, fd, 4), PD_FILE_INVAL);
    assert_int_equal(CALL(guest, sock_shutdown, fd, UINT32_MAX), PD_FILE_INVAL);
    /* It is a stream without a place in a file system. */
    assert_int_equal(CALL(guest, fd_seek, fd, 0, 0, 8), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_pread, fd, IOVEC_AT, 1, 0, 8), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_sync, fd), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_filestat_set_size, fd, 0), PD_FILE_NOTCAPABLE);
    assert_int_equal(CALL(guest, fd_readdir, fd, DATA_AT, 100, 0, 8), PD_FILE_NOTDIR);
    assert_int_equal(CALL(guest, path_create_directory, fd, fake_put(guest, "x", 1), 1),
                     PD_FILE_NOTDIR);
    close(client);
    scene_close(&scene);
}

static void rights_of_sockets_shrink(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    uint32_t count;
    assert_int_equal(CALL(guest, fd_fdstat_get, LISTENER, 64), 0);
    uint64_t base = fake_u64(guest, 72);
    uint64_t inheriting = fake_u64(guest, 80) & ~(RIGHT_WRITE | RIGHT_SOCK_SHUTDOWN);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, LISTENER, base, inheriting), 0);
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, 0, &fd), 0);
    assert_int_equal(send_text(guest, fd, "x"), PD_FILE_BADF);
    assert_int_equal(CALL(guest, sock_shutdown, fd, SHUT_WRITE_SIDE), PD_FILE_NOTCAPABLE);
    assert_int_equal(send(client, "y", 1, 0), 1);
    assert_int_equal(receive(guest, fd, 10, 0, &count), 0);
    assert_int_equal(count, 1);
    assert_int_equal(CALL(guest, fd_fdstat_set_rights, LISTENER, 0, 0), 0);
    assert_int_equal(accept_as(guest, 0, &fd), PD_FILE_NOTCAPABLE);
    close(client);
    scene_close(&scene);
}

static void a_listener_is_shared(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    /* A copy of the configuration, with a directory before and a second listener behind. */
    struct pd_wasi_config *copy = pd_wasi_config_retain(scene.config);
    assert_int_equal(pd_wasi_config_edit(&copy), PD_OK);
    assert_int_equal(
        pd_wasi_config_add_directory(copy, scene.world.scratch, "/", PD_WASI_READ, NULL, 0), PD_OK);
    uint16_t port = 0;
    char why[256] = "";
    assert_int_equal(pd_wasi_config_add_listener(copy, "localhost:0", &port, why, sizeof why),
                     PD_OK);
    struct pd_guest other;
    fake_guest_init(&other, &scene.world.host, copy);
    pd_wasi_config_release(copy);
    assert_int_equal(CALL(&other, fd_prestat_get, DIR_FD, 8), 0);
    assert_int_equal(CALL(&other, fd_prestat_get, DIR_FD + 1, 8), PD_FILE_BADF);
    for (uint32_t number = DIR_FD + 1; number <= DIR_FD + 2; number++) {
        assert_int_equal(CALL(&other, fd_fdstat_get, number, 64), 0);
        assert_int_equal(other.memory[64], PD_FILE_TYPE_SOCKET_STREAM);
    }
    assert_int_equal(CALL(&other, fd_fdstat_get, DIR_FD + 3, 64), PD_FILE_BADF);
    (void)CALL(&other, sched_yield, 0);
    assert_int_equal(pd_wasi_fd_count(other.wasi), 6);
    /* One guest is done with it; the other is not. */
    assert_int_equal(CALL(guest, fd_close, LISTENER), 0);
    assert_int_equal(accept_as(guest, 0, &fd), PD_FILE_BADF);
    int client = dial(&scene);
    assert_int_equal(CALL(&other, sock_accept, DIR_FD + 1, 0, 8), 0);
    assert_int_equal(fake_u32(&other, 8), DIR_FD + 3);
    assert_int_equal(pd_wasi_fd_count(other.wasi), 7);
    fake_guest_kill(&other);
    fake_wait_jobs(&scene.world.host);
    char byte;
    assert_int_equal(recv(client, &byte, 1, 0), 0); /* the dead one's connection is closed */
    close(client);
    scene_close(&scene);
}

static void the_waiting_are_let_go(void **state)
{
    (void)state;
    unsigned before = open_descriptor_count();
    for (int which = 0; which < 3; which++) {
        struct scene scene;
        scene_open(&scene);
        struct pd_guest *guest = &scene.guest;
        uint32_t fd = LISTENER;
        int client = -1;
        if (which > 0) {
            client = dial(&scene);
            assert_int_equal(accept_as(guest, 0, &fd), 0);
        }
        pd_put_u32(guest->memory + IOVEC_AT, DATA_AT);
        pd_put_u32(guest->memory + IOVEC_AT + 4, 100);
        const uint64_t accepting[] = {LISTENER, 0, 8};
        const uint64_t receiving[] = {fd, IOVEC_AT, 1, which == 2 ? WAITALL : 0, 8, FLAGS_AT};
        assert_int_equal(which == 0 ? fake_begin(guest, fake_import("sock_accept"), accepting, 3)
                                    : fake_begin(guest, fake_import("sock_recv"), receiving, 6),
                         PD_CALL_WAIT);
        if (which == 2) { /* it has some, and waits for the rest */
            assert_int_equal(send(client, "ab", 2, 0), 2);
            assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
        }
        fake_guest_kill(guest);
        fake_wait_jobs(&scene.world.host); /* would never come back */
        if (client >= 0) {
            close(client);
        }
        scene_close(&scene);
        assert_int_equal(open_descriptor_count(), before);
    }
}

/* Look until the network has brought it. */
static void look_until_done(struct pd_guest *guest)
{
    enum pd_call_result result;
    do {
        result = fake_continue(guest);
        sched_yield();
    } while (result == PD_CALL_WAIT);
    assert_int_equal(result, PD_CALL_DONE);
    assert_int_equal(guest->call.result, 0);
    guest->call.resume = NULL;
}

static void without_a_place_to_wait_it_is_looked_at_again(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    scene.world.host.runs_inline = true;
    while (pd_files_wait_begin(scene.world.files)) {
    }
    const uint64_t accepting[] = {LISTENER, 0, 8};
    assert_int_equal(fake_begin(guest, fake_import("sock_accept"), accepting, 3), PD_CALL_WAIT);
    assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
    int client = dial(&scene);
    look_until_done(guest);
    uint32_t fd = fake_u32(guest, 8);
    const uint64_t receiving[] = {fd, IOVEC_AT, 1, PEEK, 8, FLAGS_AT};
    pd_put_u32(guest->memory + IOVEC_AT, DATA_AT);
    pd_put_u32(guest->memory + IOVEC_AT + 4, 100);
    assert_int_equal(fake_begin(guest, fake_import("sock_recv"), receiving, 6), PD_CALL_WAIT);
    assert_int_equal(send(client, "late", 4, 0), 4);
    look_until_done(guest);
    assert_int_equal(fake_u32(guest, 8), 4);
    uint32_t count; /* it was a look only */
    assert_int_equal(receive(guest, fd, 100, 0, &count), 0);
    assert_int_equal(count, 4);
    for (uint32_t i = 0; i < PD_FILES_WAITING_MAX; i++) {
        pd_files_wait_end(scene.world.files);
    }
    close(client);
    scene_close(&scene);
}

/* Looking again and again, it remembers what it has; and a failure in the middle leaves that. */
static void pieces_are_gathered_without_a_place_too(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_guest *guest = &scene.guest;
    uint32_t fd;
    int client = dial(&scene);
    assert_int_equal(accept_as(guest, 0, &fd), 0);
    scene.world.host.runs_inline = true;
    while (pd_files_wait_begin(scene.world.files)) {
    }
    for (int round = 0; round < 2; round++) {
        assert_int_equal(begin_whole(guest, fd), PD_CALL_WAIT);
        assert_int_equal(send(client, "abcd", 4, 0), 4);
        while (guest->memory[DATA_AT + 100] != 'd') {
            assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
            sched_yield();
        }
        if (round == 0) {
            assert_int_equal(send(client, "efg", 3, 0), 3);
            look_until_done(guest);
            assert_received(guest, "abcdefg");
        }
    }
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    close(client);
    look_until_done(guest);
    assert_received(guest, "abcd");
    for (uint32_t i = 0; i < PD_FILES_WAITING_MAX; i++) {
        pd_files_wait_end(scene.world.files);
    }
    scene_close(&scene);
}

static void addresses_are_checked(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct pd_wasi_config *config = NULL;
    assert_int_equal(pd_wasi_config_create(scene.world.files, &config), PD_OK);
    static const char *const wrong[] = {
        "", "nonsense", ":80", "127.0.0.1", "127.0.0.1:", "[::1:1", "[]:1", "[::1]x:1", "::"};
    char why[256];
    char text[64];
    uint16_t port = 0;
    unsigned before = open_descriptor_count();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        why[0] = '\0';
        assert_int_equal(pd_wasi_config_add_listener(config, wrong[i], &port, why, sizeof why),
                         PD_ERR_INVALID);
        assert_true(strlen(why) > 0);
    }
    char endless[400];
    memset(endless, 'a', sizeof endless);
    memcpy(endless + sizeof endless - 3, ":1", 3);
    assert_int_equal(pd_wasi_config_add_listener(config, endless, &port, why, sizeof why),
                     PD_ERR_INVALID);
    assert_int_equal(pd_wasi_config_add_listener(config, "127.0.0.1:http", &port, why, sizeof why),
                     PD_ERR_UNKNOWN);
    snprintf(text, sizeof text, "127.0.0.1:%u", scene.port); /* taken */
    assert_int_equal(pd_wasi_config_add_listener(config, text, &port, why, sizeof why), PD_ERR_IO);
    assert_int_equal(open_descriptor_count(), before);
    /* Not every machine has it. */
    enum pd_status status = pd_wasi_config_add_listener(config, "[::1]:0", &port, why, sizeof why);
    assert_true(status == PD_OK || status == PD_ERR_IO || status == PD_ERR_UNKNOWN);
    for (uint32_t i = status == PD_OK; i < PD_WASI_LISTENERS_MAX; i++) {
        assert_int_equal(pd_wasi_config_add_listener(config, "127.0.0.1:0", &port, why, sizeof why),
                         PD_OK);
    }
    assert_int_equal(pd_wasi_config_add_listener(config, "127.0.0.1:0", &port, why, sizeof why),
                     PD_ERR_FULL);
    pd_wasi_config_release(config);
    assert_int_equal(open_descriptor_count(), before);
    scene_close(&scene);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    scene.world.host.runs_inline = true;
    unsigned before = open_descriptor_count();
    bool is_over = false;
    for (uint64_t nth = 1; !is_over; nth++) {
        assert_true(nth < 100);
        fake_guest_kill(&scene.guest);
        fake_guest_init(&scene.guest, &scene.world.host, scene.config);
        int client = dial(&scene);
        assert_int_equal(send(client, "text", 4, 0), 4);
        uint32_t fd = 0;
        uint32_t count;
        pd_alloc_fail_nth(nth);
        is_over = accept_as(&scene.guest, 0, &fd) == 0 &&
                  receive(&scene.guest, fd, 100, 0, &count) == 0 &&
                  send_text(&scene.guest, fd, "text") == 0;
        pd_alloc_fail_nth(0);
        fake_guest_kill(&scene.guest);
        fake_guest_init(&scene.guest, &scene.world.host, scene.config);
        close(client);
        /* A client that was not taken yet, as there was no memory, is the next one's. */
        assert_int_equal(CALL(&scene.guest, fd_fdstat_set_flags, LISTENER, NONBLOCK), 0);
        while (accept_as(&scene.guest, 0, &fd) == 0) {
            assert_int_equal(CALL(&scene.guest, fd_close, fd), 0);
        }
        assert_int_equal(open_descriptor_count(), before);
    }
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_is_served),
        cmocka_unit_test(nothing_waits_that_must_not),
        cmocka_unit_test(sockets_are_polled),
        cmocka_unit_test(all_that_is_wanted_is_waited_for),
        cmocka_unit_test(a_list_that_is_overwritten_ends_the_wait),
        cmocka_unit_test(who_does_not_wait_gets_what_is_there),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(rights_of_sockets_shrink),
        cmocka_unit_test(a_listener_is_shared),
        cmocka_unit_test(the_waiting_are_let_go),
        cmocka_unit_test(without_a_place_to_wait_it_is_looked_at_again),
        cmocka_unit_test(pieces_are_gathered_without_a_place_too),
        cmocka_unit_test(addresses_are_checked),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
