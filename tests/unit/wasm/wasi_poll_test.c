/* poll_oneoff: clocks of both kinds, files, standard streams, pipes, and subscriptions that make no
 * sense. */
#include "wasi_world.h"

#define SUBSCRIPTION 48u
#define EVENT 32u
#define IN_AT 16384u
#define OUT_AT 32768u
#define COUNT_AT 8u

#define CLOCK_REAL 0u
#define CLOCK_MONO 1u
#define ABSOLUTE 1u
#define EVENT_CLOCK 0u
#define EVENT_READ 1u
#define EVENT_WRITE 2u

static void put_clock(struct pd_guest *guest, uint32_t index, uint64_t userdata, uint32_t clock,
                      uint64_t timeout_ns, uint32_t flags)
{
    uint8_t *to = guest->memory + IN_AT + index * SUBSCRIPTION;
    memset(to, 0, SUBSCRIPTION);
    pd_put_u64(to, userdata);
    to[8] = EVENT_CLOCK;
    pd_put_u32(to + 16, clock);
    pd_put_u64(to + 24, timeout_ns);
    pd_put_u16(to + 40, (uint16_t)flags);
}

static void put_fd(struct pd_guest *guest, uint32_t index, uint64_t userdata, uint32_t type,
                   uint32_t fd)
{
    uint8_t *to = guest->memory + IN_AT + index * SUBSCRIPTION;
    memset(to, 0, SUBSCRIPTION);
    pd_put_u64(to, userdata);
    to[8] = (uint8_t)type;
    pd_put_u32(to + 16, fd);
}

static uint32_t poll_call(struct pd_guest *guest, uint32_t count)
{
    return CALL(guest, poll_oneoff, IN_AT, OUT_AT, count, COUNT_AT);
}

static uint32_t event_count(struct pd_guest *guest)
{
    return fake_u32(guest, COUNT_AT);
}

static void assert_event(struct pd_guest *guest, uint32_t index, uint64_t userdata, uint32_t type,
                         uint32_t error)
{
    const uint8_t *event = guest->memory + OUT_AT + index * EVENT;
    assert_int_equal(pd_get_u64(event), userdata);
    assert_int_equal(pd_get_u16(event + 8), error);
    assert_int_equal(event[10], type);
}

static uint64_t event_bytes(struct pd_guest *guest, uint32_t index)
{
    return pd_get_u64(guest->memory + OUT_AT + index * EVENT + 16);
}

static void clocks_sleep_on_the_hosts_time(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint64_t start = world.host.now_ns;
    put_clock(guest, 0, 7, CLOCK_MONO, 5000000, 0);
    assert_int_equal(poll_call(guest, 1), 0);
    assert_int_equal(event_count(guest), 1);
    assert_event(guest, 0, 7, EVENT_CLOCK, 0);
    assert_int_equal(world.host.now_ns, start + 5000000);
    put_clock(guest, 0, 8, CLOCK_REAL, 1000, 0);
    assert_int_equal(poll_call(guest, 1), 0);
    assert_int_equal(world.host.now_ns, start + 5001000);
    put_clock(guest, 0, 9, CLOCK_MONO, start + 6000000, ABSOLUTE);
    assert_int_equal(poll_call(guest, 1), 0);
    assert_int_equal(world.host.now_ns, start + 6000000);
    put_clock(guest, 0, 10, CLOCK_REAL, world.host.wall_offset_ns + start + 7000000, ABSOLUTE);
    assert_int_equal(poll_call(guest, 1), 0);
    assert_int_equal(world.host.now_ns, start + 7000000);
    /* Past and zero: at once. */
    put_clock(guest, 0, 11, CLOCK_MONO, 0, 0);
    put_clock(guest, 1, 12, CLOCK_REAL, 5, ABSOLUTE);
    put_clock(guest, 2, 13, CLOCK_MONO, 1, 0);
    assert_int_equal(poll_call(guest, 3), 0);
    assert_int_equal(event_count(guest), 2);
    assert_event(guest, 0, 11, EVENT_CLOCK, 0);
    assert_event(guest, 1, 12, EVENT_CLOCK, 0);
    assert_int_equal(world.host.now_ns, start + 7000000);
    /* The earliest of several. */
    put_clock(guest, 0, 1, CLOCK_MONO, 3000, 0);
    put_clock(guest, 1, 2, CLOCK_MONO, 2000, 0);
    put_clock(guest, 2, 3, CLOCK_REAL, 2000, 0);
    put_clock(guest, 3, 4, CLOCK_MONO, UINT64_MAX, 0);
    assert_int_equal(poll_call(guest, 4), 0);
    assert_int_equal(event_count(guest), 2);
    assert_event(guest, 0, 2, EVENT_CLOCK, 0);
    assert_event(guest, 1, 3, EVENT_CLOCK, 0);
    world_close(&world);
}

static void a_wall_clock_that_jumps_is_followed(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint64_t wall = world.host.now_ns + world.host.wall_offset_ns;
    put_clock(guest, 0, 1, CLOCK_REAL, wall + 1000, ABSOLUTE);
    const uint64_t arguments[] = {IN_AT, OUT_AT, 1, COUNT_AT};
    assert_int_equal(fake_begin(guest, fake_import("poll_oneoff"), arguments, 4), PD_CALL_WAIT);
    world.host.wall_offset_ns -= 500; /* set back meanwhile: not yet */
    assert_int_equal(fake_continue(guest), PD_CALL_WAIT);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    assert_int_equal(guest->call.result, 0);
    assert_int_equal(world.host.now_ns + world.host.wall_offset_ns, wall + 1000);
    /* A wake without a reason. */
    put_clock(guest, 0, 1, CLOCK_MONO, 1000, 0);
    assert_int_equal(fake_begin(guest, fake_import("poll_oneoff"), arguments, 4), PD_CALL_WAIT);
    assert_int_equal(guest->call.resume(&guest->call), PD_CALL_WAIT);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    guest->call.resume = NULL;
    world_close(&world);
}

static void files_are_ready(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    assert_int_equal(open_path(guest, "file", O_CREATE, &fd), 0);
    assert_int_equal(write_text(guest, fd, "0123456789"), 0);
    assert_int_equal(CALL(guest, fd_seek, fd, 4, 0, 16), 0);
    put_fd(guest, 0, 1, EVENT_READ, fd);
    put_fd(guest, 1, 2, EVENT_WRITE, fd);
    put_clock(guest, 2, 3, CLOCK_MONO, 1000000000, 0);
    put_fd(guest, 3, 4, EVENT_WRITE, 1);
    put_fd(guest, 4, 5, EVENT_WRITE, 2);
    assert_int_equal(poll_call(guest, 5), 0);
    assert_int_equal(event_count(guest), 4);
    assert_event(guest, 0, 1, EVENT_READ, 0);
    assert_int_equal(event_bytes(guest, 0), 6);
    assert_event(guest, 1, 2, EVENT_WRITE, 0);
    assert_event(guest, 2, 4, EVENT_WRITE, 0);
    assert_event(guest, 3, 5, EVENT_WRITE, 0);
    /* Who may do it may wait for it; the right to poll alone is none to anything. */
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, RIGHT_READ, 0, 0, &fd), 0);
    put_fd(guest, 0, 1, EVENT_READ, fd);
    put_fd(guest, 1, 2, EVENT_WRITE, fd);
    assert_int_equal(poll_call(guest, 2), 0);
    assert_int_equal(event_count(guest), 2);
    assert_event(guest, 0, 1, EVENT_READ, 0);
    assert_event(guest, 1, 2, EVENT_WRITE, PD_FILE_BADF);
    assert_int_equal(open_with(guest, DIR_FD, 0, "file", 0, UINT64_C(1) << 27, 0, 0, &fd), 0);
    put_fd(guest, 0, 1, EVENT_READ, fd);
    assert_int_equal(poll_call(guest, 1), 0);
    assert_event(guest, 0, 1, EVENT_READ, PD_FILE_BADF);
    world_close(&world);
}

static void nonsense_is_an_event_with_an_error(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    assert_int_equal(poll_call(guest, 0), PD_FILE_INVAL);
    assert_int_equal(poll_call(guest, PD_WASI_SUBSCRIPTIONS_MAX + 1), PD_FILE_INVAL);
    put_fd(guest, 0, 1, EVENT_READ, 99);
    put_fd(guest, 1, 2, EVENT_WRITE, UINT32_MAX);
    put_fd(guest, 2, 3, EVENT_READ, DIR_FD);
    put_fd(guest, 3, 4, EVENT_READ, 1);
    put_clock(guest, 4, 5, 2, 0, 0);
    put_clock(guest, 5, 6, 4, 0, 0);
    put_clock(guest, 6, 7, CLOCK_MONO, 0, 2);
    assert_int_equal(poll_call(guest, 7), 0);
    assert_int_equal(event_count(guest), 7);
    assert_event(guest, 0, 1, EVENT_READ, PD_FILE_BADF);
    assert_event(guest, 1, 2, EVENT_WRITE, PD_FILE_BADF);
    assert_event(guest, 2, 3, EVENT_READ, PD_FILE_BADF);
    assert_event(guest, 3, 4, EVENT_READ, PD_FILE_BADF);
    assert_event(guest, 4, 5, EVENT_CLOCK, PD_FILE_NOTSUP);
    assert_event(guest, 5, 6, EVENT_CLOCK, PD_FILE_INVAL);
    assert_event(guest, 6, 7, EVENT_CLOCK, PD_FILE_INVAL);
    put_fd(guest, 0, 1, 3, 1);
    assert_int_equal(poll_call(guest, 1), PD_FILE_INVAL);
    put_clock(guest, 0, 1, CLOCK_MONO, 0, 0);
    assert_int_equal(CALL(guest, poll_oneoff, FAKE_MEMORY_SIZE - 47, OUT_AT, 1, COUNT_AT),
                     PD_FILE_FAULT);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, FAKE_MEMORY_SIZE - 31, 1, COUNT_AT),
                     PD_FILE_FAULT);
    assert_int_equal(CALL(guest, poll_oneoff, IN_AT, OUT_AT, 1, FAKE_MEMORY_SIZE - 3),
                     PD_FILE_FAULT);
    world_close(&world);
}

/* A pipe by name, its other end held by the test. */
static int open_pipe(struct world *world, uint32_t *fd_out)
{
    char path[128];
    snprintf(path, sizeof path, "%s/pipe", world->scratch);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(
        open_with(&world->guest, DIR_FD, 0, "pipe", 0,
                  RIGHTS_FILE & ~(RIGHT_WRITE | (UINT64_C(1) << 8) | RIGHT_FD_FILESTAT_SET_SIZE), 0,
                  0, fd_out),
        0);
    int other = open(path, O_WRONLY);
    assert_true(other >= 0);
    return other;
}

static void a_pipe_is_waited_for(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t fd;
    uint32_t count;
    unsigned before = open_descriptor_count();
    int other = open_pipe(&world, &fd);
    /* Nothing there: the clock ends the wait, in real time. */
    put_fd(guest, 0, 1, EVENT_READ, fd);
    put_clock(guest, 1, 2, CLOCK_MONO, 20000000, 0);
    assert_int_equal(poll_call(guest, 2), 0);
    assert_int_equal(event_count(guest), 1);
    assert_event(guest, 0, 2, EVENT_CLOCK, 0);
    /* Not to wait is a choice. */
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, fd, 4), 0);
    assert_int_equal(read_bytes(guest, fd, 10, &count), PD_FILE_AGAIN);
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, fd, 0), 0);
    /* Bytes that come during the wait. */
    const uint64_t arguments[] = {IN_AT, OUT_AT, 1, COUNT_AT};
    assert_int_equal(fake_begin(guest, fake_import("poll_oneoff"), arguments, 4), PD_CALL_WAIT);
    assert_int_equal(write(other, "abc", 3), 3);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    assert_int_equal(guest->call.result, 0);
    assert_event(guest, 0, 1, EVENT_READ, 0);
    assert_int_equal(event_bytes(guest, 0), 3);
    assert_int_equal(read_bytes(guest, fd, 10, &count), 0);
    assert_int_equal(count, 3);
    assert_memory_equal(guest->memory + 4096, "abc", 3);
    /* A read that waits. */
    pd_put_u32(guest->memory + 256, 4096);
    pd_put_u32(guest->memory + 260, 10);
    const uint64_t read_arguments[] = {fd, 256, 1, 8};
    assert_int_equal(fake_begin(guest, fake_import("fd_read"), read_arguments, 4), PD_CALL_WAIT);
    assert_int_equal(write(other, "later", 5), 5);
    assert_int_equal(fake_continue(guest), PD_CALL_DONE);
    assert_int_equal(guest->call.result, 0);
    assert_int_equal(fake_u32(guest, 8), 5);
    guest->call.resume = NULL;
    /* Its end. */
    close(other);
    assert_int_equal(poll_call(guest, 1), 0);
    assert_event(guest, 0, 1, EVENT_READ, 0);
    assert_int_equal(pd_get_u16(guest->memory + OUT_AT + 24), 1);
    assert_int_equal(read_bytes(guest, fd, 10, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(CALL(guest, fd_seek, fd, 0, 0, 16), PD_FILE_SPIPE);
    assert_int_equal(CALL(guest, fd_close, fd), 0);
    /* Without a reader, writing is an error and not a signal. */
    assert_int_equal(open_with(guest, DIR_FD, 0, "pipe", 0, RIGHT_WRITE, 0, 0, &fd), PD_FILE_NXIO);
    fake_wait_jobs(&world.host);
    assert_int_equal(open_descriptor_count(), before);
    world_close(&world);
}

static void the_programs_input_is_a_stream(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    int saved = dup(0);
    assert_true(saved >= 0);
    assert_int_equal(dup2(ends[0], 0), 0);
    struct world world;
    world_open(&world);
    struct pd_guest *guest = &world.guest;
    uint32_t count;
    assert_int_equal(write(ends[1], "input", 5), 5);
    put_fd(guest, 0, 1, EVENT_READ, 0);
    put_clock(guest, 1, 2, CLOCK_MONO, 1000000000, 0);
    assert_int_equal(poll_call(guest, 2), 0);
    assert_int_equal(event_count(guest), 1);
    assert_event(guest, 0, 1, EVENT_READ, 0);
    assert_int_equal(event_bytes(guest, 0), 5);
    assert_int_equal(read_bytes(guest, 0, 10, &count), 0);
    assert_int_equal(count, 5);
    /* Not to wait is the guest's own affair: the descriptor is shared with other programs. */
    assert_int_equal(CALL(guest, fd_fdstat_set_flags, 0, 4), 0);
    assert_int_equal(read_bytes(guest, 0, 10, &count), PD_FILE_AGAIN);
    assert_int_equal(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
    close(ends[1]);
    assert_int_equal(read_bytes(guest, 0, 10, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(CALL(guest, fd_close, 0), 0);
    assert_int_equal(read_bytes(guest, 0, 10, &count), PD_FILE_BADF);
    assert_true(fcntl(0, F_GETFD) >= 0);
    world_close(&world);
    assert_int_equal(dup2(saved, 0), 0);
    close(saved);
    close(ends[0]);
}

/* Two guests hold the places to wait; a third and a fourth look now and then, and keep no
 * helper. */
static void many_who_wait_leave_helpers_free(void **state)
{
    (void)state;
    struct world world;
    world_open(&world);
    unsigned before = open_descriptor_count();
    uint32_t fd;
    int other = open_pipe(&world, &fd);
    static struct pd_guest guests[4];
    const uint64_t read_arguments[] = {4, 256, 1, 8};
    const uint64_t poll_arguments[] = {IN_AT, OUT_AT, 2, COUNT_AT};
    for (int i = 0; i < 4; i++) {
        fake_guest_init(&guests[i], &world.host, world.config);
        assert_int_equal(
            open_with(&guests[i], DIR_FD, 0, "pipe", 0, RIGHT_READ | UINT64_C(1) << 27, 0, 0, &fd),
            0);
        assert_int_equal(fd, 4);
        pd_put_u32(guests[i].memory + 256, 4096);
        pd_put_u32(guests[i].memory + 260, 10);
        put_fd(&guests[i], 0, 1, EVENT_READ, 4);
        put_clock(&guests[i], 1, 2, CLOCK_MONO, UINT64_C(1) << 40, 0);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fake_begin(&guests[i], fake_import("fd_read"), read_arguments, 4),
                         PD_CALL_WAIT);
    }
    assert_int_equal(fake_begin(&guests[2], fake_import("fd_read"), read_arguments, 4),
                     PD_CALL_WAIT);
    assert_int_equal(fake_begin(&guests[3], fake_import("poll_oneoff"), poll_arguments, 4),
                     PD_CALL_WAIT);
    assert_int_equal(atomic_load(&world.files->waiting_count), PD_FILES_WAITING_MAX);
    for (int round = 0; round < 5; round++) {
        uint64_t now_ns = world.host.now_ns;
        assert_int_equal(fake_continue(&guests[2]), PD_CALL_WAIT); /* looked: nothing */
        assert_null(guests[2].work);
        assert_int_equal(fake_continue(&guests[2]), PD_CALL_WAIT); /* some time later, again */
        assert_non_null(guests[2].work);
        assert_true(world.host.now_ns > now_ns);
        assert_int_equal(fake_continue(&guests[3]), PD_CALL_WAIT);
        assert_null(guests[3].work);
        assert_int_equal(fake_continue(&guests[3]), PD_CALL_WAIT);
        assert_non_null(guests[3].work);
    }
    /* A dead one's place is another's. */
    fake_guest_kill(&guests[0]);
    fake_guest_kill(&guests[1]);
    while (atomic_load(&world.files->waiting_count) > 0) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(fake_continue(&guests[2]), PD_CALL_WAIT);
    assert_int_equal(fake_continue(&guests[2]), PD_CALL_WAIT);
    assert_int_equal(atomic_load(&world.files->waiting_count), 1);
    assert_int_equal(write(other, "abc", 3), 3);
    assert_int_equal(fake_continue(&guests[2]), PD_CALL_DONE);
    assert_int_equal(guests[2].call.result, 0);
    assert_int_equal(fake_u32(&guests[2], 8), 3);
    guests[2].call.resume = NULL;
    assert_int_equal(write(other, "def", 3), 3);
    enum pd_call_result result = PD_CALL_WAIT;
    while (result == PD_CALL_WAIT) {
        result = fake_continue(&guests[3]);
    }
    guests[3].call.resume = NULL;
    assert_int_equal(result, PD_CALL_DONE);
    assert_int_equal(event_count(&guests[3]), 1);
    assert_event(&guests[3], 0, 1, EVENT_READ, 0);
    fake_guest_kill(&guests[2]);
    /* Killed between two looks. */
    uint32_t count;
    assert_int_equal(read_bytes(&guests[3], 4, 10, &count), 0);
    assert_true(pd_files_wait_begin(world.files) && pd_files_wait_begin(world.files));
    assert_int_equal(fake_begin(&guests[3], fake_import("poll_oneoff"), poll_arguments, 4),
                     PD_CALL_WAIT);
    assert_int_equal(fake_continue(&guests[3]), PD_CALL_WAIT);
    assert_null(guests[3].work);
    fake_guest_kill(&guests[3]);
    pd_files_wait_end(world.files);
    pd_files_wait_end(world.files);
    assert_int_equal(CALL(&world.guest, fd_close, 4), 0);
    close(other);
    fake_wait_jobs(&world.host);
    assert_int_equal(open_descriptor_count(), before);
    assert_int_equal(atomic_load(&world.files->waiting_count), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_sleep_on_the_hosts_time),
        cmocka_unit_test(a_wall_clock_that_jumps_is_followed),
        cmocka_unit_test(files_are_ready),
        cmocka_unit_test(nonsense_is_an_event_with_an_error),
        cmocka_unit_test(a_pipe_is_waited_for),
        cmocka_unit_test(the_programs_input_is_a_stream),
        cmocka_unit_test(many_who_wait_leave_helpers_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
