/* flags: -Wl,-z,stack-size=65536 -Wconversion */
/* wordcount - counts words with supervised actors, and accounts for every one of them although one
 * of the actors crashes midway. What the actors say to each other, and why nothing is lost:
 * wordcount.h.
 *
 *   pando run --dir /usr/share/common-licenses wordcount.wasm /usr/share/common-licenses/GPL-3
 *
 * This file is the coordinator: it starts the tree, gives out chunks, and puts them back when
 * somebody dies. Exit code: 0, 1 if the count failed or does not agree with itself, 2 for mistakes
 * in the words of the command or the files. */
#include "wordcount.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "options.h"
#include "plan.h"
#include "progress.h"
#include "rights.h"
#include "summary.h"

#define NO_CHUNK UINT32_MAX
#define RESTARTS_MAX 1000u
#define RESTART_PERIOD_MS 5000u

/* A mapper or a reducer, as the coordinator sees it. */
struct worker {
    uint64_t pid;     /* 0: nobody has said hello since the last one died */
    uint64_t monitor; /* of this pid */
    uint32_t chunk;   /* a mapper's, or NO_CHUNK */
    uint32_t era;     /* in which it got the chunk */
    bool has_died;    /* at least once */
    uint64_t words;   /* a reducer's, acknowledged */
};

struct coordinator {
    struct options options;
    struct plan plan;
    struct progress progress;
    struct ledger ledger;
    bool has_failed; /* the ledger, which said why */
    struct worker mappers[MAPPERS_MAX];
    struct worker reducers[REDUCERS_MAX];
    uint32_t era;    /* counts the deaths of reducers */
    uint32_t *queue; /* chunks to be given out: a ring with a place for each */
    uint32_t queue_first;
    uint32_t queue_count;
    uint32_t done_count;
    bool has_crashed_mapper;
    bool has_crashed_reducer;
};

void say_hello(uint64_t coordinator, enum role role, uint32_t number)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s.%" PRIu32, role == ROLE_MAPPER ? "mapper" : "reducer",
                   number);
    pando_register_over(name, pando_self());
    struct hello hello = {.role = (uint32_t)role, .number = number, .pid = pando_self()};
    pando_message_create(TAG_HELLO, sizeof hello);
    pando_message_write(&hello, sizeof hello);
    pando_send(coordinator);
}

/* --- Chunks ----------------------------------------------------------------------------------- */

static void enqueue(struct coordinator *self, uint32_t chunk)
{
    self->plan.chunks[chunk].state = CHUNK_QUEUED;
    self->queue[(self->queue_first + self->queue_count) % self->plan.chunk_count] = chunk;
    self->queue_count++;
}

static uint32_t dequeue(struct coordinator *self)
{
    uint32_t chunk = self->queue[self->queue_first];
    self->queue_first = (self->queue_first + 1) % self->plan.chunk_count;
    self->queue_count--;
    return chunk;
}

static bool is_elsewhere(const struct chunk *chunk)
{
    return chunk->is_recorded && !chunk->is_ours;
}

static bool is_done(const struct chunk *chunk)
{
    return (chunk->state == CHUNK_MAPPED && chunk->missing == 0) || is_elsewhere(chunk);
}

static void one_more_done(struct coordinator *self)
{
    self->done_count++;
    progress_show(&self->progress, self->done_count, self->plan.chunk_count, self->plan.byte_count);
}

static void chunk_changed(struct coordinator *self, struct chunk *chunk)
{
    if (!is_done(chunk)) {
        return;
    }
    if (self->ledger.prefix != NULL && !chunk->is_recorded) {
        uint32_t number = (uint32_t)(chunk - self->plan.chunks);
        if (!ledger_record(&self->ledger, number, chunk->words)) {
            self->has_failed = true;
            return;
        }
        chunk->is_recorded = true;
    }
    one_more_done(self);
}

/* What the ledger says of others; of ourselves it says nothing new, unless we lived before. */
static void others_did(void *state, enum ledger_news news, uint32_t number, const char *by)
{
    struct coordinator *self = state;
    if (number >= self->plan.chunk_count) {
        return;
    }
    struct chunk *chunk = &self->plan.chunks[number];
    if (news == LEDGER_CLAIMED) {
        chunk->is_claimed = strcmp(by, self->ledger.name) != 0;
    } else if (!chunk->is_recorded) {
        chunk->is_recorded = true;
        if (is_elsewhere(chunk)) {
            one_more_done(self);
        }
    }
}

/* A chunk to be given out. With a ledger: one that nobody has begun; when there is none, one that
 * another has begun and not finished, since nobody knows whether that one still lives. False: there
 * is none, or the ledger has failed. */
static bool next_chunk(struct coordinator *self, uint32_t *number_out)
{
    for (uint32_t left = self->queue_count; left > 0; left--) {
        uint32_t number = dequeue(self);
        struct chunk *chunk = &self->plan.chunks[number];
        bool is_mine = self->ledger.prefix == NULL || chunk->is_ours;
        *number_out = number;
        if (is_elsewhere(chunk)) {
            continue;
        }
        if (!is_mine && !chunk->is_claimed) {
            if (!ledger_claim(&self->ledger, number, &is_mine)) {
                self->has_failed = true;
                return false;
            }
            chunk->is_claimed = !is_mine;
        }
        if (is_mine) {
            return true;
        }
        enqueue(self, number);
    }
    if (self->queue_count == 0) {
        return false;
    }
    *number_out = dequeue(self);
    return true;
}

/* --- Giving out ------------------------------------------------------------------------------- */

static bool are_reducers_there(const struct coordinator *self)
{
    for (uint32_t i = 0; i < self->options.reducers; i++) {
        if (self->reducers[i].pid == 0) {
            return false;
        }
    }
    return true;
}

/* The crash that the user came to see: once, when half of the work is done. */
static bool is_crash_due(struct coordinator *self)
{
    if (!self->options.crashes_mapper || self->has_crashed_mapper ||
        self->done_count < self->plan.chunk_count / 2) {
        return false;
    }
    self->has_crashed_mapper = true;
    return true;
}

static void give_out(struct coordinator *self, struct worker *mapper, uint32_t number)
{
    struct chunk *chunk = &self->plan.chunks[number];
    struct order order = {
        .chunk = number,
        .flags = self->options.any_byte ? ORDER_ANY_BYTE : 0,
        .pace_ms = self->options.pace_ms,
        .reducer_count = self->options.reducers,
    };
    order.flags |= is_crash_due(self) ? ORDER_CRASH : 0;
    uint64_t pids[REDUCERS_MAX];
    for (uint32_t i = 0; i < self->options.reducers; i++) {
        pids[i] = (chunk->missing >> i & 1) != 0 ? self->reducers[i].pid : 0;
    }
    plan_write_order(&self->plan, order, pids);
    pando_send(mapper->pid);
    chunk->state = CHUNK_AT_WORK;
    chunk->is_ours = true;
    mapper->chunk = number;
    mapper->era = self->era;
}

static void give_out_all(struct coordinator *self)
{
    if (!are_reducers_there(self)) {
        return;
    }
    for (uint32_t i = 0; i < self->options.mappers && self->queue_count > 0; i++) {
        struct worker *mapper = &self->mappers[i];
        uint32_t number = 0;
        if (mapper->pid != 0 && mapper->chunk == NO_CHUNK && next_chunk(self, &number)) {
            give_out(self, mapper, number);
        }
    }
    if (self->options.crashes_reducer && !self->has_crashed_reducer &&
        self->done_count >= self->plan.chunk_count / 3) {
        self->has_crashed_reducer = true;
        pando_message_create(TAG_CRASH, 0);
        pando_send(self->reducers[0].pid);
    }
}

/* --- Deaths and births ------------------------------------------------------------------------ */

static void mapper_died(struct coordinator *self, uint32_t number, enum pando_reason reason)
{
    struct worker *mapper = &self->mappers[number];
    char what[64] = "had nothing to do";
    if (mapper->chunk != NO_CHUNK) {
        (void)snprintf(what, sizeof what, "chunk %" PRIu32 " goes back to the queue",
                       mapper->chunk);
        enqueue(self, mapper->chunk);
    }
    progress_say(&self->progress, "mapper.%" PRIu32 " (process %" PRIu64 ") died: %s; %s", number,
                 mapper->pid, pando_reason_text(reason), what);
    *mapper = (struct worker){.chunk = NO_CHUNK, .has_died = true};
}

/* What it had added up is gone: all chunks are missing it again. Those at work go back to the queue
 * when their result comes, since their era is over. */
static void reducer_died(struct coordinator *self, uint32_t number, enum pando_reason reason)
{
    uint32_t again = 0;
    for (uint32_t i = 0; i < self->plan.chunk_count; i++) {
        struct chunk *chunk = &self->plan.chunks[i];
        if (is_elsewhere(chunk)) {
            continue;
        }
        self->done_count -= is_done(chunk);
        chunk->missing |= (uint8_t)(1u << number);
        if (chunk->state == CHUNK_MAPPED) {
            enqueue(self, i);
            again++;
        }
    }
    progress_say(&self->progress,
                 "reducer.%" PRIu32 " (process %" PRIu64 ") died: %s; %" PRIu32
                 " chunks are mapped again, for it alone",
                 number, self->reducers[number].pid, pando_reason_text(reason), again);
    self->reducers[number] = (struct worker){.has_died = true};
    self->era++;
}

static void worker_died(struct coordinator *self)
{
    uint64_t ref = pando_message_ref();
    enum pando_reason reason = pando_message_reason();
    for (uint32_t i = 0; i < self->options.mappers; i++) {
        if (self->mappers[i].pid != 0 && self->mappers[i].monitor == ref) {
            mapper_died(self, i, reason);
        }
    }
    for (uint32_t i = 0; i < self->options.reducers; i++) {
        if (self->reducers[i].pid != 0 && self->reducers[i].monitor == ref) {
            reducer_died(self, i, reason);
        }
    }
}

static void worker_is_there(struct coordinator *self)
{
    struct hello hello;
    if (pando_message_read(&hello, sizeof hello) != sizeof hello) {
        return;
    }
    bool is_mapper = hello.role == ROLE_MAPPER;
    if (hello.number >= (is_mapper ? self->options.mappers : self->options.reducers)) {
        return;
    }
    struct worker *worker =
        is_mapper ? &self->mappers[hello.number] : &self->reducers[hello.number];
    if (worker->pid != 0) { /* its greeting overtook the notice of its predecessor's death */
        (void)pando_demonitor(worker->monitor);
        if (is_mapper) {
            mapper_died(self, hello.number, PANDO_REASON_KILLED);
        } else {
            reducer_died(self, hello.number, PANDO_REASON_KILLED);
        }
    }
    worker->pid = hello.pid;
    worker->monitor = pando_monitor(hello.pid);
    if (worker->has_died) {
        progress_say(&self->progress, "%s.%" PRIu32 " was restarted as process %" PRIu64,
                     is_mapper ? "mapper" : "reducer", hello.number, hello.pid);
    }
}

/* --- Results ---------------------------------------------------------------------------------- */

static bool take_result(struct coordinator *self)
{
    struct result result;
    if (pando_message_read(&result, sizeof result) != sizeof result) {
        return true;
    }
    for (uint32_t i = 0; i < self->options.mappers; i++) {
        struct worker *mapper = &self->mappers[i];
        if (mapper->pid != result.pid || mapper->chunk != result.chunk) {
            continue;
        }
        struct chunk *chunk = &self->plan.chunks[result.chunk];
        if (chunk->is_counted && chunk->words != result.words) {
            fprintf(stderr,
                    "wordcount: chunk %" PRIu32 " had %" PRIu32 " words and now has %" PRIu32
                    ": did a file change?\n",
                    result.chunk, chunk->words, result.words);
            return false;
        }
        chunk->is_counted = true;
        chunk->words = result.words;
        mapper->chunk = NO_CHUNK;
        if (mapper->era != self->era && chunk->missing != 0) {
            enqueue(self,
                    result.chunk); /* a reducer died meanwhile, maybe before it got its counts */
            continue;
        }
        chunk->state = CHUNK_MAPPED;
        chunk_changed(self, chunk);
    }
    return true;
}

static void take_applied(struct coordinator *self)
{
    struct applied applied;
    if (pando_message_read(&applied, sizeof applied) != sizeof applied ||
        applied.chunk >= self->plan.chunk_count) {
        return;
    }
    struct chunk *chunk = &self->plan.chunks[applied.chunk];
    for (uint32_t i = 0; i < self->options.reducers; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        if (self->reducers[i].pid == applied.pid && (chunk->missing & bit) != 0) {
            chunk->missing &= (uint8_t)~bit;
            self->reducers[i].words += applied.words;
            chunk_changed(self, chunk);
        }
    }
}

/* A mapper's word goes on behind the end of a file. */
static void tell_next_file(const struct coordinator *self)
{
    uint64_t asker = pando_message_pid();
    uint64_t ref = pando_message_ref();
    uint32_t file = 0;
    bool is_asked = pando_message_read_u32(&file) && ref != 0;
    pando_message_create(0, 0);
    if (is_asked && file < self->plan.file_count - 1) {
        const struct plan_file *next = &self->plan.files[file + 1];
        pando_message_write_u64(next->size);
        pando_message_write_text(next->name);
    }
    if (is_asked) {
        (void)pando_reply(asker, ref);
    }
}

static bool tell_failure(void)
{
    char text[512];
    uint32_t size = pando_message_read(text, sizeof text - 1);
    text[size] = '\0';
    fprintf(stderr, "wordcount: %s\n", text);
    return false;
}

/* False: it cannot go on. */
static bool take_message(struct coordinator *self)
{
    switch (pando_message_tag()) {
    case TAG_HELLO:
        worker_is_there(self);
        return true;
    case TAG_RESULT:
        return take_result(self);
    case TAG_APPLIED:
        take_applied(self);
        return true;
    case TAG_NEXT:
        tell_next_file(self);
        return true;
    case TAG_FAILED:
        return tell_failure();
    case TAG_STORE:
        return ledger_take_news(&self->ledger, others_did, self);
    default:
        return true;
    }
}

/* --- The tree --------------------------------------------------------------------------------- */

/* A supervisor of `count` alike workers: each is restarted alone, as often as it takes a person to
 * get tired of killing them. */
static uint64_t describe_workers(const char *function, uint32_t count, uint64_t config)
{
    uint64_t supervisor =
        pando_supervisor_create(PANDO_ONE_FOR_ONE, RESTARTS_MAX, RESTART_PERIOD_MS);
    for (uint32_t i = 0; i < count; i++) {
        char id[32];
        struct pando_param params[] = {pando_i64((int64_t)pando_self()), pando_i32((int32_t)i)};
        (void)snprintf(id, sizeof id, "%s.%" PRIu32, function, i);
        struct pando_child child = pando_child(id, function, params, 2);
        child.spawn.config = config;
        pando_supervisor_add(supervisor, &child);
    }
    return supervisor;
}

static bool start_tree(const struct coordinator *self, uint64_t *pid_out)
{
    uint64_t tree = pando_supervisor_create(PANDO_ONE_FOR_ONE, 3, RESTART_PERIOD_MS);
    pando_supervisor_set_name(tree, "wordcount");
    pando_supervisor_add_supervisor(
        tree, "reducers", describe_workers("reducer", self->options.reducers, rights_of_reducers()),
        PANDO_PERMANENT, PANDO_STOP_INFINITELY);
    pando_supervisor_add_supervisor(
        tree, "mappers", describe_workers("mapper", self->options.mappers, rights_of_mappers()),
        PANDO_PERMANENT, PANDO_STOP_INFINITELY);
    if (pando_supervisor_start(tree, 1, pid_out) == PANDO_OK) {
        return true;
    }
    char text[1025];
    (void)pando_error_take(*pid_out, text, sizeof text);
    fprintf(stderr, "wordcount: cannot start the tree: %s\n", text);
    return false;
}

/* --- Running ---------------------------------------------------------------------------------- */

static bool prepare(struct coordinator *self)
{
    const struct plan *plan = &self->plan;
    self->queue = calloc(plan->chunk_count + 1, sizeof *self->queue);
    if (self->queue == NULL) {
        return false;
    }
    /* Each begins somewhere else, so that several are seldom in each other's way. */
    const char *name = self->options.name;
    uint32_t first =
        name == NULL || plan->chunk_count == 0
            ? 0
            : key_hash((const uint8_t *)name, (uint32_t)strlen(name)) % plan->chunk_count;
    for (uint32_t i = 0; i < plan->chunk_count; i++) {
        plan->chunks[i].missing = (uint8_t)((1u << self->options.reducers) - 1);
        enqueue(self, (first + i) % plan->chunk_count);
    }
    for (uint32_t i = 0; i < MAPPERS_MAX; i++) {
        self->mappers[i].chunk = NO_CHUNK;
    }
    self->ledger = (struct ledger){.prefix = self->options.store, .name = name};
    return name == NULL || ledger_open(&self->ledger, plan, others_did, self);
}

/* Wait for one message. False: it cannot go on. */
static bool handle_one(struct coordinator *self)
{
    enum pando_received received = pando_receive(PANDO_FOREVER);
    if (received == PANDO_DOWN) {
        worker_died(self);
    } else if (received == PANDO_DATA && !take_message(self)) {
        return false;
    }
    give_out_all(self);
    return !self->has_failed;
}

/* Until all chunks are done, and the reducers have told their sums. They may die up to their last
 * word: then their part is counted again. */
static bool count_all(struct coordinator *self, struct summary *summary)
{
    uint64_t pids[REDUCERS_MAX];
    bool is_over = false;
    while (!is_over) {
        if (self->done_count < self->plan.chunk_count || !are_reducers_there(self)) {
            if (!handle_one(self)) {
                return false;
            }
            continue;
        }
        for (uint32_t i = 0; i < self->options.reducers; i++) {
            pids[i] = self->reducers[i].pid;
        }
        is_over = summary_gather(summary, pids, self->options.reducers, self->options.top);
        /* One is dead: the notice of that is on its way. */
        if (!is_over && !handle_one(self)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < self->plan.chunk_count; i++) {
        summary->mapped_words += self->plan.chunks[i].words;
    }
    for (uint32_t i = 0; i < self->options.reducers; i++) {
        summary->applied_words += self->reducers[i].words;
    }
    return true;
}

int main(int argument_count, char **arguments)
{
    static struct coordinator self;
    static struct summary summary;
    uint64_t tree = 0;
    uint64_t error = 0;
    if (!options_parse(&self.options, argument_count, arguments) ||
        !plan_make(&self.plan, self.options.files, self.options.file_count,
                   self.options.chunk_size)) {
        return 2;
    }
    printf("%" PRIu32 " files, %" PRIu64 " bytes, %" PRIu32 " chunks; %" PRIu32 " mappers, %" PRIu32
           " reducers\n",
           self.options.file_count, self.plan.byte_count, self.plan.chunk_count,
           self.options.mappers, self.options.reducers);
    fflush(stdout);
    progress_begin(&self.progress);
    if (!prepare(&self) || !start_tree(&self, &tree) || !count_all(&self, &summary)) {
        return 1;
    }
    if (pando_supervisor_stop(tree, false, PANDO_FOREVER, &error) != PANDO_OK) {
        pando_error_drop(error);
    }
    if (!summary_print(&summary)) {
        return 1;
    }
    uint64_t total = 0;
    if (self.ledger.prefix != NULL) {
        if (!ledger_total(&self.ledger, self.plan.chunk_count, &total)) {
            return 1;
        }
        printf("added up in the store, of all: %" PRIu64 "\n", total);
    }
    return 0;
}
