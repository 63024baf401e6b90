/* power-loss - cuts the power of a running program, over and over, and looks whether it keeps its
 * word. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "power-loss/model.h"
#include "subject.h"

/* RocksDB's folder: it renames CURRENT before the name of the MANIFEST in it is durable, and counts
 * on names becoming so in the order of their changes. The log counts on nothing. */
#define ORDERED "store"

static const char usage[] =
    "Usage: power-loss [OPTION]...\n"
    "\n"
    "Runs a program on a folder and records what it writes there; kills it, builds the folder that "
    "a power\n"
    "cut at a random moment could have left - unsynced blocks and names lost, kept or torn - and "
    "starts the\n"
    "program on that. Everything that was acknowledged before that moment must be there.\n"
    "\n"
    "  --subject NAME   node (`pando start` and clients, default), or parts (log and store alone)\n"
    "  --rounds N       power cuts, 200 by default\n"
    "  --seed N         where chance begins, 1 by default\n"
    "  --work DIR       for the folders; removed at the end unless something fails\n"
    "  --chain N        power cuts until an empty folder is begun, 12 by default\n"
    "  --pando FILE     the node's program; beside this one by default\n"
    "  --shim FILE      the library that records; beside this program by default\n"
    "\n"
    "Exit status: 0 nothing was lost, 1 something was, 2 it could not be looked at.\n";

struct options {
    const char *subject;
    const char *work;
    const char *shim;
    const char *pando;
    uint64_t rounds;
    uint64_t chain;
    uint64_t seed;
};

/* One search: a chain of folders, each the image of the one before. */
struct search {
    const struct options *options;
    const struct pd_power_subject *subject;
    void *state;
    struct pd_random random;
    struct pd_power_model *model;
    struct pd_power_log log;
    char work[PATH_MAX];
    char folder[PATH_MAX + 32];
    char trace[PATH_MAX + 32];
    uint64_t images;
    bool is_image; /* the folder is what a cut left, and nothing was started on it yet */
    uint64_t rounds;
    uint64_t cuts_in_chain;
    uint64_t kills;
};

static int failed(const char *what)
{
    fprintf(stderr, "power-loss: %s\n", what);
    return 2;
}

/* rm -r, without following anything out of the folder. */
static void remove_tree(const char *path)
{
    char *words[] = {(char[]){"/bin/rm"}, (char[]){"-rf"}, (char[]){"--"}, (char *)(uintptr_t)path,
                     NULL};
    pid_t child = fork();
    if (child == 0) {
        execv(words[0], words);
        _exit(127);
    }
    pd_power_wait(child);
}

static int begin_folder(struct search *search)
{
    snprintf(search->trace, sizeof search->trace, "%s/trace", search->work);
    unlink(search->trace);
    return pd_power_model_open(search->folder, &search->model) == PD_OK ? 0 : 2;
}

static void end_folder(struct search *search)
{
    pd_power_model_close(search->model);
    pd_power_log_close(&search->log);
    search->model = NULL;
    remove_tree(search->folder);
}

static enum pd_power_style style(struct pd_random *random)
{
    uint64_t draw = pd_random_below(random, 8);
    return draw < 2 ? PD_POWER_LOSES_ALL : draw == 2 ? PD_POWER_KEEPS_ALL : PD_POWER_MIXES;
}

static int model_failed(struct search *search)
{
    fprintf(stderr, "power-loss: %s\n", pd_power_model_text(search->model));
    return 2;
}

/* The power goes at some record of the trace; the image becomes the folder. */
static int cut_power(struct search *search)
{
    char image[sizeof search->folder];
    uint64_t records = search->log.record_count;
    uint64_t at = pd_power_log_moment(&search->log, &search->random);
    snprintf(image, sizeof image, "%s/image-%" PRIu64, search->work, ++search->images);
    if (pd_power_model_replay(search->model, &search->log, at) != PD_OK ||
        pd_power_model_cut(search->model, &search->random, style(&search->random),
                           style(&search->random), ORDERED, image) != PD_OK) {
        return model_failed(search);
    }
    search->subject->cut(search->state, pd_power_model_time_ns(search->model));
    if (pd_power_model_replay(search->model, &search->log, records) != PD_OK ||
        (pd_power_log_rest(&search->log).names == 0 &&
         pd_power_model_compare(search->model, search->folder) != PD_OK)) {
        return model_failed(search);
    }
    end_folder(search);
    memcpy(search->folder, image, sizeof image);
    search->is_image = true;
    search->cuts_in_chain++;
    return begin_folder(search);
}

/* Whether the folder itself goes on: the process was killed, the power stays. */
static bool goes_on(struct search *search)
{
    struct pd_power_rest rest = pd_power_log_rest(&search->log);
    return pd_random_below(&search->random, 3) == 0 && rest.names == 0 && rest.files == 0;
}

/* What is known of a folder goes with it. */
static int begin_chain(struct search *search)
{
    if (search->state != NULL) {
        end_folder(search);
        search->subject->close(search->state);
    }
    search->state = search->subject->open(&search->random);
    search->cuts_in_chain = 0;
    snprintf(search->folder, sizeof search->folder, "%s/image-%" PRIu64, search->work,
             ++search->images);
    return mkdir(search->folder, 0700) == 0 ? begin_folder(search) : 2;
}

static int run_round(struct search *search, uint64_t start)
{
    struct pd_power_run run = {.shim = search->options->shim,
                               .program = search->options->pando,
                               .work = search->work,
                               .folder = search->folder,
                               .trace = search->trace,
                               .random = &search->random};
    if (!search->subject->run(search->state, &run)) {
        printf("FAILED start %" PRIu64 ": %s\n", start, run.why);
        printf("the folder is %s; again with --subject %s --seed %" PRIu64 "\n", search->folder,
               search->subject->name, search->options->seed);
        return 1;
    }
    search->rounds += search->is_image;
    search->is_image = false;
    if (search->rounds == search->options->rounds) {
        return 0;
    }
    if (search->cuts_in_chain == search->options->chain) {
        return begin_chain(search);
    }
    pd_power_log_close(&search->log);
    if (pd_power_log_open(search->trace, &search->log) != PD_OK) {
        return failed("the program left no trace: is it preloaded?");
    }
    if (goes_on(search)) {
        search->kills++;
        return 0;
    }
    return cut_power(search);
}

static int search_all(struct search *search)
{
    int result = begin_chain(search);
    for (uint64_t start = 1; result == 0 && search->rounds < search->options->rounds; start++) {
        result = run_round(search, start);
    }
    if (result == 0) {
        printf("%" PRIu64 " rounds: started on as many images of a power cut, and %" PRIu64
               " times after a kill alone; nothing was lost\n",
               search->rounds, search->kills);
    }
    pd_power_model_close(search->model);
    pd_power_log_close(&search->log);
    return result;
}

static const struct pd_power_subject *const subjects[] = {&pd_power_parts, &pd_power_node};

static int run_search(const struct options *options)
{
    struct search search = {.options = options};
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        if (strcmp(subjects[i]->name, options->subject) == 0) {
            search.subject = subjects[i];
        }
    }
    if (search.subject == NULL) {
        return failed("no such subject");
    }
    char pattern[PATH_MAX];
    snprintf(pattern, sizeof pattern, "%s/pando-power-XXXXXX", options->work);
    if (access(options->shim, R_OK) != 0) {
        return failed("the library that records is not there: --shim names it");
    }
    if (mkdtemp(pattern) == NULL || realpath(pattern, search.work) == NULL) {
        return failed("the working folder cannot be made");
    }
    pd_random_init(&search.random, options->seed, "power");
    int result = search_all(&search);
    search.subject->close(search.state);
    if (result == 0) {
        remove_tree(search.work);
    }
    return result;
}

/* The value behind an option at words[*at]; NULL: this is another option. */
static const char *value_of(int count, char **words, int *at, const char *name)
{
    if (strcmp(words[*at], name) != 0 || *at + 1 >= count) {
        return NULL;
    }
    *at += 2;
    return words[*at - 1];
}

static bool read_number(const char *text, uint64_t *number_out)
{
    char *end = NULL;
    errno = 0;
    *number_out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse(int count, char **words, struct options *options)
{
    const char *value = NULL;
    for (int at = 1; at < count;) {
        if ((value = value_of(count, words, &at, "--subject")) != NULL) {
            options->subject = value;
        } else if ((value = value_of(count, words, &at, "--work")) != NULL) {
            options->work = value;
        } else if ((value = value_of(count, words, &at, "--shim")) != NULL) {
            options->shim = value;
        } else if ((value = value_of(count, words, &at, "--pando")) != NULL) {
            options->pando = value;
        } else if ((value = value_of(count, words, &at, "--rounds")) != NULL) {
            if (!read_number(value, &options->rounds)) {
                return false;
            }
        } else if ((value = value_of(count, words, &at, "--chain")) != NULL) {
            if (!read_number(value, &options->chain)) {
                return false;
            }
        } else if ((value = value_of(count, words, &at, "--seed")) == NULL ||
                   !read_number(value, &options->seed)) {
            return false;
        }
    }
    return true;
}

int main(int count, char **words)
{
    char shim[PATH_MAX];
    char pando[PATH_MAX];
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    self[size < 0 ? 0 : size] = '\0';
    char *slash = strrchr(self, '/');
    snprintf(shim, sizeof shim, "%.*s/../lib/libpando-power.so",
             slash == NULL ? 0 : (int)(slash - self), self);
    snprintf(pando, sizeof pando, "%.*s/pando", slash == NULL ? 0 : (int)(slash - self), self);
    struct options options = {.subject = "node",
                              .work = "/tmp",
                              .shim = shim,
                              .pando = pando,
                              .rounds = 200,
                              .chain = 12,
                              .seed = 1};
    uint64_t seed = 0;
    if (count == 4 && strcmp(words[1], "--as-parts") == 0 && read_number(words[3], &seed)) {
        return pd_power_parts_main(words[2], seed);
    }
    if (!parse(count, words, &options)) {
        fputs(usage, count == 2 && strcmp(words[1], "--help") == 0 ? stdout : stderr);
        return count == 2 && strcmp(words[1], "--help") == 0 ? 0 : 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    return run_search(&options);
}
