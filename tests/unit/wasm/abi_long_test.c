/* Texts without end: a host function that is handed 64 MiB for a name refuses it by its size. All
 * but the first pages of the text are such that who looks at them crashes. */
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi_hostile.h"
#include "host/certificates.h"
#include "support/seed.h"

#define READABLE_SIZE (64u * 1024u)

static const struct pd_import *current;

/* They take that many bytes and do something with each; all others must not. */
static const struct {
    const char *module;
    const char *name;
} takers[] = {
    {"lunatic::message", "write_data"},
    {"wasi_snapshot_preview1", "random_get"},
};

static bool takes_bytes(const struct pd_import *import)
{
    for (size_t i = 0; i < sizeof takers / sizeof takers[0]; i++) {
        if (strcmp(import->module, takers[i].module) == 0 &&
            strcmp(import->name, takers[i].name) == 0) {
            return true;
        }
    }
    return false;
}

static void tell(int number)
{
    static const char words[] = " reads a text of 64 MiB\n";
    (void)number;
    ssize_t written = write(STDERR_FILENO, current->module, strlen(current->module));
    written += write(STDERR_FILENO, "::", 2);
    written += write(STDERR_FILENO, current->name, strlen(current->name));
    written += write(STDERR_FILENO, words, sizeof words - 1);
    _exit(written > 0 ? 1 : 2);
}

static void no_long_text_is_looked_at(void **state)
{
    (void)state;
    uint8_t *far =
        mmap(NULL, FAKE_FAR_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(far, MAP_FAILED);
    assert_int_equal(mprotect(far, READABLE_SIZE, PROT_READ | PROT_WRITE), 0);
    memset(far, 'a', READABLE_SIZE);
    struct sigaction action = {.sa_handler = tell};
    struct sigaction before;
    assert_int_equal(sigaction(SIGSEGV, &action, &before), 0);
    struct world world;
    struct pd_runtime_config config = hostile_config();
    world_open(&world, &config);
    world.system.certificates = pd_real_certificates();
    uint32_t count = 0;
    for (size_t i = 0; i < hostile_import_count(); i++) {
        current = hostile_import(i);
        for (size_t at = 0; at + 1 < hostile_argument_count(current); at++) {
            if (memcmp(current->signature + at, "ii", 2) != 0 || takes_bytes(current)) {
                continue;
            }
            uint64_t numbers[PD_CALL_ARGUMENTS_MAX] = {0};
            for (size_t j = 0; j < hostile_argument_count(current); j++) {
                numbers[j] = current->signature[j] == 'I' ? 0
                             : j % 2 == at % 2            ? HOSTILE_TEXT_AT
                                                          : 5;
            }
            numbers[at] = FAKE_FAR_AT;
            numbers[at + 1] = FAKE_FAR_SIZE;
            fake_far = NULL; /* so that it can be made and purged as ever */
            struct actor actor = hostile_actor(&world);
            fake_far = far;
            (void)hostile_call(&actor, current, numbers);
            count++;
        }
    }
    fake_far = NULL;
    world_close(&world);
    assert_true(count > 150);
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    assert_int_equal(munmap(far, FAKE_FAR_SIZE), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_long_text_is_looked_at)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
