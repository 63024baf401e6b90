/* WASI under libFuzzer: sequences of calls with arbitrary arguments and memory, in a scratch
 * directory.
 *
 * Input     A byte for the form of files, then calls: function, a mask of what is raw, and the
 *           arguments. What is not raw leans towards sense by its meaning (`meanings`): descriptors
 *           that may be open, paths of a pool with their sizes, places for answers, rights that a
 *           directory has, so that the calls get past their checks. In some forms there is a
 *           listener too, with clients that have said something and gone, so that nothing waits
 *           for them: what would is not asked for.
 * Properties  Every call ends, in an errno or the guest's end; memory outside of the guest is not
 *             touched (ASan);
 *           nothing leaks; the file beside the scratch directory is never reached. */
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sys/socket.h>
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

#define NAME_COUNT (sizeof names / sizeof names[0])
#define ALLOCATED_MAX 65536u
#define CLIENTS 3
#define NONBLOCK 4u

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
    for (uint32_t i = 0; i < NAME_COUNT; i++) {
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

/* What each function's arguments mean, a letter each. */
static const struct meaning {
    const char *name;
    const char *letters;
} meanings[] = {
    {"args_get", "bb"},
    {"args_sizes_get", "bb"},
    {"clock_res_get", "cb"},
    {"clock_time_get", "ctb"},
    {"environ_get", "bb"},
    {"environ_sizes_get", "bb"},
    {"fd_advise", "dttc"},
    {"fd_allocate", "dtt"},
    {"fd_close", "d"},
    {"fd_datasync", "d"},
    {"fd_fdstat_get", "db"},
    {"fd_fdstat_set_flags", "df"},
    {"fd_fdstat_set_rights", "drr"},
    {"fd_filestat_get", "db"},
    {"fd_filestat_set_size", "dt"},
    {"fd_filestat_set_times", "dttf"},
    {"fd_pread", "dvntb"},
    {"fd_prestat_dir_name", "dbn"},
    {"fd_prestat_get", "db"},
    {"fd_pwrite", "dvntb"},
    {"fd_read", "dvnb"},
    {"fd_readdir", "dbstb"},
    {"fd_renumber", "dd"},
    {"fd_seek", "dtcb"},
    {"fd_sync", "d"},
    {"fd_tell", "db"},
    {"fd_write", "dvnb"},
    {"path_create_directory", "dpl"},
    {"path_filestat_get", "dfplb"},
    {"path_filestat_set_times", "dfplttf"},
    {"path_link", "dfpldpl"},
    {"path_open", "dfplfrrfb"},
    {"path_readlink", "dplbsb"},
    {"path_remove_directory", "dpl"},
    {"path_rename", "dpldpl"},
    {"path_symlink", "pldpl"},
    {"path_unlink_file", "dpl"},
    {"poll_oneoff", "ebnb"},
    {"proc_exit", "n"},
    {"proc_raise", "n"},
    {"random_get", "bs"},
    {"sched_yield", ""},
    {"sock_accept", "dfb"},
    {"sock_recv", "dvnfbb"},
    {"sock_send", "dvnfb"},
    {"sock_shutdown", "df"},
};

/* 0x3FFFFFFF are all rights of preview 1, 0x1FFFFFFF those that no listener needs. */
static uint64_t lean_rights(struct input *input, uint8_t byte)
{
    static const uint64_t rights[] = {UINT64_MAX, 0x3FFFFFFF, 0x1FFFFFFF, 0x0FFFFFFF,
                                      0x00E001FF, 0x00200066, 0x00200002, 0};
    return byte < 0xE0 ? rights[byte % 8] : take(input, 4);
}

static uint64_t lean_argument(struct input *input, char letter, uint64_t before)
{
    uint8_t byte = letter == 'l' ? 0 : (uint8_t)take(input, 1);
    switch (letter) {
    case 'd': /* a descriptor: the directory, or what was opened */
        return byte % 2 == 0 ? 3 : byte / 2 % 8;
    case 'p':
        return TEXTS_AT + 8u * (byte % NAME_COUNT);
    case 'l':
        return before >= TEXTS_AT && (before - TEXTS_AT) / 8 < NAME_COUNT
                   ? strlen(names[(before - TEXTS_AT) / 8])
                   : 1;
    case 'f': /* flags: seldom more than one */
        return byte < 0x60 ? 0 : byte < 0xE0 ? 1u << byte % 5 : byte % 32;
    case 'c': /* one of few */
        return byte % 6;
    case 'r':
        return lean_rights(input, byte);
    case 't': /* a time, a size or a place in a file */
        return byte < 0xC0 ? byte : take(input, 2) << (byte % 8);
    case 'v':
        return IOVECS_AT + 8u * (byte % 4);
    case 'n':
        return byte % 5;
    case 's':
        return byte * 8u;
    case 'e':
        return SUBSCRIPTIONS_AT + 48u * (byte % 4);
    default:
        return BUFFERS_AT + 8u * byte;
    }
}

/* A listener whose clients have gone. False: the system has no port left for one. */
static bool add_listener(struct pd_wasi_config *config)
{
    char why[256] = "";
    uint16_t port = 0;
    if (pd_wasi_config_add_listener(config, "127.0.0.1:0", &port, why, sizeof why) != PD_OK) {
        return false;
    }
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (size_t i = 0; i < CLIENTS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        pd_assert(fd >= 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            (void)!write(fd, "some words of a client", i * 7);
        }
        close(fd);
    }
    return true;
}

/* Nothing waits for a client. */
static bool stays_awake(const char *name, uint64_t *arguments)
{
    if (strcmp(name, "fd_fdstat_set_flags") == 0 || strcmp(name, "sock_accept") == 0) {
        arguments[1] |= NONBLOCK;
    }
    return strcmp(name, "poll_oneoff") != 0;
}

static void call_one(struct pd_guest *guest, struct input *input, bool has_listener)
{
    const struct pd_import *import = &pd_wasi_imports[take(input, 1) % pd_wasi_import_count];
    uint64_t raw = take(input, 1) % 4 == 0 ? take(input, 2) : 0;
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX] = {0};
    size_t count = 0;
    const struct meaning *meaning = &meanings[import - pd_wasi_imports];
    pd_assert(strcmp(meaning->name, import->name) == 0);
    for (const char *type = import->signature; *type == 'i' || *type == 'I'; type++, count++) {
        char letter = meaning->letters[count];
        pd_assert(letter != '\0');
        bool is_raw = (raw >> count & 1) != 0;
        arguments[count] = is_raw
                               ? take(input, *type == 'i' ? 4 : 8)
                               : lean_argument(input, letter, count > 0 ? arguments[count - 1] : 0);
    }
    pd_assert(meaning->letters[count] == '\0');
    if (strcmp(import->name, "fd_allocate") == 0) {
        arguments[1] %= ALLOCATED_MAX; /* that is room on a real disk */
        arguments[2] %= ALLOCATED_MAX;
    }
    if (has_listener && !stays_awake(import->name, arguments)) {
        return;
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
    bool has_listener = form % 8 == 7 && add_listener(config);
    struct pd_guest guest;
    fake_guest_init(&guest, &host, config);
    if (has_listener) { /* behind the directory */
        pd_assert(CALL(&guest, fd_fdstat_set_flags, 4, NONBLOCK) == 0);
    }
    fill_memory(&guest, &input);
    for (int i = 0; i < CALLS_MAX && input.size > 0 && !guest.has_exited && !guest.has_trapped;
         i++) {
        call_one(&guest, &input, has_listener);
    }
    fake_guest_kill(&guest);
    pd_wasi_config_release(config);
    fake_host_deinit(&host);
    pd_files_destroy(files);
    (void)nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    assert_outside_untouched();
    return 0;
}
