#include "node/control_session.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/control_answer.h"
#include "node/control_request.h"

#define NS_PER_S UINT64_C(1000000000)
#define ASK_MS 2
#define TRACE_MS 20
#define EVENTS_BATCH 64u
#define CHILDREN_SHOWN 256u

enum stage {
    STAGE_READING = 0,
    STAGE_LISTING = 1,
    STAGE_ASKING = 2, /* for INFO, or to attach a tracer */
    STAGE_KILLING = 3,
    STAGE_TRACING = 4,
    STAGE_OVER = 5
};

struct pd_control_session {
    struct pd_control_target target;
    enum stage stage;
    char input[PD_CONTROL_LINE_MAX + 1];
    size_t input_size;
    char *output;
    size_t output_size;
    size_t output_sent;
    size_t output_capacity;
    struct pd_control_request request;
    uint64_t pid;
    char name[PD_LABEL_SIZE]; /* of the process that is killed */
    uint64_t deadline_ns;     /* of ASKING, KILLING and TRACING */
    uint64_t began_ns;        /* of TRACING */
    uint64_t event_count;
    uint32_t slot; /* of LISTING: the next to look at */
    uint32_t listed_count;
    struct pd_process_look *look;
    struct pd_tracer *tracer;
};

static uint64_t now(const struct pd_control_session *session)
{
    return pd_host_now_ns(session->target.program->host);
}

/* --- Output ----------------------------------------------------------------------------------- */

static bool make_room(struct pd_control_session *session, size_t size)
{
    if (session->output_sent == session->output_size) {
        session->output_sent = 0;
        session->output_size = 0;
    }
    size_t wanted = session->output_size + size;
    if (wanted <= session->output_capacity) {
        return true;
    }
    size_t capacity = wanted < 1024 ? 1024 : wanted * 2;
    char *moved = pd_realloc(session->output, capacity);
    if (moved == NULL) {
        return false;
    }
    session->output = moved;
    session->output_capacity = capacity;
    return true;
}

/* Takes the line. Without memory the client would wait for ever: the session ends instead. */
static void say(struct pd_control_session *session, char *line)
{
    size_t size = line == NULL ? 0 : strlen(line);
    if (line == NULL || !make_room(session, size)) {
        session->stage = STAGE_OVER;
    } else {
        memcpy(session->output + session->output_size, line, size);
        session->output_size += size;
    }
    free(line);
}

static void refuse(struct pd_control_session *session, const char *text)
{
    say(session, pd_control_answer_error(text));
}

static bool may_say_more(const struct pd_control_session *session)
{
    return session->output_size - session->output_sent < PD_SESSION_OUTPUT_LOW;
}

/* --- Listing ---------------------------------------------------------------------------------- */

/* The pid in a slot of the table right now, 0: none. */
static uint64_t pid_at(struct pd_environment *environment, uint32_t slot)
{
    struct pd_process *process = pd_environment_at(environment, slot);
    return process == NULL ? 0 : pd_mailbox_pid(process);
}

static void list(struct pd_control_session *session)
{
    struct pd_environment *environment = session->target.program->environment;
    uint64_t now_ns = now(session);
    while (session->slot < environment->capacity && may_say_more(session)) {
        uint64_t pid = pid_at(environment, session->slot++);
        struct pd_process_row row;
        if (pid == 0 || pd_process_row_take(environment, pid, &row) != PD_OK) {
            continue;
        }
        say(session, pd_control_answer_row(&row, now_ns));
        pd_process_row_deinit(&row);
        session->listed_count++;
        if (session->stage == STAGE_OVER) {
            return;
        }
    }
    if (session->slot == environment->capacity) {
        session->stage = STAGE_READING;
        say(session, pd_control_answer_end(session->listed_count));
    }
}

/* --- One process ------------------------------------------------------------------------------ */

static uint32_t find_children(struct pd_environment *environment, uint64_t parent,
                              uint64_t *children, uint32_t *count_out)
{
    uint32_t listed = 0;
    *count_out = 0;
    for (uint32_t slot = 0; slot < environment->capacity; slot++) {
        uint64_t pid = pid_at(environment, slot);
        struct pd_mailbox_view view;
        if (pid == 0 || pd_mailbox_look(environment, pid, &view, NULL, NULL) != PD_OK ||
            view.parent != parent) {
            continue;
        }
        if (listed < CHILDREN_SHOWN) {
            children[listed++] = pid;
        }
        (*count_out)++;
    }
    return listed;
}

static void drop_look(struct pd_control_session *session)
{
    pd_process_look_release(session->look);
    session->look = NULL;
}

static void answer_info(struct pd_control_session *session, bool has_answered)
{
    struct pd_environment *environment = session->target.program->environment;
    struct pd_process_row row;
    uint64_t children[CHILDREN_SHOWN];
    session->stage = STAGE_READING;
    if (pd_process_row_take(environment, session->pid, &row) != PD_OK) {
        refuse(session, "it ended just now");
        return;
    }
    struct pd_control_details details = {
        .environment = environment,
        .row = &row,
        .look = has_answered ? session->look : NULL,
        .children = children,
        .now_ns = now(session),
    };
    details.children_listed =
        find_children(environment, session->pid, children, &details.children_count);
    say(session, pd_control_answer_info(&details));
    pd_process_row_deinit(&row);
}

static void drop_tracer(struct pd_control_session *session)
{
    if (session->tracer != NULL) {
        pd_tracer_stop(session->tracer);
        pd_tracer_release(session->tracer);
        session->tracer = NULL;
    }
}

static void begin_tracing(struct pd_control_session *session, bool has_answered)
{
    pd_assert(session->look != NULL);
    session->stage = STAGE_READING;
    if (!has_answered) {
        drop_tracer(session);
        refuse(session, "it did not yield for 2 seconds, so it could not be traced");
        return;
    }
    pd_assert(session->look != NULL); /* what has answered is still here */
    if (session->look->status != PD_OK) {
        drop_tracer(session);
        refuse(session, "it is being traced by another already");
        return;
    }
    session->stage = STAGE_TRACING;
    session->began_ns = now(session);
    session->deadline_ns = session->began_ns + session->request.seconds * NS_PER_S;
    session->event_count = 0;
    say(session, pd_control_answer_tracing(session->pid));
}

static void ask(struct pd_control_session *session)
{
    pd_assert(session->look != NULL);
    bool has_answered = pd_process_look_is_done(session->look);
    if (!has_answered && now(session) < session->deadline_ns) {
        return;
    }
    if (session->request.op == PD_CONTROL_INFO) {
        answer_info(session, has_answered);
    } else {
        begin_tracing(session, has_answered);
    }
    drop_look(session);
}

static void begin_asking(struct pd_control_session *session)
{
    struct pd_environment *environment = session->target.program->environment;
    enum pd_status status = PD_OK;
    if (session->request.op == PD_CONTROL_TRACE) {
        uint64_t until_ns =
            now(session) + PD_SESSION_PATIENCE_NS + session->request.seconds * NS_PER_S;
        status = pd_tracer_create(session->request.count, until_ns, &session->tracer);
    }
    if (status == PD_OK) {
        status = pd_process_look_begin(environment, session->pid, session->tracer, &session->look);
    }
    if (status == PD_OK) {
        session->stage = STAGE_ASKING;
        session->deadline_ns = now(session) + PD_SESSION_PATIENCE_NS;
        return;
    }
    drop_tracer(session);
    refuse(session, status == PD_ERR_UNKNOWN ? "it ended just now" : pd_status_text(status));
}

static void await_death(struct pd_control_session *session)
{
    bool is_gone = !pd_mailbox_exists(session->target.program->environment, session->pid);
    if (is_gone || now(session) >= session->deadline_ns) {
        session->stage = STAGE_READING;
        say(session, pd_control_answer_killed(session->pid, session->name, is_gone));
    }
}

static void begin_killing(struct pd_control_session *session)
{
    struct pd_process_row row;
    session->name[0] = '\0';
    if (pd_process_row_take(session->target.program->environment, session->pid, &row) == PD_OK) {
        memcpy(session->name, row.name, sizeof session->name);
        pd_process_row_deinit(&row);
    }
    session->stage = STAGE_KILLING;
    session->deadline_ns = now(session) + PD_SESSION_PATIENCE_NS;
    /* One that is gone already is what was wanted. */
    (void)!pd_program_exit_signal(session->target.program, session->pid, PD_EXIT_KILLED,
                                  "killed by the operator");
    await_death(session);
}

/* --- Tracing ---------------------------------------------------------------------------------- */

static void end_tracing(struct pd_control_session *session, const char *why)
{
    uint64_t lost = pd_tracer_lost_count(session->tracer);
    drop_tracer(session);
    session->stage = STAGE_READING;
    say(session, pd_control_answer_trace_end(why, session->event_count, lost));
}

static void trace(struct pd_control_session *session)
{
    struct pd_traced events[EVENTS_BATCH];
    bool is_over = pd_tracer_is_over(session->tracer); /* before the last are taken */
    uint32_t taken = EVENTS_BATCH;
    while (taken == EVENTS_BATCH && may_say_more(session)) {
        taken = pd_tracer_take(session->tracer, events, EVENTS_BATCH);
        for (uint32_t i = 0; i < taken && session->stage == STAGE_TRACING; i++) {
            say(session, pd_control_answer_event(&events[i], session->began_ns));
        }
        session->event_count += taken;
    }
    if (taken == EVENTS_BATCH || session->stage != STAGE_TRACING) {
        return;
    }
    if (session->event_count >= session->request.count) {
        end_tracing(session, "the number of events is reached");
    } else if (is_over) {
        end_tracing(session, "the process ended");
    } else if (now(session) >= session->deadline_ns) {
        end_tracing(session, "the time is over");
    }
}

/* --- Requests --------------------------------------------------------------------------------- */

static void answer_program(struct pd_control_session *session)
{
    const struct pd_program *program = session->target.program;
    struct pd_control_program answer = {
        .os_pid = session->target.os_pid,
        .file = session->target.file,
        .node = session->target.node,
        .main_pid = atomic_load(&program->main_pid),
        .process_count = pd_environment_count(program->environment),
        .age_ns = now(session) - session->target.began_ns,
    };
    say(session, pd_control_answer_program(&answer));
}

static void begin(struct pd_control_session *session)
{
    const struct pd_control_request *request = &session->request;
    if (request->process[0] != '\0') {
        session->pid = pd_process_find(session->target.program->environment, request->process);
        if (session->pid == 0) {
            refuse(session, "there is no such process, or more than one of that name");
            return;
        }
    }
    switch (request->op) {
    case PD_CONTROL_PROGRAM:
        answer_program(session);
        break;
    case PD_CONTROL_LIST:
        session->stage = STAGE_LISTING;
        session->slot = 0;
        session->listed_count = 0;
        break;
    case PD_CONTROL_INFO:
    case PD_CONTROL_TRACE:
        begin_asking(session);
        break;
    case PD_CONTROL_KILL:
        begin_killing(session);
        break;
    }
}

/* Take the next line of the input, if there is a whole one. */
static void read_line(struct pd_control_session *session)
{
    char *newline = memchr(session->input, '\n', session->input_size);
    if (newline == NULL) {
        if (session->input_size == sizeof session->input) {
            refuse(session, "the line is too long");
            session->stage = STAGE_OVER;
        }
        return;
    }
    size_t size = (size_t)(newline - session->input);
    char mistake[PD_CONTROL_MISTAKE_SIZE];
    enum pd_status status =
        pd_control_request_parse(session->input, size, &session->request, mistake);
    session->input_size -= size + 1;
    memmove(session->input, newline + 1, session->input_size);
    if (status != PD_OK) {
        refuse(session, mistake);
        return;
    }
    begin(session);
}

static void go_on(struct pd_control_session *session)
{
    switch (session->stage) {
    case STAGE_READING:
        read_line(session);
        break;
    case STAGE_LISTING:
        list(session);
        break;
    case STAGE_ASKING:
        ask(session);
        break;
    case STAGE_KILLING:
        await_death(session);
        break;
    case STAGE_TRACING:
        trace(session);
        break;
    case STAGE_OVER:
        break;
    }
}

void pd_control_session_work(struct pd_control_session *session)
{
    size_t input_size = 0;
    enum stage stage = STAGE_OVER;
    do { /* until nothing changes any more */
        if (!may_say_more(session)) {
            return;
        }
        input_size = session->input_size;
        stage = session->stage;
        go_on(session);
    } while (session->stage != STAGE_OVER &&
             (session->stage != stage || session->input_size != input_size));
}

/* --- The outside ------------------------------------------------------------------------------ */

struct pd_control_session *pd_control_session_create(const struct pd_control_target *target)
{
    struct pd_control_session *session = pd_alloc_zeroed(1, sizeof *session);
    if (session != NULL) {
        session->target = *target;
    }
    return session;
}

void pd_control_session_destroy(struct pd_control_session *session)
{
    if (session == NULL) {
        return;
    }
    drop_look(session);
    drop_tracer(session);
    pd_free(session->output);
    pd_free(session);
}

size_t pd_control_session_room(const struct pd_control_session *session)
{
    bool is_listening = session->stage == STAGE_READING && may_say_more(session);
    return is_listening ? sizeof session->input - session->input_size : 0;
}

void pd_control_session_feed(struct pd_control_session *session, const char *bytes, size_t size)
{
    pd_assert(size <= pd_control_session_room(session));
    memcpy(session->input + session->input_size, bytes, size);
    session->input_size += size;
}

size_t pd_control_session_output(const struct pd_control_session *session, const char **bytes_out)
{
    *bytes_out = session->output == NULL ? "" : session->output + session->output_sent;
    return session->output_size - session->output_sent;
}

void pd_control_session_sent(struct pd_control_session *session, size_t size)
{
    pd_assert(size <= session->output_size - session->output_sent);
    session->output_sent += size;
}

int pd_control_session_wait_ms(const struct pd_control_session *session)
{
    switch (session->stage) {
    case STAGE_ASKING:
    case STAGE_KILLING:
        return ASK_MS;
    case STAGE_TRACING:
        return TRACE_MS;
    case STAGE_LISTING:
        return may_say_more(session) ? 0 : -1;
    case STAGE_READING:
    case STAGE_OVER:
        break;
    }
    return -1;
}

bool pd_control_session_is_idle(const struct pd_control_session *session)
{
    return session->stage == STAGE_READING && session->output_sent == session->output_size;
}

bool pd_control_session_is_over(const struct pd_control_session *session)
{
    return session->stage == STAGE_OVER;
}
