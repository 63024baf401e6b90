/* flags: -std=gnu11 */
/* verbs - one program for the end-to-end tests: each argument names one thing to do, in order. What
 * a verb takes follows a colon: "exit:7". */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <pando/pando.h>

static volatile int zero;

/* --- Ends ------------------------------------------------------------------------------------- */

static __attribute__((noinline)) void divide(int by)
{
    printf("%d\n", 100 / by);
}

static __attribute__((noinline)) int deeper(volatile char *former)
{
    volatile char here[256];
    here[0] = former[0];
    return here[0] == '!' ? 0 : deeper(here) + here[0];
}

static void verb_exit(const char *word)
{
    exit(atoi(word));
}

static void verb_divide(const char *word)
{
    (void)word;
    divide(zero);
}

static void verb_abort(const char *word)
{
    (void)fprintf(stderr, "panic: %s\n", word);
    abort();
}

static void verb_recurse(const char *word)
{
    volatile char first = word[0];
    printf("%d\n", deeper(&first));
}

static void verb_spin(const char *word)
{
    printf("spinning%s\n", word);
    (void)fflush(stdout);
    for (;;) {
        zero = 0;
    }
}

static void verb_outside(const char *word)
{
    (void)word;
    printf("%d\n", *(volatile int *)(uintptr_t)UINT32_C(0xFFFFFFF0));
}

static void verb_fail(const char *word)
{
    pando_exit_self(PANDO_REASON_FAILURE, word);
}

/* Fails the first time that anybody does it: a file says so. */
static void verb_once(const char *word)
{
    FILE *mark = fopen(word, "r");
    if (mark != NULL) {
        (void)fclose(mark);
        return;
    }
    mark = fopen(word, "w");
    if (mark == NULL || fclose(mark) != 0) {
        exit(9);
    }
    pando_exit_self(PANDO_REASON_FAILURE, "the first time");
}

/* --- Rights ----------------------------------------------------------------------------------- */

PANDO_EXPORT("nothing") void nothing(void);
void nothing(void)
{
}

static void verb_spawn(const char *word)
{
    uint64_t pid = 0;
    printf("spawn%s: %d\n", word, (int)pando_spawn("nothing", NULL, 0, &pid));
}

static const uint8_t empty_module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};

static void verb_compile(const char *word)
{
    uint64_t module = 0;
    printf("compile%s: %d\n", word,
           (int)pando_module_compile(empty_module, sizeof empty_module, &module));
}

static void verb_configure(const char *word)
{
    printf("configure%s: %s\n", word, pando_config_create() == PANDO_NO_CONFIG ? "denied" : "ok");
}

/* Ask for a right, a limit or a directory that this process does not have itself. */
static void verb_widen(const char *word)
{
    uint64_t config = pando_config_create();
    if (strcmp(word, "spawn") == 0) {
        pando_config_allow_spawn(config, true);
    } else if (strcmp(word, "compile") == 0) {
        pando_config_allow_compile(config, true);
    } else if (strcmp(word, "memory") == 0) {
        pando_config_set_memory(config, UINT64_C(1) << 31);
    } else if (strcmp(word, "fuel") == 0) {
        pando_config_set_fuel(config, 0);
    } else {
        pando_config_add_directory(config, word);
    }
    struct pando_spawn_options options = pando_spawn_options("nothing", NULL, 0);
    options.config = config;
    uint64_t pid = 0;
    printf("widen %s: %d\n", word, (int)pando_spawn_with(&options, &pid));
}

static void verb_grow(const char *word)
{
    size_t step = (size_t)1 << 20;
    size_t count = 0;
    void *volatile taken = NULL; /* or else the compiler leaves malloc out */
    while (count < (size_t)atoi(word) && (taken = malloc(step)) != NULL) {
        count++;
    }
    printf("grown by %zu MiB\n", count);
}

/* --- What one sees ---------------------------------------------------------------------------- */

extern char **environ;

static void verb_environment(const char *word)
{
    for (char **variable = environ; variable != NULL && *variable != NULL; variable++) {
        printf("%s%s\n", word, *variable);
    }
}

static void verb_copy(const char *word)
{
    char bytes[4096];
    size_t size = 0;
    while ((size = fread(bytes, 1, sizeof bytes, stdin)) > 0) {
        (void)fwrite(bytes, 1, size, stdout);
    }
    printf("end of input%s\n", word);
}

static void verb_say(const char *word)
{
    printf("%s\n", word);
    (void)fflush(stdout);
}

/* As "say", and what became of it goes to the error stream. */
static void verb_heard(const char *word)
{
    bool is_heard = printf("%s\n", word) > 0 && fflush(stdout) == 0;
    (void)fprintf(stderr, "%s: %s\n", word, is_heard ? "heard" : strerror(errno));
}

static void verb_clock(const char *word)
{
    struct timespec now;
    struct timespec since;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)clock_gettime(CLOCK_MONOTONIC, &since);
    printf("clock%s %lld.%09ld %lld.%09ld\n", word, now.tv_sec, now.tv_nsec, since.tv_sec,
           since.tv_nsec);
}

static void verb_entropy(const char *word)
{
    uint64_t number = 0;
    (void)getentropy(&number, sizeof number);
    printf("entropy%s %016" PRIx64 "\n", word, number);
}

/* A directory as it comes, with what must not be seen of the real one under --seed. */
static void verb_list(const char *word)
{
    DIR *directory = opendir(word);
    const struct dirent *entry = NULL;
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[512];
        struct stat status = {0};
        (void)snprintf(path, sizeof path, "%s/%s", word, entry->d_name);
        printf("%s %d", entry->d_name, stat(path, &status));
        printf(" ino %llu size %lld links %llu mtime %lld.%09ld\n",
               (unsigned long long)status.st_ino, (long long)status.st_size,
               (unsigned long long)status.st_nlink, (long long)status.st_mtim.tv_sec,
               status.st_mtim.tv_nsec);
    }
    if (directory != NULL) {
        (void)closedir(directory);
    }
}

static void verb_sleep(const char *word)
{
    pando_sleep((uint64_t)atoi(word));
}

/* --- Many ------------------------------------------------------------------------------------- */

/* Lines of one member, each written in several pieces. */
PANDO_EXPORT("printer") void printer(int64_t parent, int32_t number);
void printer(int64_t parent, int32_t number)
{
    char name[24];
    (void)snprintf(name, sizeof name, "printer-%d", (int)number);
    (void)pando_register(name, pando_self());
    for (int line = 0; line < 50; line++) {
        char text[64];
        int size =
            snprintf(text, sizeof text, "<%d:%d:abcdefghijklmnopqrstuvwxyz>\n", (int)number, line);
        for (int at = 0; at < size; at += 7) {
            (void)write(1, text + at, (size_t)(size - at < 7 ? size - at : 7));
            pando_sleep(0); /* somebody else's turn, in the middle of the line */
        }
    }
    pando_send_u64((uint64_t)parent, 1, (uint64_t)number);
}

static void verb_printers(const char *word)
{
    int count = atoi(word);
    for (int i = 0; i < count; i++) {
        const struct pando_param params[] = {pando_i64((int64_t)pando_self()), pando_i32(i)};
        uint64_t pid = 0;
        if (pando_spawn("printer", params, 2, &pid) != PANDO_OK) {
            exit(9);
        }
    }
    for (int i = 0; i < count; i++) {
        (void)pando_receive_tag(1, PANDO_FOREVER);
    }
}

/* Works for a while that depends on nothing but its turns, then tells its parent. */
PANDO_EXPORT("racer") void racer(int64_t parent, int32_t number);
void racer(int64_t parent, int32_t number)
{
    for (int lap = 0; lap < 3; lap++) {
        for (volatile int i = 0; i < 20000; i++) {
        }
        pando_send_u64((uint64_t)parent, 1, (uint64_t)number);
    }
}

static void verb_race(const char *word)
{
    int count = atoi(word);
    for (int i = 0; i < count; i++) {
        const struct pando_param params[] = {pando_i64((int64_t)pando_self()), pando_i32(i)};
        uint64_t pid = 0;
        if (pando_spawn("racer", params, 2, &pid) != PANDO_OK) {
            exit(9);
        }
    }
    printf("race");
    for (int i = 0; i < 3 * count; i++) {
        uint64_t number = 0;
        (void)pando_receive_tag(1, PANDO_FOREVER);
        (void)pando_message_read_u64(&number);
        printf(" %" PRIu64, number);
    }
    printf("\n");
}

/* --- Waiting ---------------------------------------------------------------------------------- */

static void verb_wait(const char *word)
{
    printf("waiting%s\n", word);
    (void)fflush(stdout);
    (void)pando_receive(PANDO_FOREVER);
}

/* Trap exits, and say why one was asked to end. */
static void verb_last_words(const char *word)
{
    pando_trap_exit(true);
    printf("waiting %s\n", word);
    (void)fflush(stdout);
    if (pando_receive(PANDO_FOREVER) == PANDO_LINK_DIED) {
        printf("%s: asked to end: %s\n", word, pando_reason_text(pando_message_reason()));
    }
}

/* Trap exits and take no notice of them. */
static void verb_stubborn(const char *word)
{
    pando_trap_exit(true);
    printf("waiting%s\n", word);
    (void)fflush(stdout);
    for (;;) {
        (void)pando_receive(PANDO_FOREVER);
        printf("no%s\n", word);
        (void)fflush(stdout);
    }
}

static void verb_register(const char *word)
{
    printf("register %s: %d\n", word, (int)pando_register(word, pando_self()));
}

static void verb_whereis(const char *word)
{
    printf("whereis %s: %s\n", word, pando_whereis(word) != 0 ? "found" : "absent");
}

static void verb_ready(const char *word)
{
    (void)word;
    pando_ready();
}

static const struct {
    const char *name;
    void (*run)(const char *word);
} verbs[] = {{"exit", verb_exit},           {"divide", verb_divide},
             {"abort", verb_abort},         {"recurse", verb_recurse},
             {"spin", verb_spin},           {"outside", verb_outside},
             {"fail", verb_fail},           {"once", verb_once},
             {"spawn", verb_spawn},         {"compile", verb_compile},
             {"configure", verb_configure}, {"widen", verb_widen},
             {"grow", verb_grow},           {"environment", verb_environment},
             {"copy", verb_copy},           {"say", verb_say},
             {"clock", verb_clock},         {"entropy", verb_entropy},
             {"list", verb_list},           {"sleep", verb_sleep},
             {"printers", verb_printers},   {"race", verb_race},
             {"wait", verb_wait},           {"last_words", verb_last_words},
             {"stubborn", verb_stubborn},   {"register", verb_register},
             {"whereis", verb_whereis},     {"ready", verb_ready},
             {"heard", verb_heard}};

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        size_t size = strcspn(arguments[i], ":");
        const char *word = arguments[i] + size + (arguments[i][size] == ':');
        size_t at = 0;
        while (
            at < sizeof verbs / sizeof verbs[0] &&
            (strlen(verbs[at].name) != size || strncmp(verbs[at].name, arguments[i], size) != 0)) {
            at++;
        }
        if (at == sizeof verbs / sizeof verbs[0]) {
            (void)fprintf(stderr, "verbs: there is no '%s'\n", arguments[i]);
            return 99;
        }
        verbs[at].run(word);
    }
    return 0;
}
