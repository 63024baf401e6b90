/* A folder becomes another node's at one moment: wherever the power goes, it is the old one or the
 * new one, and opening it ends what was cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/disk_has.h"
#include "base/random.h"
#include "node/server_internal.h"
#include "sim/disk.h"

#define STEPS_MAX 64u

/* Passes everything on, until the power goes at the n-th call that changes something. */
struct cut_disk {
    struct pd_disk base;
    struct pd_disk *below;
    uint32_t left; /* calls until it goes */
    bool is_off;
};

static struct pd_disk *below(struct pd_disk *base, bool *is_off)
{
    struct cut_disk *disk = (struct cut_disk *)(void *)base;
    if (disk->left == 0) {
        disk->is_off = true;
    }
    disk->left -= disk->is_off ? 0 : 1;
    *is_off = disk->is_off;
    return disk->below;
}

static struct pd_disk *quietly(struct pd_disk *base)
{
    return ((struct cut_disk *)(void *)base)->below;
}

static enum pd_status cut_create(struct pd_disk *base, const char *name, struct pd_disk_file *out)
{
    bool is_off = false;
    struct pd_disk *disk = below(base, &is_off);
    return is_off ? PD_ERR_IO : disk->ops->create(disk, name, out);
}

static enum pd_status cut_open(struct pd_disk *base, const char *name, struct pd_disk_file *out,
                               uint64_t *size)
{
    struct pd_disk *disk = quietly(base);
    return disk->ops->open(disk, name, out, size);
}

static void cut_close(struct pd_disk *base, struct pd_disk_file file)
{
    struct pd_disk *disk = quietly(base);
    disk->ops->close(disk, file);
}

static enum pd_status cut_write(struct pd_disk *base, struct pd_disk_file file, uint64_t offset,
                                const uint8_t *bytes, size_t size)
{
    bool is_off = false;
    struct pd_disk *disk = below(base, &is_off);
    return is_off ? PD_ERR_IO : disk->ops->write(disk, file, offset, bytes, size);
}

static enum pd_status cut_sync(struct pd_disk *base, struct pd_disk_file file)
{
    bool is_off = false;
    struct pd_disk *disk = below(base, &is_off);
    return is_off ? PD_ERR_IO : disk->ops->sync(disk, file);
}

static enum pd_status cut_rename(struct pd_disk *base, const char *from, const char *to)
{
    bool is_off = false;
    struct pd_disk *disk = below(base, &is_off);
    return is_off ? PD_ERR_IO : disk->ops->rename(disk, from, to);
}

static enum pd_status cut_remove(struct pd_disk *base, const char *name)
{
    bool is_off = false;
    struct pd_disk *disk = below(base, &is_off);
    return is_off ? PD_ERR_IO : disk->ops->remove(disk, name);
}

static enum pd_status cut_sync_names(struct pd_disk *base)
{
    bool is_off = false;
    struct pd_disk *disk = below(base, &is_off);
    return is_off ? PD_ERR_IO : disk->ops->sync_names(disk);
}

static enum pd_status cut_list(struct pd_disk *base, struct pd_disk_name *names, uint32_t max,
                               uint32_t *count)
{
    struct pd_disk *disk = quietly(base);
    return disk->ops->list(disk, names, max, count);
}

static const struct pd_disk_ops cut_ops = {.create = cut_create,
                                           .open = cut_open,
                                           .close = cut_close,
                                           .write = cut_write,
                                           .sync = cut_sync,
                                           .rename = cut_rename,
                                           .remove = cut_remove,
                                           .sync_names = cut_sync_names,
                                           .list = cut_list};

static void put(struct pd_disk *disk, const char *name, const char *text)
{
    struct pd_disk_file opened;
    assert_int_equal(disk->ops->create(disk, name, &opened), PD_OK);
    assert_int_equal(disk->ops->write(disk, opened, 0, (const uint8_t *)text, strlen(text)), PD_OK);
    assert_int_equal(disk->ops->sync(disk, opened), PD_OK);
    disk->ops->close(disk, opened);
}

static bool holds(struct pd_disk *disk, const char *name, const char *text)
{
    struct pd_disk_file opened;
    uint64_t size = 0;
    char bytes[16] = "";
    size_t got = 0;
    if (disk->ops->open(disk, name, &opened, &size) != PD_OK) {
        return false;
    }
    assert_int_equal(disk->ops->read(disk, opened, 0, (uint8_t *)bytes, sizeof bytes - 1, &got),
                     PD_OK);
    disk->ops->close(disk, opened);
    return got == strlen(text) && memcmp(bytes, text, got) == 0;
}

static const struct pd_server_identity old_one = {
    .cluster_id = 1, .node_id = 5, .log_identity = 10, .segment_bytes = 4096, .has_begun = true};
static const struct pd_server_identity new_one = {
    .cluster_id = 2, .node_id = 5, .log_identity = 20, .segment_bytes = 4096, .has_begun = true};

/* Files stand for the folders. */
static void prepare(struct pd_disk *disk, bool is_new_folder)
{
    if (!is_new_folder) {
        put(disk, "log", "old");
        put(disk, "store", "old");
        put(disk, PD_MEMBERS_FILE_NAME, "old");
        assert_int_equal(pd_server_identity_put(disk, PD_SERVER_IDENTITY_NAME, &old_one), PD_OK);
        put(disk, PD_SERVER_SWITCH_MEMBERS, "new");
    }
    put(disk, PD_SERVER_SWITCH_LOG, "new");
    put(disk, PD_SERVER_SWITCH_STORE, "new");
    assert_int_equal(disk->ops->sync_names(disk), PD_OK);
}

/* The whole of one or of the other; true: of the new one. */
static bool judge(struct pd_disk *disk, bool is_new_folder)
{
    struct pd_server_identity found;
    enum pd_status status = pd_server_identity_get(disk, &found);
    if (status == PD_ERR_UNKNOWN) {
        assert_true(is_new_folder);
        assert_false(pd_disk_has(disk, "log"));
        return false;
    }
    assert_int_equal(status, PD_OK);
    bool is_new = found.cluster_id == new_one.cluster_id;
    const char *text = is_new ? "new" : "old";
    assert_int_equal(found.log_identity, is_new ? 20 : 10);
    assert_true(holds(disk, "log", text));
    assert_true(holds(disk, "store", text));
    assert_true(is_new_folder || holds(disk, PD_MEMBERS_FILE_NAME, text));
    if (is_new && !is_new_folder) {
        assert_true(holds(disk, "replaced-log-1", "old"));
        assert_true(holds(disk, "replaced-store-1", "old"));
    }
    return is_new;
}

static void check_at_every_step(bool is_new_folder)
{
    uint32_t steps = 0;
    uint32_t olds = 0;
    bool is_whole = false;
    for (uint64_t seed = 0; !is_whole || seed % 8 != 0; seed++) {
        struct pd_sim_disk sim;
        struct pd_random random;
        pd_random_init(&random, seed, "power");
        pd_sim_disk_init(&sim, UINT64_C(1) << 24);
        prepare(&sim.base, is_new_folder);
        steps = (uint32_t)(seed / 8); /* eight cuts of each, each another one */
        struct cut_disk cut = {.base = {.ops = &cut_ops}, .below = &sim.base, .left = steps};
        is_whole = pd_server_switch(&cut.base, &new_one) == PD_OK;
        (void)pd_sim_disk_power_cut(&sim, &random);
        assert_int_equal(pd_server_switch_finish(&sim.base), PD_OK);
        bool is_new = judge(&sim.base, is_new_folder);
        assert_true(is_new || !is_whole);
        olds += !is_new;
        assert_int_equal(pd_server_switch_finish(&sim.base), PD_OK); /* nothing is left to do */
        assert_int_equal(judge(&sim.base, is_new_folder), is_new);
        pd_sim_disk_deinit(&sim);
        assert_true(steps < STEPS_MAX);
    }
    assert_true(olds > 0);
    assert_true(steps > 8);
}

static void an_old_node_or_the_new_one(void **state)
{
    (void)state;
    check_at_every_step(false);
}

static void nothing_or_the_new_one(void **state)
{
    (void)state;
    check_at_every_step(true);
}

/* What was put aside before is not lost. */
static void a_second_time_takes_another_name(void **state)
{
    (void)state;
    struct pd_sim_disk sim;
    pd_sim_disk_init(&sim, UINT64_C(1) << 24);
    prepare(&sim.base, false);
    assert_int_equal(pd_server_switch(&sim.base, &new_one), PD_OK);
    put(&sim.base, PD_SERVER_SWITCH_LOG, "third");
    put(&sim.base, PD_SERVER_SWITCH_STORE, "third");
    assert_int_equal(pd_server_switch(&sim.base, &old_one), PD_OK);
    assert_true(holds(&sim.base, "log", "third"));
    assert_true(holds(&sim.base, "replaced-log-1", "old"));
    assert_true(holds(&sim.base, "replaced-log-2", "new"));
    pd_sim_disk_deinit(&sim);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_node_or_the_new_one),
        cmocka_unit_test(nothing_or_the_new_one),
        cmocka_unit_test(a_second_time_takes_another_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
