/* flags: --target=wasm32 -ffreestanding -nostdlib -Wl,--no-entry -Wconversion -Wpedantic */
/* The C SDK without a libc: every function once, each answer looked at. Ends with one line on
 * standard output, or with a trap whose text is the line that failed. */
#include <pando/pando.h>

#define TAG 7
#define STEP 5000 /* ms that nothing here should need */

struct vector {
    const char *bytes;
    uint32_t size;
};

PANDO_IMPORT("wasi_snapshot_preview1", "fd_write")
uint32_t wasi_fd_write(uint32_t fd, const struct vector *vectors, uint32_t count,
                       uint32_t *written_out);

/* The smallest module: an empty one. */
static const uint8_t empty_module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};

PANDO_TRAP_CATCHER

static _Noreturn void fail(uint32_t line)
{
    char text[] = "line     ";
    for (uint32_t i = sizeof text - 2; line > 0; i--) {
        text[i] = (char)('0' + line % 10);
        line /= 10;
    }
    pando_exit_self(PANDO_REASON_FAILURE, text);
}

static void check(bool is_right, uint32_t line)
{
    if (!is_right) {
        fail(line);
    }
}

#define CHECK(condition) check(condition, __LINE__)

static bool is_equal(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

/* --- Children --------------------------------------------------------------------------------- */

/* Replies to each call with the number it got, doubled; ends at 0. */
PANDO_EXPORT("doubler") void doubler(int32_t is_named);
void doubler(int32_t is_named)
{
    uint64_t number = 1;
    if (is_named != 0) {
        pando_register_over("doubler", pando_self());
    }
    pando_ready();
    while (number != 0 && pando_receive(PANDO_FOREVER) == PANDO_DATA) {
        uint64_t pid = pando_message_pid();
        uint64_t ref = pando_message_ref();
        CHECK(pando_message_read_u64(&number));
        pando_message_create(0, sizeof number);
        pando_message_write_u64(2 * number);
        (void)pando_reply(pid, ref);
    }
}

PANDO_EXPORT("failing") void failing(void);
void failing(void)
{
    pando_exit_self(PANDO_REASON_FAILURE, "as it was told");
}

PANDO_EXPORT("waiting") void waiting(void);
void waiting(void)
{
    pando_sleep(PANDO_FOREVER);
}

/* --- What is checked -------------------------------------------------------------------------- */

static void check_messages(void)
{
    uint64_t self = pando_self();
    CHECK(pando_receive(0) == PANDO_NOTHING);
    pando_message_create(TAG, 0);
    pando_message_write_text("text");
    pando_message_write_u32(32);
    pando_message_write_u64(64);
    pando_send(self);
    pando_send_u64(self, TAG + 1, 1);
    CHECK(pando_message_count() == 2);
    const uint64_t tags[] = {TAG + 2, TAG};
    CHECK(pando_receive_tags(tags, 2, STEP) == PANDO_DATA);
    CHECK(pando_message_tag() == TAG && pando_message_size() == 16);
    CHECK(pando_message_ref() == 0 && pando_message_pid() == 0);
    char text[4];
    uint32_t small = 0;
    uint64_t large = 0;
    CHECK(pando_message_read(text, 4) == 4 && text[3] == 't');
    CHECK(pando_message_read_u32(&small) && small == 32);
    CHECK(pando_message_read_u64(&large) && large == 64);
    CHECK(!pando_message_read_u32(&small));
    pando_message_seek(4);
    CHECK(pando_message_read_u32(&small) && small == 32);
    CHECK(pando_receive_tag(TAG, 0) == PANDO_NOTHING);
    CHECK(pando_receive_tag(TAG + 1, 0) == PANDO_DATA);
    CHECK(pando_received_count() == 2);
    pando_message_create(TAG, 0);
    CHECK(pando_try_send(self + 1000) == PANDO_GONE);
    CHECK(pando_try_send(self) == PANDO_SENT);
    CHECK(pando_receive(0) == PANDO_DATA);
    pando_message_create(TAG, 0);
    CHECK(pando_send_receive(self, TAG, STEP) == PANDO_DATA);
}

static void check_timers(void)
{
    pando_message_create(TAG, 0);
    uint64_t timer = pando_send_after(pando_self(), STEP);
    CHECK(pando_timer_cancel(timer) && !pando_timer_cancel(timer));
    uint64_t before_ns = pando_now_ns();
    pando_message_create(TAG, 0);
    (void)pando_send_after(pando_self(), 5);
    CHECK(pando_receive_tag(TAG, STEP) == PANDO_DATA);
    CHECK(pando_now_ns() - before_ns >= 5000000);
}

static void check_calls(void)
{
    uint64_t pid = 0;
    uint64_t number = 0;
    struct pando_param param = pando_i32(0);
    CHECK(pando_spawn("doubler", &param, 1, &pid) == PANDO_OK && pando_exists(pid));
    pando_message_create(0, 0);
    pando_message_write_u64(21);
    CHECK(pando_call(pid, STEP) == PANDO_SENT);
    CHECK(pando_message_read_u64(&number) && number == 42);
    uint64_t ref = pando_monitor(pid);
    pando_message_create(0, 0);
    pando_message_write_u64(0);
    CHECK(pando_call(pid, STEP) == PANDO_SENT);
    CHECK(pando_receive(STEP) == PANDO_DOWN && pando_message_ref() == ref);
    CHECK(pando_message_pid() == pid && pando_message_reason() == PANDO_REASON_NORMAL);
    pando_message_create(0, 0);
    CHECK(pando_call(pid, STEP) == PANDO_GONE && pando_last_reason() == PANDO_REASON_NO_PROCESS);
    CHECK(pando_spawn("waiting", NULL, 0, &pid) == PANDO_OK);
    pando_message_create(0, 0);
    CHECK(pando_call(pid, 5) == PANDO_LATE);
    CHECK(pando_demonitor(pando_monitor(pid)));
    pando_kill(pid);
}

static void check_links(void)
{
    uint64_t pid = 0;
    char text[15];
    pando_trap_exit(true);
    CHECK(pando_spawn_link(TAG, "failing", NULL, 0, &pid) == PANDO_OK);
    CHECK(pando_receive_tag(TAG, STEP) == PANDO_LINK_DIED && pando_message_pid() == pid);
    CHECK(pando_message_reason() == PANDO_REASON_FAILURE);
    CHECK(pando_message_reason_text(text, sizeof text) == 14 && is_equal(text, "as it was told"));
    CHECK(pando_message_reason_text(text, 3) == 14 && is_equal(text, "as"));
    CHECK(pando_spawn("waiting", NULL, 0, &pid) == PANDO_OK);
    pando_link(TAG, pid);
    pando_exit(pid, PANDO_REASON_SHUTDOWN, "enough");
    CHECK(pando_receive_tag(TAG, STEP) == PANDO_LINK_DIED);
    CHECK(pando_message_reason() == PANDO_REASON_SHUTDOWN);
    CHECK(is_equal(pando_reason_text(pando_message_reason()), "shutdown"));
    CHECK(pando_spawn_link(TAG, "waiting", NULL, 0, &pid) == PANDO_OK);
    pando_unlink(pid);
    pando_kill(pid);
    CHECK(pando_receive_tag(TAG, 5) == PANDO_NOTHING);
    pando_trap_exit(false);
    pando_die_when_link_dies(true);
    CHECK(pando_environment() == 1);
}

static void check_names(void)
{
    uint64_t self = pando_self();
    uint64_t pid = 0;
    CHECK(pando_whereis("me") == 0 && !pando_unregister("me"));
    CHECK(pando_register("me", self) == PANDO_REGISTERED && pando_whereis("me") == self);
    CHECK(pando_register("me", self) == PANDO_NAME_TAKEN);
    CHECK(pando_register("nobody", self + 1000) == PANDO_NAME_NO_PROCESS);
    CHECK(pando_unregister("me"));
    struct pando_spawn_options waiting_one = pando_spawn_options("waiting", NULL, 0);
    CHECK(pando_get_or_spawn("it", &waiting_one, &pid) == PANDO_SPAWNED);
    CHECK(pando_get_or_spawn("it", &waiting_one, &self) == PANDO_FOUND && self == pid);
    pando_kill(pid);
}

static void check_groups(void)
{
    uint64_t members[2] = {0, 0};
    uint32_t skipped = 1;
    CHECK(!pando_group_leave("all") && pando_group_members("all", members, 2) == 0);
    CHECK(pando_group_join("all") == PANDO_JOINED);
    CHECK(pando_group_join("all") == PANDO_ALREADY_MEMBER);
    CHECK(pando_group_members("all", members, 2) == 1 && members[0] == pando_self());
    pando_message_create(TAG, 0);
    CHECK(pando_group_broadcast("all", &skipped) == 1 && skipped == 0);
    CHECK(pando_receive_tag(TAG, STEP) == PANDO_DATA);
    CHECK(pando_group_leave("all"));
}

static void check_configurations(void)
{
    uint64_t config = pando_config_create();
    uint64_t pid = 0;
    CHECK(config != PANDO_NO_CONFIG);
    pando_config_set_memory(config, 1 << 20);
    pando_config_set_fuel(config, 100);
    CHECK(pando_config_memory(config) == 1 << 20 && pando_config_fuel(config) == 100);
    pando_config_allow_compile(config, false);
    pando_config_allow_configure(config, false);
    pando_config_allow_spawn(config, true);
    pando_config_add_argument(config, "child");
    pando_config_add_variable(config, "NAME", "value");
    struct pando_spawn_options options = pando_spawn_options("failing", NULL, 0);
    options.config = config;
    CHECK(pando_spawn_with(&options, &pid) == PANDO_OK);
    pando_config_drop(config);
    CHECK(pando_memory_size() <= pando_memory_limit() && pando_fuel_limit() == 0);
    CHECK(pando_process_count() >= 1);
    (void)pando_fuel_used();
}

static void check_modules(void)
{
    uint64_t module = 0;
    uint64_t error = 0;
    char text[1025];
    CHECK(pando_module_compile(empty_module, sizeof empty_module, &module) == PANDO_COMPILED);
    pando_message_create(TAG, 0);
    CHECK(pando_message_push_module(module) == 0);
    pando_send(pando_self());
    pando_module_drop(module);
    CHECK(pando_receive_tag(TAG, STEP) == PANDO_DATA);
    pando_module_drop(pando_message_take_module(0));
    CHECK(pando_module_compile("no wasm", 7, &error) == PANDO_NOT_COMPILED);
    uint32_t size = pando_error_size(error);
    CHECK(size > 0 && pando_error_take(error, text, sizeof text) == size);
    CHECK(pando_text_size(text) == size);
    CHECK(pando_module_compile("no wasm", 7, &error) == PANDO_NOT_COMPILED);
    pando_error_drop(error);
}

static void check_metrics(void)
{
    pando_counter_add("sdk.counter", 2);
    pando_counter_increment("sdk.counter");
    pando_gauge_set("sdk.gauge", 1.5);
    pando_gauge_add("sdk.gauge", 1.5);
    pando_gauge_subtract("sdk.gauge", 1.5);
    pando_histogram_record("sdk.histogram", 0.25);
}

static uint32_t traps_if_null(void *argument)
{
    if (argument == NULL) {
        __builtin_trap();
    }
    return 5;
}

static void check_supervisors(void)
{
    uint64_t supervisor = 0;
    uint64_t id = 0;
    struct pando_param param = pando_i32(1);
    pando_supervisor_drop(pando_supervisor_create(PANDO_ONE_FOR_ALL, 1, 1000));
    uint64_t tree = pando_supervisor_create(PANDO_ONE_FOR_ONE, 3, 5000);
    pando_supervisor_set_name(tree, "tree");
    pando_supervisor_set_limits(tree, 8, PANDO_NEVER);
    struct pando_child child = pando_child("doubler", "doubler", &param, 1);
    child.ready_ms = STEP;
    pando_supervisor_add(tree, &child);
    uint64_t below = pando_supervisor_create(PANDO_DYNAMIC, 3, 5000);
    struct pando_child alike = pando_child("alike", "doubler", NULL, 0);
    alike.restart = PANDO_TEMPORARY;
    pando_supervisor_add(below, &alike);
    pando_supervisor_add_supervisor(tree, "below", below, PANDO_PERMANENT, PANDO_STOP_INFINITELY);
    CHECK(pando_supervisor_start(tree, 1, &supervisor) == PANDO_OK);

    /* It was ready before start returned, so it has its name; and a killed one comes back. */
    uint64_t first = pando_whereis("doubler");
    CHECK(first != 0);
    pando_kill(first);
    /* The name goes with the first one, and comes back with the second. */
    uint64_t second = pando_whereis("doubler");
    for (int i = 0; i < 5000 && (second == 0 || second == first); i++) {
        pando_sleep(1);
        second = pando_whereis("doubler");
    }
    CHECK(second != 0 && second != first);

    struct pando_child_counts counts;
    CHECK(pando_supervisor_count(supervisor, STEP, &counts, &id) == PANDO_OK);
    CHECK(counts.described == 2 && counts.live == 2);
    CHECK(pando_supervisor_stop_child(supervisor, second, STEP, &id) == PANDO_OK);
    CHECK(!pando_exists(second));
    CHECK(pando_supervisor_restart_child(supervisor, "doubler", STEP, &id) == PANDO_OK);
    CHECK(pando_supervisor_restart_child(supervisor, "doubler", STEP, &id) == PANDO_ERROR);
    pando_error_drop(id);
    CHECK(pando_supervisor_stop_child(supervisor, pando_whereis("doubler"), STEP, &id) == PANDO_OK);
    CHECK(pando_supervisor_delete_child(supervisor, "doubler", STEP, &id) == PANDO_OK);
    CHECK(pando_supervisor_delete_child(supervisor, "doubler", STEP, &id) == PANDO_ERROR);
    pando_error_drop(id);
    CHECK(pando_supervisor_stop(supervisor, false, STEP, &id) == PANDO_OK);
    CHECK(!pando_exists(supervisor));
}

static void check_dynamic(void)
{
    uint64_t supervisor = 0;
    uint64_t pid = 0;
    uint64_t error = 0;
    struct pando_child_counts counts;
    struct pando_param param = pando_i32(0);
    uint64_t pool = pando_supervisor_create(PANDO_DYNAMIC, 3, 5000);
    struct pando_child alike = pando_child("alike", "doubler", NULL, 0);
    pando_supervisor_set_limits(pool, 2, PANDO_NEVER);
    pando_supervisor_add(pool, &alike);
    CHECK(pando_supervisor_start(pool, 1, &supervisor) == PANDO_OK);
    CHECK(pando_supervisor_start_child(supervisor, &param, 1, STEP, &pid) == PANDO_OK);
    CHECK(pando_supervisor_start_child(supervisor, &param, 1, STEP, &pid) == PANDO_OK);
    CHECK(pando_supervisor_start_child(supervisor, &param, 1, STEP, &error) == PANDO_ERROR);
    pando_error_drop(error);
    CHECK(pando_supervisor_count(supervisor, STEP, &counts, &error) == PANDO_OK &&
          counts.live == 2);
    CHECK(pando_supervisor_stop_child(supervisor, pid, STEP, &error) == PANDO_OK);
    CHECK(pando_supervisor_count(supervisor, STEP, &counts, &error) == PANDO_OK &&
          counts.live == 1);
    CHECK(pando_supervisor_stop(supervisor, true, STEP, &error) == PANDO_OK);
    CHECK(pando_supervisor_count(supervisor, STEP, &counts, &error) == PANDO_ERROR);
    pando_error_drop(error);
}

PANDO_EXPORT("_start") void start(void);
void start(void)
{
    static const char done[] = "all functions answered\n";
    const struct vector vector = {done, sizeof done - 1};
    uint32_t written = 0;
    check_messages();
    check_timers();
    check_calls();
    check_links();
    check_names();
    check_groups();
    check_configurations();
    check_modules();
    check_metrics();
    CHECK(pando_trap_catch(traps_if_null, &written) == 5);
    CHECK(pando_trap_catch(traps_if_null, NULL) == 0);
    check_supervisors();
    check_dynamic();
    (void)wasi_fd_write(1, &vector, 1, &written);
}
