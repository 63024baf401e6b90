/* As great a burden to its node as a guest can be. What it is, the key "burden" says, which is
 * looked at again and again: words of
 *
 *   off      nothing (all children are killed)
 *   spin     actors that compute without an end; as many as the first argument says
 *   memory   actors that grow and write to all that they get, until the node refuses
 *   stacks   actors without a memory that lie deep in their stacks, until the node refuses
 *   tables   actors without a memory that write to large tables, until the node refuses
 *   mail     actors that send to others, which never listen, until the node refuses
 *
 * What was refused is asked for again, for ever. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <pando/pando.h>

#define CHILDREN_MAX 16384u
#define SPINNERS_MAX 256u
#define PAGES 16u /* of a step of growth */
#define PAGE_SIZE 65536u
#define MAIL_SIZE (1u << 18)
#define EVERY_MS 20u
#define GROW_MS 500u

/* The smallest actors, which have no memory. "deep" lies deep in its stack, "table" writes to a
 * large table:
 *
 *   (module
 *     (import "lunatic::process" "sleep_ms" (func $sleep (param i64)))
 *     (table $t 99999 funcref)
 *     (func $d (param i32 i64 i64 i64 i64) (result i64)
 *       (if (i32.eqz (local.get 0)) (then (call $sleep (i64.const 1000000000))))
 *       (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
 *       (i64.add (i64.add (local.get 1) (local.get 2))
 *         (i64.add (i64.xor (local.get 3) (local.get 4))
 *           (call $d (i32.sub (local.get 0) (i32.const 1)) (i64.mul (local.get 1) (i64.const 3))
 *             (i64.xor (local.get 2) (local.get 1)) (i64.add (local.get 3) (local.get 4))
 *             (i64.add (local.get 4) (i64.const 7))))))
 *     (elem declare func $table)
 *     (func $table (export "table")
 *       (table.fill $t (i32.const 0) (ref.func $table) (i32.const 99999))
 *       (call $sleep (i64.const 1000000000)))
 *     (func (export "deep")
 *       (drop (call $d (i32.const 400)
 *         (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))))
 */
static const uint8_t small_module[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x11, 0x03, 0x60, 0x01, 0x7e, 0x00, 0x60,
    0x05, 0x7f, 0x7e, 0x7e, 0x7e, 0x7e, 0x01, 0x7e, 0x60, 0x00, 0x00, 0x02, 0x1d, 0x01, 0x10, 0x6c,
    0x75, 0x6e, 0x61, 0x74, 0x69, 0x63, 0x3a, 0x3a, 0x70, 0x72, 0x6f, 0x63, 0x65, 0x73, 0x73, 0x08,
    0x73, 0x6c, 0x65, 0x65, 0x70, 0x5f, 0x6d, 0x73, 0x00, 0x00, 0x03, 0x04, 0x03, 0x01, 0x02, 0x02,
    0x04, 0x06, 0x01, 0x70, 0x00, 0x9f, 0x8d, 0x06, 0x07, 0x10, 0x02, 0x05, 0x74, 0x61, 0x62, 0x6c,
    0x65, 0x00, 0x02, 0x04, 0x64, 0x65, 0x65, 0x70, 0x00, 0x03, 0x09, 0x05, 0x01, 0x03, 0x00, 0x01,
    0x02, 0x0a, 0x69, 0x03, 0x40, 0x00, 0x20, 0x00, 0x45, 0x04, 0x40, 0x42, 0x80, 0x94, 0xeb, 0xdc,
    0x03, 0x10, 0x00, 0x0b, 0x20, 0x00, 0x45, 0x04, 0x40, 0x20, 0x01, 0x0f, 0x0b, 0x20, 0x01, 0x20,
    0x02, 0x7c, 0x20, 0x03, 0x20, 0x04, 0x85, 0x20, 0x00, 0x41, 0x01, 0x6b, 0x20, 0x01, 0x42, 0x03,
    0x7e, 0x20, 0x02, 0x20, 0x01, 0x85, 0x20, 0x03, 0x20, 0x04, 0x7c, 0x20, 0x04, 0x42, 0x07, 0x7c,
    0x10, 0x01, 0x7c, 0x7c, 0x0b, 0x15, 0x00, 0x41, 0x00, 0xd2, 0x02, 0x41, 0x9f, 0x8d, 0x06, 0xfc,
    0x11, 0x00, 0x42, 0x80, 0x94, 0xeb, 0xdc, 0x03, 0x10, 0x00, 0x0b, 0x10, 0x00, 0x41, 0x90, 0x03,
    0x42, 0x01, 0x42, 0x02, 0x42, 0x03, 0x42, 0x04, 0x10, 0x01, 0x1a, 0x0b};

static uint64_t *children; /* CHILDREN_MAX */
static uint32_t child_count;
static uint64_t small;

/* --- Children --------------------------------------------------------------------------------- */

PANDO_EXPORT("spins") void spins(void);
void spins(void)
{
    for (volatile uint32_t i = 0;; i++) {
    }
}

/* What it gets it writes to: pages that nobody has touched cost nothing. */
PANDO_EXPORT("grows") void grows(void);
void grows(void)
{
    for (;;) {
        size_t before = __builtin_wasm_memory_grow(0, PAGES);
        if (before == (size_t)-1) {
            pando_sleep(EVERY_MS * 10);
            continue;
        }
        memset((void *)(before * PAGE_SIZE), 0xa5, (size_t)PAGES * PAGE_SIZE); // NOLINT
    }
}

PANDO_EXPORT("holds") void holds(void);
void holds(void)
{
    (void)pando_receive_tag(1, PANDO_FOREVER); /* which nobody sends */
}

/* Ends in a trap when there is no memory for more. */
PANDO_EXPORT("sends") void sends(int64_t to);
void sends(int64_t to)
{
    uint8_t *mail = malloc(MAIL_SIZE);
    while (mail != NULL) {
        pando_message_create(2, MAIL_SIZE);
        pando_message_write(mail, MAIL_SIZE);
        if (pando_try_send((uint64_t)to) != PANDO_SENT) {
            pando_sleep(EVERY_MS * 10);
        }
    }
}

/* --- The parent ------------------------------------------------------------------------------- */

static bool start_of(uint64_t of_module, const char *function, const struct pando_param *params,
                     uint32_t param_count, uint64_t *pid_out)
{
    char text[1025];
    uint64_t pid = 0;
    struct pando_spawn_options options = pando_spawn_options(function, params, param_count);
    options.module = of_module;
    if (child_count == CHILDREN_MAX) {
        return false;
    }
    if (pando_spawn_with(&options, &pid) != PANDO_OK) {
        (void)pando_error_take(pid, text, sizeof text);
        return false;
    }
    children[child_count++] = pid;
    *pid_out = pid;
    return true;
}

static bool start(const char *function, const struct pando_param *params, uint32_t param_count,
                  uint64_t *pid_out)
{
    return start_of(PANDO_INHERIT, function, params, param_count, pid_out);
}

static bool start_mail(void)
{
    uint64_t pid = 0;
    if (!start("holds", NULL, 0, &pid)) {
        return false;
    }
    struct pando_param to = pando_i64((int64_t)pid);
    return start("sends", &to, 1, &pid);
}

static void kill_all(void)
{
    while (child_count > 0) {
        pando_kill(children[--child_count]);
    }
}

static void begin(const char *what, uint32_t spinners)
{
    uint64_t pid = 0;
    if (strstr(what, "spin") != NULL) {
        for (uint32_t i = 0; i < spinners && start("spins", NULL, 0, &pid); i++) {
        }
    }
    if (strstr(what, "memory") != NULL && start("grows", NULL, 0, &pid)) {
        pando_sleep(GROW_MS); /* it gets the most of it */
    }
}

/* As many as there is room for. */
static void fill(const char *what)
{
    uint64_t pid = 0;
    if (strstr(what, "memory") != NULL) {
        while (start("holds", NULL, 0, &pid)) {
        }
    }
    if (strstr(what, "stacks") != NULL) {
        while (start_of(small, "deep", NULL, 0, &pid)) {
        }
    }
    if (strstr(what, "tables") != NULL) {
        while (start_of(small, "table", NULL, 0, &pid)) {
        }
    }
    if (strstr(what, "mail") != NULL) {
        while (child_count < CHILDREN_MAX / 2 && start_mail()) {
            pando_sleep(1);
        }
    }
}

int main(int count, char **arguments)
{
    uint32_t spinners = count > 1 ? (uint32_t)atoi(arguments[1]) : 8;
    char now[64] = "off";
    children = calloc(CHILDREN_MAX, sizeof *children);
    if (children == NULL ||
        pando_module_compile(small_module, sizeof small_module, &small) != PANDO_COMPILED) {
        return 1;
    }
    for (;;) {
        char next[64] = "";
        struct pando_kv_found found;
        if (pando_kv_get_local("burden", next, sizeof next - 1, &found) == PANDO_KV_OK &&
            strcmp(now, next) != 0) {
            memcpy(now, next, sizeof now);
            kill_all();
            begin(now, spinners < SPINNERS_MAX ? spinners : SPINNERS_MAX);
        }
        fill(now);
        pando_sleep(EVERY_MS);
    }
}
