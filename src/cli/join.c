/* pando join: a new node becomes a member of a cluster, by a ticket. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/client_port.h"
#include "cli/command.h"
#include "cli/hosted.h"
#include "cli/joiner.h"
#include "cli/settings_read.h"
#include "host/real.h"

#define URL_MAX 160u
#define VARIABLE "PANDO_TICKET"
#define TIMEOUT_S 60u
#define TIMEOUT_MAX_S 86400u

struct arguments {
    const char *ticket; /* its text, or "@FILE" */
    uint64_t timeout_s;
    bool is_worker;
    bool only_joins;
    char **words; /* of `pando start`: what is not for this command */
    int word_count;
};

/* -- Words ------------------------------------------------------------------------------------- */

/* An option of this command that has a value; NULL when it is missing. */
static void take_value(struct arguments *arguments, bool is_role, const char *value,
                       char wrong_out[PD_SETTINGS_TEXT_MAX])
{
    if (is_role) {
        arguments->is_worker = value != NULL && strcmp(value, "worker") == 0;
        if (value == NULL || (!arguments->is_worker && strcmp(value, "voter") != 0)) {
            (void)snprintf(wrong_out, PD_SETTINGS_TEXT_MAX, "--role takes voter or worker");
        }
    } else if (value == NULL || !pd_option_seconds(value, &arguments->timeout_s) ||
               arguments->timeout_s == 0 || arguments->timeout_s > TIMEOUT_MAX_S) {
        (void)snprintf(wrong_out, PD_SETTINGS_TEXT_MAX,
                       "--timeout takes a time from 1s to 24h, as 90s");
    }
}

/* What is ours goes from the words, so that the rest is for `pando start`. */
static bool take(void *state, struct pd_option_cursor *cursor, char wrong_out[PD_SETTINGS_TEXT_MAX])
{
    struct arguments *arguments = state;
    const char *value = NULL;
    int first = cursor->at;
    const char *word = cursor->arguments[first];
    bool is_role = pd_option_value(cursor, "--role", &value);
    if (is_role || pd_option_value(cursor, "--timeout", &value)) {
        take_value(arguments, is_role, value, wrong_out);
    } else if (pd_option_flag(cursor, "--no-start")) {
        arguments->only_joins = true;
    } else if (word[0] != '-' && arguments->ticket == NULL) {
        arguments->ticket = word;
        cursor->at++;
    } else if (word[0] != '-') {
        (void)snprintf(wrong_out, PD_SETTINGS_TEXT_MAX, "one ticket is enough: what is '%.64s'?",
                       word);
        return true;
    } else {
        return false;
    }
    for (int i = first; i < cursor->at; i++) {
        cursor->arguments[i] = NULL;
    }
    return true;
}

/* -- Joining ----------------------------------------------------------------------------------- */

/* From here on it is a node like the others. */
static int become_node(const struct arguments *arguments)
{
    const char **words = pd_alloc_zeroed((size_t)arguments->word_count + 3, sizeof *words);
    int count = 2;
    if (words == NULL) {
        return pd_command_failed("no memory");
    }
    words[0] = "pando";
    words[1] = "start";
    for (int i = 0; i < arguments->word_count; i++) {
        if (arguments->words[i] != NULL) {
            words[count++] = arguments->words[i];
        }
    }
    (void)execv("/proc/self/exe", (char *const *)(uintptr_t)words);
    pd_free(words);
    return pd_command_failed("cannot start the node: %s", strerror(errno));
}

static int join(const struct arguments *arguments, const struct pd_settings *settings)
{
    char url[URL_MAX];
    struct pd_real_host *real = NULL;
    int code = pd_hosted_check(settings); /* it would be a member that cannot run */
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    if (pd_real_host_create(1, 4, &real) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    bool serves = !arguments->only_joins && !arguments->is_worker &&
                  !pd_settings_has_no_clients(settings); /* at once, and here */
    const struct pd_join_wish wish = {.ticket = arguments->ticket,
                                      .folder = settings->data,
                                      .name = settings->name,
                                      .listen_peer = settings->listen_peer,
                                      .advertise_peer = settings->advertise_peer,
                                      .client_url = pd_settings_client_url(settings, url, URL_MAX),
                                      .listen_client = serves ? settings->listen_client : NULL,
                                      .timeout_s = arguments->timeout_s,
                                      .is_worker = arguments->is_worker};
    struct pd_host *host = pd_real_host_interface(real);
    code = serves ? pd_client_port_check(settings, host) : PD_EXIT_CODE_OK;
    code = code == PD_EXIT_CODE_OK ? pd_join_by_ticket(host, &wish) : code;
    pd_real_host_destroy(real);
    return code == PD_EXIT_CODE_OK && !arguments->only_joins ? become_node(arguments) : code;
}

/* Without a ticket: its folder says that it is a member already. */
static int go_on(const struct arguments *arguments, const struct pd_settings *settings)
{
    bool is_done = false;
    int code = pd_join_look(settings->data, arguments->is_worker, &is_done);
    if (code == PD_EXIT_CODE_OK && !is_done) {
        return pd_command_usage(&pd_command_join,
                                "which ticket? `pando cluster ticket` at a member prints one");
    }
    return code == PD_EXIT_CODE_OK && !arguments->only_joins ? become_node(arguments) : code;
}

static int run_join(int count, char **words)
{
    static struct pd_settings settings; /* too large for a frame */
    struct arguments arguments = {.timeout_s = TIMEOUT_S, .words = words, .word_count = count};
    const struct pd_settings_more more = {.take = take, .state = &arguments};
    bool is_done = false;
    if (pd_settings_init(&settings) != PD_OK) {
        return pd_command_failed("no memory");
    }
    int code = pd_settings_read(&pd_command_join, &more, count, words, &settings, &is_done);
    if (arguments.ticket == NULL) {
        arguments.ticket = getenv(VARIABLE);
    }
    if (code == PD_EXIT_CODE_OK && !is_done) {
        bool has_ticket = arguments.ticket != NULL && arguments.ticket[0] != '\0';
        code = has_ticket ? join(&arguments, &settings) : go_on(&arguments, &settings);
    }
    pd_settings_deinit(&settings);
    return code;
}

const struct pd_command pd_command_join = {
    .name = "join",
    .arguments = "[TICKET|@FILE]",
    .summary = "make a new node a member of a cluster, and run it",
    .help =
        "TICKET is the line that `pando cluster ticket` prints at a member; @FILE holds one;\n"
        "without either it is taken from " VARIABLE
        ". The new node learns first, and votes once it\n"
        "has caught up, while there are fewer voters than voters_max (5). Joining again changes\n"
        "nothing, and needs no ticket: the node is started.\n"
        "\n"
        "A worker never votes and holds no log: it runs an application (--app) over the "
        "cluster's\n"
        "store, and ends with it. What `pando start` takes, by option, variable or --config, "
        "this\n"
        "command takes too.\n",
    .options = pd_settings_join_options,
    .words_max = 1,
    .examples = "pando cluster ticket --data pando-dev/node-0 > ticket\n"
                "pando join @ticket --data fourth --name fourth --listen-client 127.0.0.1:2409\n"
                "pando join @ticket --data mill --role worker --app mill.yaml --allow-kv mill/\n",
    .run = run_join,
};
