/* The cache: what is kept comes back, what was touched does not, and nothing of it is needed. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "guest_world.h"
#include "support/remove_tree.h"
#include "wasm/cache.h"

static char folder[64];
static struct pd_cache cache;

static int open_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/pando_cache_XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(pd_cache_open(&cache, folder, 1u << 20), PD_OK);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    pd_cache_close(&cache);
    return remove_tree(folder);
}

static struct pd_cache_key key_of(uint8_t number, const char *settings)
{
    uint8_t hash[PD_CACHE_KEY_SIZE] = {number};
    return pd_cache_key_of(hash, "engine 1", settings);
}

static void path_of(const struct pd_cache_key *key, char path[256])
{
    size_t size = (size_t)snprintf(path, 256, "%s/", folder);
    for (size_t i = 0; i < PD_CACHE_KEY_SIZE; i++) {
        size += (size_t)snprintf(path + size, 256 - size, "%02x", key->bytes[i]);
    }
}

static void keep(const struct pd_cache_key *key, size_t size)
{
    uint8_t *payload = malloc(size);
    memset(payload, key->bytes[0], size);
    assert_int_equal(pd_cache_store(&cache, key, payload, size), PD_OK);
    free(payload);
}

static bool is_kept(const struct pd_cache_key *key)
{
    struct pd_cache_entry entry;
    if (pd_cache_load(&cache, key, &entry) != PD_OK) {
        return false;
    }
    for (size_t i = 0; i < entry.size; i++) {
        assert_int_equal(entry.bytes[i], key->bytes[0]);
    }
    pd_cache_entry_close(&entry);
    return true;
}

static void what_is_stored_is_loaded(void **state)
{
    (void)state;
    struct pd_cache_key key = key_of(1, "a");
    struct pd_cache_key other = key_of(1, "b");
    assert_memory_not_equal(key.bytes, other.bytes, sizeof key.bytes);
    assert_false(is_kept(&key));
    keep(&key, 1000);
    assert_true(is_kept(&key));
    assert_false(is_kept(&other));
    keep(&key, 500); /* again: replaced */
    struct pd_cache_entry entry;
    assert_int_equal(pd_cache_load(&cache, &key, &entry), PD_OK);
    assert_int_equal(entry.size, 500);
    assert_int_equal((uintptr_t)entry.bytes % 64, 0);
    pd_cache_entry_close(&entry);
    struct stat about;
    char path[256];
    path_of(&key, path);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
}

static void change_byte(const char *path, off_t at)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    uint8_t byte = 0;
    assert_int_equal(pread(file, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    (void)close(file);
}

static void what_was_touched_is_not_trusted(void **state)
{
    (void)state;
    struct pd_cache_key key = key_of(2, "a");
    char path[256];
    path_of(&key, path);
    static const off_t places[] = {0, 8, 20, 64, 999};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        keep(&key, 1000);
        change_byte(path, places[i]);
        assert_false(is_kept(&key));
        assert_int_not_equal(access(path, F_OK), 0); /* and it is gone */
    }
    keep(&key, 1000);
    assert_int_equal(truncate(path, 700), 0);
    assert_false(is_kept(&key));
    keep(&key, 1000);
    assert_int_equal(truncate(path, 64), 0);
    assert_false(is_kept(&key));
    /* Others may write it; a link in its place; a folder. */
    keep(&key, 1000);
    assert_int_equal(chmod(path, 0620), 0);
    assert_false(is_kept(&key));
    char elsewhere[300];
    (void)snprintf(elsewhere, sizeof elsewhere, "%s.else", path);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(rename(path, elsewhere), 0);
    assert_int_equal(symlink(elsewhere, path), 0);
    assert_false(is_kept(&key));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(is_kept(&key));
    static const uint8_t payload[10] = {0};
    assert_int_equal(pd_cache_store(&cache, &key, payload, sizeof payload), PD_ERR_IO);
    assert_int_equal(rmdir(path), 0);
}

static void the_least_recently_used_goes_first(void **state)
{
    (void)state;
    struct pd_cache_key keys[5];
    char path[256];
    for (uint8_t i = 0; i < 4; i++) {
        keys[i] = key_of((uint8_t)(10 + i), "a");
        keep(&keys[i], 250 * 1024);
        path_of(&keys[i], path);
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    assert_true(is_kept(&keys[0])); /* used now */
    keys[4] = key_of(14, "a");
    keep(&keys[4], 250 * 1024);
    assert_true(is_kept(&keys[0]));
    assert_false(is_kept(&keys[1]));
    assert_true(is_kept(&keys[2]));
    assert_true(is_kept(&keys[4]));
    static uint8_t large[(1u << 20) + 1];
    assert_int_equal(pd_cache_store(&cache, &keys[1], large, sizeof large), PD_ERR_RANGE);
    /* What a crashed writer left goes when it is old. */
    (void)snprintf(path, sizeof path, "%s/tmp-1-1", folder);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(file);
    keep(&keys[4], 10);
    assert_int_equal(access(path, F_OK), 0);
    struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    keep(&keys[4], 10);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void folders_of_others_are_refused(void **state)
{
    (void)state;
    struct pd_cache other;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/a/b/c", folder);
    assert_int_equal(pd_cache_open(&other, path, 1), PD_OK); /* made, with what is above it */
    pd_cache_close(&other);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(pd_cache_open(&other, path, 1), PD_OK); /* tightened */
    pd_cache_close(&other);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(chmod(path, 0770), 0);
    assert_int_equal(pd_cache_open(&other, path, 1), PD_ERR_DENIED);
    assert_int_equal(chmod(path, 0702), 0);
    assert_int_equal(pd_cache_open(&other, path, 1), PD_ERR_DENIED);
    char link[128];
    (void)snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink("a", link), 0);
    assert_int_equal(pd_cache_open(&other, link, 1), PD_ERR_IO);
    char file[128];
    (void)snprintf(file, sizeof file, "%s/file", folder);
    (void)close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(pd_cache_open(&other, file, 1), PD_ERR_IO);
    (void)snprintf(path, sizeof path, "%s/file/below", folder);
    assert_int_equal(pd_cache_open(&other, path, 1), PD_ERR_IO);
    if (geteuid() == 0) {
        (void)snprintf(path, sizeof path, "%s/foreign", folder);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(pd_cache_open(&other, path, 1), PD_ERR_DENIED);
    }
    pd_cache_close(&other); /* after a failure: nothing */
}

static void the_default_folder_follows_the_environment(void **state)
{
    (void)state;
    struct pd_cache other;
    char path[128];
    char *home = getenv("HOME") != NULL ? strdup(getenv("HOME")) : NULL;
    (void)unsetenv("XDG_CACHE_HOME");
    (void)setenv("HOME", folder, 1);
    assert_int_equal(pd_cache_open(&other, NULL, 1), PD_OK);
    pd_cache_close(&other);
    (void)snprintf(path, sizeof path, "%s/.cache/pando/modules", folder);
    assert_int_equal(access(path, F_OK), 0);
    (void)snprintf(path, sizeof path, "%s/xdg", folder);
    (void)setenv("XDG_CACHE_HOME", path, 1);
    assert_int_equal(pd_cache_open(&other, NULL, 1), PD_OK);
    pd_cache_close(&other);
    (void)snprintf(path, sizeof path, "%s/xdg/pando/modules", folder);
    assert_int_equal(access(path, F_OK), 0);
    (void)unsetenv("XDG_CACHE_HOME");
    (void)unsetenv("HOME");
    assert_int_equal(pd_cache_open(&other, NULL, 1), PD_ERR_IO);
    if (home != NULL) {
        (void)setenv("HOME", home, 1);
    }
    free(home);
}

static struct pd_module *load_cached(struct world *world, bool is_cached)
{
    static const uint8_t wasm[] = {0, 'a', 's', 'm', 1, 0, 0,   0, 1, 4,  1, 0x60, 0, 0, 3,   2,
                                   1, 0,   7,   5,   1, 1, 'f', 0, 0, 10, 4, 1,    2, 0, 0x0b};
    struct pd_module_source source = {
        .bytes = wasm, .size = sizeof wasm, .wasm_bytes_max = 1000, .cache = &cache};
    struct pd_module_message message;
    struct pd_module *module = NULL;
    assert_int_equal(pd_module_load(&world->linker, &source, &module, &message), PD_OK);
    assert_int_equal(module->is_cached, is_cached);
    return module;
}

static void compiled_modules_come_from_the_cache(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    struct process process;
    for (int i = 0; i < 3; i++) {
        struct pd_module *module = load_cached(&world, i > 0);
        spawn(&world, &process, module, "f");
        assert_int_equal(run_guest(&process), PD_GUEST_EXITED);
        assert_end(&process, PD_GUEST_RETURNED);
        pd_guest_destroy(process.guest);
        pd_module_release(module);
    }
    /* Other settings have other files. */
    struct world guarded;
    world_open(&guarded, PD_ENGINE_GUARDED, 10000);
    pd_module_release(load_cached(&guarded, false));
    pd_module_release(load_cached(&guarded, true));
    /* A file that is whole but not code of ours is compiled over. */
    struct pd_module *module = load_cached(&world, true);
    struct pd_cache_key key =
        pd_cache_key_of(module->hash, pd_engine_version_text(), world.engine.settings);
    keep(&key, 5000);
    pd_module_release(module);
    pd_module_release(load_cached(&world, false));
    pd_module_release(load_cached(&world, true));
    world_close(&guarded);
    world_close(&world);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* About 0.6 MB; FUNCTIONS=45000 in the environment makes it 5 MB, whose second start has 100 ms.
 * Printed, not asserted: machines differ. */
static void the_second_start_of_a_large_module_is_quick(void **state)
{
    (void)state;
    struct world world;
    world_open(&world, PD_ENGINE_DENSE, 10000);
    pd_cache_close(&cache);
    assert_int_equal(pd_cache_open(&cache, folder, PD_CACHE_BYTES_MAX_DEFAULT), PD_OK);
    const char *wanted = getenv("FUNCTIONS");
    int count = wanted != NULL ? (int)strtol(wanted, NULL, 10) : 5000;
    assert_in_range(count, 1, 100000);
    size_t room = (size_t)count * 700 + 100;
    char *text = malloc(room);
    size_t size = (size_t)snprintf(text, room, "(module (memory 1)");
    for (int i = 0; i < count; i++) {
        size +=
            (size_t)snprintf(text + size, room - size,
                             "(func (param i32 i32) (result i32) (local i32)"
                             "(loop $l (local.set 2 (i32.add (local.get 2) (i32.mul (local.get 0)"
                             "(i32.const %d))))"
                             "(i32.store offset=%d (local.get 1) (local.get 2))"
                             "(local.set 0 (i32.load offset=%d (i32.xor (local.get 0)"
                             "(i32.const %d))))"
                             "(i64.store offset=%d (local.get 0) (i64.const %d))"
                             "(if (i32.gt_u (local.get 2) (i32.const %d)) (then (local.set 1"
                             "(i32.shl (local.get 1) (i32.const 3)))) (else (local.set 1"
                             "(i32.div_u (local.get 1) (i32.or (local.get 2)(i32.const %d))))))"
                             "(br_if $l (local.get 1))) (local.get 2))",
                             i * 7919, i, i + 64, i * 31, i + 1024, i * 1047, i * 3, i * 131 + 1);
    }
    (void)snprintf(text + size, room - size, ")");
    wasm_byte_vec_t wasm;
    assert_null(wasmtime_wat2wasm(text, strlen(text), &wasm));
    free(text);
    for (int i = 0; i < 2; i++) {
        struct pd_module_source source = {.bytes = (const uint8_t *)wasm.data,
                                          .size = wasm.size,
                                          .wasm_bytes_max = wasm.size,
                                          .cache = &cache};
        struct pd_module_message message;
        struct pd_module *module = NULL;
        uint64_t begin = now_ms();
        assert_int_equal(pd_module_load(&world.linker, &source, &module, &message), PD_OK);
        print_message("load %d of a module of %zu bytes: %llu ms\n", i + 1, wasm.size,
                      (unsigned long long)(now_ms() - begin));
        assert_int_equal(module->is_cached, i == 1);
        pd_module_release(module);
    }
    wasm_byte_vec_delete(&wasm);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_stored_is_loaded, open_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_was_touched_is_not_trusted, open_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_least_recently_used_goes_first, open_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(folders_of_others_are_refused, open_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_default_folder_follows_the_environment, open_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(compiled_modules_come_from_the_cache, open_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_second_start_of_a_large_module_is_quick, open_folder,
                                        remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
