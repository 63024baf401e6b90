/* bare_wasmtime - the raw limit of the actor benchmark: Wasmtime with Pando's settings and nothing
 * else.
 *
 *   bare_wasmtime FOLDER spawn  N         instantiate, run to the end, delete: N times, one thread
 *   bare_wasmtime FOLDER spawn-guarded N  the same in Wasmtime's pool, with guard pages
 *   bare_wasmtime FOLDER resume N         two actors, resumed in turn: N pairs of resumes
 *   bare_wasmtime FOLDER kill   N         instantiate, run until blocked, delete
 *   bare_wasmtime FOLDER trap   N         instantiate, run into `unreachable`, delete
 *   bare_wasmtime FOLDER mass   N PAUSE_MS       N blocked actors at once, then all are resumed and
 *                               end
 *   bare_wasmtime FOLDER compute fuel|dense|fastest|guarded NAME REPEATS
 *   bare_wasmtime version
 *
 * FOLDER holds the guests: the same files that the other columns run. */
#include "bare_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void print_result(const char *name, uint64_t elapsed_ns, uint64_t count)
{
    printf("RESULT %s %.1f %llu\n", name, (double)elapsed_ns / (double)count,
           (unsigned long long)count);
    (void)fflush(stdout);
}

static void print_ready(const char *name, uint64_t count)
{
    printf("READY %s %llu\n", name, (unsigned long long)count);
    (void)fflush(stdout);
}

static void pause_ms(uint64_t ms)
{
    struct timespec pause = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

static uint64_t parse(const char *text)
{
    char *end = NULL;
    unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || number == 0) {
        bare_fail(text, "a number above 0 is needed");
    }
    return number;
}

/* COUNT lives of the export `name`, each of which must come to `expected`. */
static void live_and_die(struct bare_engine *engine, const char *name, enum bare_state expected,
                         uint64_t count)
{
    struct bare_actor actor;
    for (uint64_t i = 0; i < count; i++) {
        bare_actor_open(engine, &actor, name, true);
        if (bare_actor_run(&actor) != expected) {
            bare_fail(name, "ended otherwise than it should");
        }
        bare_actor_close(&actor);
    }
}

static void run_lives(enum bare_profile profile, const char *path, const char *name,
                      enum bare_state expected, uint64_t count, const char *result)
{
    struct bare_engine engine;
    bare_engine_open(&engine, profile, path);
    live_and_die(&engine, name, expected, count / 10 + 1);
    uint64_t begin = now_ns();
    live_and_die(&engine, name, expected, count);
    print_result(result, now_ns() - begin, count);
    bare_engine_close(&engine);
}

static void resume(struct bare_actor *actor)
{
    actor->ready = true;
    if (bare_actor_run(actor) != BARE_PENDING) {
        bare_fail("resume", "the guest ended");
    }
}

static void run_resume(const char *path, uint64_t count)
{
    struct bare_engine engine;
    struct bare_actor left;
    struct bare_actor right;
    bare_engine_open(&engine, BARE_FUEL, path);
    bare_actor_open(&engine, &left, "resume", true);
    bare_actor_open(&engine, &right, "resume", true);
    resume(&left);
    resume(&right);
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        resume(&left);
        resume(&right);
    }
    print_result("ping_pong", now_ns() - begin, count);
    bare_actor_close(&left);
    bare_actor_close(&right);
    bare_engine_close(&engine);
}

static void run_mass(const char *path, uint64_t count, uint64_t ms)
{
    struct bare_engine engine;
    bare_engine_open(&engine, BARE_FUEL, path);
    struct bare_actor *actors = calloc(count, sizeof *actors);
    if (actors == NULL) {
        bare_fail("mass", "no memory for the table of actors");
    }
    print_ready("mass_base", 0);
    pause_ms(ms);
    uint64_t begin = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        bare_actor_open(&engine, &actors[i], "wait", true);
        if (bare_actor_run(&actors[i]) != BARE_PENDING) {
            bare_fail("mass", "an actor ended early");
        }
    }
    print_result("mass_spawn", now_ns() - begin, count);
    print_ready("mass", count);
    pause_ms(ms);
    begin = now_ns();
    for (uint64_t i = 0; i < count; i++) {
        actors[i].ready = true;
        if (bare_actor_run(&actors[i]) != BARE_DONE) {
            bare_fail("mass", "an actor did not end");
        }
        bare_actor_close(&actors[i]);
    }
    print_result("mass_wake", now_ns() - begin, count);
    free(actors);
    bare_engine_close(&engine);
}

static void run_compute(const char *path, const char *profile, const char *kernel,
                        const char *repeats)
{
    const char *const names[] = {"fuel", "dense", "fastest", "guarded"};
    const enum bare_profile profiles[] = {BARE_FUEL, BARE_DENSE, BARE_FASTEST, BARE_GUARDED};
    const size_t count = sizeof names / sizeof names[0];
    size_t index = 0;
    while (index < count && strcmp(names[index], profile) != 0) {
        index++;
    }
    if (index == count) {
        bare_fail(profile, "is no profile: fuel, dense, fastest, guarded");
    }
    const char *const arguments[] = {"compute", kernel, repeats};
    struct bare_engine engine;
    struct bare_actor actor;
    bare_engine_open(&engine, profiles[index], path);
    engine.arguments = arguments;
    engine.argument_count = 3;
    bare_actor_open(&engine, &actor, "_start", false);
    enum bare_state state = BARE_PENDING;
    while (state == BARE_PENDING) { /* a fuel yield: nothing here waits */
        state = bare_actor_run(&actor);
    }
    if (state != BARE_DONE) {
        bare_fail(kernel, "trapped");
    }
    bare_actor_close(&actor);
    bare_engine_close(&engine);
}

static void run(const char *folder, const char *mode, int count, char **rest)
{
    char path[4096];
    const char *module = "spawn";
    if (strcmp(mode, "resume") == 0) {
        module = "ping";
    } else if (strcmp(mode, "mass") == 0 || strcmp(mode, "compute") == 0) {
        module = mode;
    }
    (void)snprintf(path, sizeof path, "%s/%s.wasm", folder, module);
    if (strcmp(mode, "spawn") == 0 && count == 1) {
        run_lives(BARE_FUEL, path, "reply", BARE_DONE, parse(rest[0]), "spawn_serial");
    } else if (strcmp(mode, "spawn-guarded") == 0 && count == 1) {
        run_lives(BARE_GUARDED, path, "reply", BARE_DONE, parse(rest[0]), "spawn_serial");
    } else if (strcmp(mode, "kill") == 0 && count == 1) {
        run_lives(BARE_FUEL, path, "block", BARE_PENDING, parse(rest[0]), "spawn_kill");
    } else if (strcmp(mode, "trap") == 0 && count == 1) {
        run_lives(BARE_FUEL, path, "trap", BARE_TRAPPED, parse(rest[0]), "spawn_trap");
    } else if (strcmp(mode, "resume") == 0 && count == 1) {
        run_resume(path, parse(rest[0]));
    } else if (strcmp(mode, "mass") == 0 && count == 2) {
        run_mass(path, parse(rest[0]), parse(rest[1]));
    } else if (strcmp(mode, "compute") == 0 && count == 3) {
        run_compute(path, rest[0], rest[1], rest[2]);
    } else {
        bare_fail(mode, "usage: FOLDER spawn|resume|kill|trap|mass|compute ..., see the source");
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "version") == 0) {
        puts("Wasmtime " WASMTIME_VERSION ", one thread");
        return 0;
    }
    if (argc < 4) {
        bare_fail("usage", "bare_wasmtime FOLDER spawn|resume|kill|trap|mass|compute ...");
    }
    run(argv[1], argv[2], argc - 3, argv + 3);
    return 0;
}
