/* WASI under libFuzzer: sequences of calls with arbitrary arguments and memory, in a scratch
 * directory.
 *
 * Input     A byte for the form of files, then calls: function, a mask of what is raw, and the
 *           arguments. What is not raw leans towards sense: small descriptors, pointers to a pool
 *           of paths and buffers, known flags, so that the calls get past their first check.
 * Properties  Every call ends, in an errno or the guest's end; memory outside of the guest is not
 *             touched (ASan);
 *           nothing leaks; the file beside the scratch directory is never reached. */
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wasm/wasi_fake.h"

#define CALLS_MAX 64
#define TEXTS_AT 512u /* eight bytes for each of the names */
#define IOVECS_AT 2048u
#define SUBSCRIPTIONS_AT 4096u
#define BUFFERS_AT 16384u

static const char *const names[] = {"a",  "b", "a/b", "a/..",  "../out", "/",  "l",  "a/l",
                                    "..", ".", "b/",  "a/./b", "l/b",    "ll", "a/", "c"};

struct input {
    const uint8_t *bytes;
    size_t size;
};

static uint64_t take(struct input *input, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size && input->size > 0; i++) {
        value |= (uint64_t)input->bytes[0] << (8 * i);
        input->bytes++;
        input->size--;
    }
    return value;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    if (walk->level > 0) {
        (void)!remove(path);
    }
    return 0;
}

static char base[64];
static char scratch[80];
static char outside[80];

static void clean_up(void)
{
    (void)nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    (void)rmdir(base);
}

static void set_up_once(void)
{
    if (base[0] != '\0') {
        return;
    }
    snprintf(base, sizeof base, "/tmp/pando-wasi-fuzz-XXXXXX");
    pd_assert(mkdtemp(base) != NULL);
    snprintf(scratch, sizeof scratch, "%s/in", base);
    snprintf(outside, sizeof outside, "%s/out", base);
    pd_assert(mkdir(scratch, 0700) == 0);
    int fd = open(outside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    pd_assert(fd >= 0 && write(fd, "outside", 7) == 7);
    close(fd);
    /* The program's input is always at its end: nothing waits for a person. */
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pd_assert(null >= 0 && dup2(null, 0) == 0);
    close(null);
    atexit(clean_up);
}

static void assert_outside_untouched(void)
{
    struct stat status;
    pd_assert(stat(outside, &status) == 0);
    pd_assert(status.st_size == 7 && status.st_nlink == 1);
}

/* Paths, buffers and subscriptions for arguments that lean towards sense. */
static void fill_memory(struct pd_guest *guest, struct input *input)
{
    for (uint32_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        memcpy(guest->memory + TEXTS_AT + 8 * i, names[i], strlen(names[i]));
    }
    for (uint32_t i = 0; i < 8; i++) {
        pd_put_u32(guest->memory + IOVECS_AT + 8 * i, BUFFERS_AT + (uint32_t)take(input, 1) * 4);
        pd_put_u32(guest->memory + IOVECS_AT + 8 * i + 4, (uint32_t)take(input, 1));
        uint8_t *subscription = guest->memory + SUBSCRIPTIONS_AT + 48 * i;
        subscription[8] = (uint8_t)(take(input, 1) % 4);
        pd_put_u32(subscription + 16, (uint32_t)take(input, 1) % 8);
        pd_put_u64(subscription + 24, take(input, 2));
        subscription[40] = (uint8_t)(take(input, 1) % 3);
    }
}

static uint64_t lean_argument(struct input *input, char type)
{
    static const uint32_t places[] = {TEXTS_AT, IOVECS_AT, SUBSCRIPTIONS_AT, BUFFERS_AT};
    uint8_t byte = (uint8_t)take(input, 1);
    if (type == 'I') {
        return byte % 4 == 0 ? UINT64_MAX : byte / 4;
    }
    switch (byte % 4) {
    case 0:
        return byte / 4 % 8; /* a descriptor, flags, a count */
    case 1:
        return TEXTS_AT + 8u * (byte / 4 % 16);
    case 2:
        return places[byte / 4 % 4];
    default:
        return byte / 4;
    }
}

static void call_one(struct pd_guest *guest, struct input *input)
{
    const struct pd_import *import = &pd_wasi_imports[take(input, 1) % pd_wasi_import_count];
    uint64_t raw = take(input, 2);
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX] = {0};
    size_t count = 0;
    for (const char *type = import->signature; *type == 'i' || *type == 'I'; type++, count++) {
        bool is_raw = (raw >> count & 1) != 0;
        arguments[count] = is_raw ? take(input, *type == 'i' ? 4 : 8) : lean_argument(input, *type);
    }
    /* Paths that are leaned: the length belongs to the name. */
    for (size_t i = 0; i + 1 < count; i++) {
        uint64_t at = arguments[i] - TEXTS_AT;
        if (arguments[i] >= TEXTS_AT && at % 8 == 0 && at / 8 < 16 && (raw >> 15 & 1) == 0 &&
            strncmp(import->name, "path_", 5) == 0) {
            arguments[i + 1] = strlen(names[at / 8]);
        }
    }
    uint32_t result = fake_call(guest, import->name, arguments, count);
    pd_assert(result == FAKE_TRAPPED || result <= PD_FILE_NOTCAPABLE);
    pd_assert((result == FAKE_TRAPPED) == (guest->has_exited || guest->has_trapped));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.bytes = data, .size = size};
    set_up_once();
    struct fake_host host;
    fake_host_init(&host);
    host.runs_inline = true;
    uint64_t form = take(&input, 1);
    struct pd_files *files = NULL;
    struct pd_wasi_config *config = NULL;
    pd_assert((form % 2 == 0 ? pd_files_create(&files)
                             : pd_files_create_deterministic(&host.host, &files)) == PD_OK);
    pd_assert(pd_wasi_config_create(files, &config) == PD_OK);
    pd_wasi_config_set_stdio(config, form % 3 != 0);
    enum pd_wasi_access access = form % 5 == 0 ? PD_WASI_READ : PD_WASI_READ_WRITE;
    pd_assert(pd_wasi_config_add_argument(config, "fuzz", 4) == PD_OK);
    pd_assert(pd_wasi_config_add_directory(config, scratch, "/", access, NULL, 0) == PD_OK);
    struct pd_guest guest;
    fake_guest_init(&guest, &host, config);
    fill_memory(&guest, &input);
    for (int i = 0; i < CALLS_MAX && input.size > 0 && !guest.has_exited && !guest.has_trapped;
         i++) {
        call_one(&guest, &input);
    }
    fake_guest_kill(&guest);
    pd_wasi_config_release(config);
    fake_host_deinit(&host);
    pd_files_destroy(files);
    (void)nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    assert_outside_untouched();
    return 0;
}
