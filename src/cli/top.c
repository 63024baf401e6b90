/* pando top: a cluster at work, as one looks at it. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cluster_members.h"
#include "cli/command.h"
#include "cli/store_text.h"
#include "cli/top_figures.h"
#include "cli/top_terminal.h"

#define FETCH_MS 1000
#define LINE 512
#define NAME_MAX_BYTES 64
#define URL_MAX_BYTES 160
#define MIB 1048576.0
#define TABLE_COLUMNS 79 /* with the narrowest names; what ends in the 80th may break the line */
#define NAME_COLUMNS_MIN 8
#define NAME_COLUMNS_MAX 24

struct arguments {
    struct pd_node_options node;
    uint32_t output;
    uint64_t interval_s;
    bool is_once;
};

/* One member, now and at the look before. */
struct row {
    uint64_t node;
    char name[NAME_MAX_BYTES];
    char standing[NAME_MAX_BYTES];
    char url[URL_MAX_BYTES]; /* of its client port; empty: none that we can ask */
    enum pd_status status;   /* of the last look at its figures */
    bool is_known;           /* `now` is */
    bool was_known;
    struct pd_top_figures now;
    struct pd_top_figures before;
};

struct top {
    const struct arguments *arguments;
    struct pd_node_client *client;
    struct pd_cluster_members members;
    struct row rows[PD_CLUSTER_MEMBERS_MAX];
    uint32_t row_count;
    uint64_t leader;
    char cluster[32];
    char trouble[PD_NODE_TEXT_MAX]; /* empty: the cluster answers */
};

/* -- Looking ----------------------------------------------------------------------------------- */

static void copy_text(char *room, size_t size, struct pd_span text)
{
    (void)snprintf(room, size, "%.*s", (int)text.size,
                   text.size == 0 ? "" : (const char *)text.bytes);
}

static struct row *find_row(struct top *top, uint64_t node)
{
    for (uint32_t i = 0; i < top->row_count; i++) {
        if (top->rows[i].node == node) {
            return &top->rows[i];
        }
    }
    return NULL;
}

/* The rows of those who are members now; what is known of them stays. */
static void take_members(struct top *top)
{
    static struct row rows[PD_CLUSTER_MEMBERS_MAX]; /* too large for a frame */
    const struct pd_cluster_members *members = &top->members;
    memset(rows, 0, sizeof rows);
    for (uint32_t i = 0; i < members->count; i++) {
        const struct pd_kv_member *member = &members->items[i].member;
        const struct row *known = find_row(top, member->node);
        struct row *row = &rows[i];
        if (known != NULL) {
            *row = *known;
        }
        row->node = member->node;
        copy_text(row->name, sizeof row->name, member->name);
        (void)snprintf(row->standing, sizeof row->standing, "%s",
                       pd_cluster_standing_text(members, &members->items[i]));
        row->url[0] = '\0';
        if (member->client_count > 0) {
            copy_text(row->url, sizeof row->url, member->clients[0]);
        }
    }
    memcpy(top->rows, rows, sizeof rows);
    top->row_count = members->count;
    top->leader = members->leader;
}

static void look(struct top *top)
{
    uint64_t cluster = 0;
    top->trouble[0] = '\0';
    if (pd_cluster_members_read(top->client, &top->members) == PD_OK) {
        take_members(top);
        pd_cluster_members_free(&top->members);
        if (top->cluster[0] == '\0' && pd_cluster_id_read(top->client, &cluster)) {
            (void)snprintf(top->cluster, sizeof top->cluster, "%016" PRIx64, cluster);
        }
    } else {
        (void)snprintf(top->trouble, sizeof top->trouble, "%s", top->client->text);
    }
    const struct pd_node_options *node = &top->arguments->node;
    const struct pd_link_config config = {
        .ca_file = node->ca_file, .cert_file = node->cert_file, .key_file = node->key_file};
    for (uint32_t i = 0; i < top->row_count; i++) {
        struct row *row = &top->rows[i];
        row->before = row->now;
        row->was_known = row->is_known;
        row->status = pd_top_figures_fetch(row->url, &config, FETCH_MS, &row->now);
        row->is_known = row->status == PD_OK;
    }
}

/* How much of something happened in a second; below 0: there was no look before. */
static double rate(const struct row *row, double now, double before)
{
    double seconds = (double)(row->now.at_ns - row->before.at_ns) / 1e9;
    bool is_fit = row->is_known && row->was_known && seconds > 0 && now >= before;
    return is_fit ? (now - before) / seconds : -1;
}

static double commits(const struct row *row)
{
    return rate(row, row->now.committed, row->before.committed);
}

static double quantile(const struct row *row, const struct pd_top_histogram *now,
                       const struct pd_top_histogram *before, double part)
{
    return row->is_known && row->was_known ? pd_top_quantile(before, now, part) : -1;
}

/* -- Showing ----------------------------------------------------------------------------------- */

/* "-" when it is below 0. */
static const char *number_text(double number, char room[32])
{
    if (number < 0) {
        return "-";
    }
    (void)snprintf(room, 32, number < 100 ? "%.1f" : "%.0f", number);
    return room;
}

static const char *count_text(double count, char room[32])
{
    (void)snprintf(room, 32, "%.0f", count);
    return count < 0 ? "-" : room;
}

static const char *ms_text(double seconds, char room[32])
{
    if (seconds < 0) {
        return "-";
    }
    double ms = seconds * 1000;
    (void)snprintf(room, 32, ms < 10 ? "%.2f" : ms < 1000 ? "%.1f" : "%.0f", ms);
    return room;
}

/* Why a member's figures are not known. NULL: it does not answer. */
static const char *unasked_text(const struct row *row)
{
    return row->status == PD_ERR_INVALID  ? "has no client port that can be asked for its figures"
           : row->status == PD_ERR_DENIED ? "TLS: --ca-file, --cert-file and --key-file do not fit"
                                          : NULL;
}

/* A screen of 80 columns has room for all figures; names take what a wider one has left. */
static int name_width(void)
{
    int columns = 0;
    int lines = 0;
    pd_top_terminal_size(&columns, &lines);
    int width = columns - 1 - TABLE_COLUMNS + NAME_COLUMNS_MIN;
    return width < NAME_COLUMNS_MIN   ? NAME_COLUMNS_MIN
           : width > NAME_COLUMNS_MAX ? NAME_COLUMNS_MAX
                                      : width;
}

static void show_row(const struct row *row, int name)
{
    char line[LINE];
    char texts[7][32];
    if (!row->is_known) {
        const char *why = unasked_text(row);
        (void)snprintf(line, sizeof line, "%-*.*s %-8.8s %s", name, name, row->name, row->standing,
                       why == NULL ? "does not answer" : why);
        pd_top_terminal_line(line, false);
        return;
    }
    (void)snprintf(line, sizeof line, "%-*.*s %-8.8s %7s %6s %6s %7.0f %5s %5s %5s %8s %4.0f", name,
                   name, row->name, row->standing, number_text(commits(row), texts[0]),
                   number_text(rate(row, row->now.requests, row->before.requests), texts[1]),
                   number_text(rate(row, row->now.log_batches, row->before.log_batches), texts[2]),
                   row->now.pending,
                   ms_text(quantile(row, &row->now.sync, &row->before.sync, 0.5), texts[3]),
                   ms_text(quantile(row, &row->now.sync, &row->before.sync, 0.99), texts[4]),
                   ms_text(quantile(row, &row->now.apply, &row->before.apply, 0.99), texts[5]),
                   count_text(row->now.actors, texts[6]), row->now.memory_bytes / MIB);
    pd_top_terminal_line(line, row->now.leads > 0);
}

/* The member whose figures speak for the cluster: the leader, or any that answers. */
static const struct row *speaker(const struct top *top)
{
    const struct row *any = NULL;
    for (uint32_t i = 0; i < top->row_count; i++) {
        const struct row *row = &top->rows[i];
        if (row->is_known && (any == NULL || row->node == top->leader)) {
            any = row;
        }
    }
    return any;
}

/* By its name; a node without one is alone, and its row says it all. */
static const char *leader_text(struct top *top)
{
    const struct row *row = find_row(top, top->leader);
    return top->leader == 0 ? "nobody" : row == NULL ? "" : row->name;
}

static void show_head(struct top *top)
{
    const struct row *row = speaker(top);
    char line[LINE];
    char text[32];
    const char *leader = leader_text(top);
    (void)snprintf(line, sizeof line, "pando top   %severy %" PRIu64 " s%s%.20s   cluster %s",
                   pd_top_terminal_is_one() ? "q quits   " : "", top->arguments->interval_s,
                   leader[0] == '\0' ? "" : "   leader ", leader, top->cluster);
    pd_top_terminal_line(line, true);
    if (top->trouble[0] != '\0') {
        (void)snprintf(line, sizeof line, "the cluster does not answer: %.400s", top->trouble);
        pd_top_terminal_line(line, false);
    }
    if (row != NULL) {
        (void)snprintf(line, sizeof line,
                       "term %.0f, %.0f changes of leader   revision %.0f, %.0f keys, %.1f MiB   "
                       "%s commits/s",
                       row->now.term, row->now.leader_changes, row->now.revision, row->now.keys,
                       row->now.store_bytes / MIB, number_text(commits(row), text));
        pd_top_terminal_line(line, false);
    }
    pd_top_terminal_line("", false);
}

static void show(struct top *top)
{
    char line[LINE];
    const int name = name_width();
    pd_top_terminal_begin();
    show_head(top);
    (void)snprintf(line, sizeof line, "%-*s %-8s %7s %6s %6s %7s %11s %5s", name, "", "", "EACH",
                   "SECOND", "", "", "SYNC ms", "APPLY");
    pd_top_terminal_line(line, true);
    (void)snprintf(line, sizeof line, "%-*s %-8s %7s %6s %6s %7s %5s %5s %5s %8s %4s", name, "NAME",
                   "STANDING", "COMMITS", "REQS", "SYNCS", "PENDING", "P50", "P99", "P99", "ACTORS",
                   "MiB");
    pd_top_terminal_line(line, true);
    for (uint32_t i = 0; i < top->row_count; i++) {
        show_row(&top->rows[i], name);
    }
    if (!pd_top_terminal_is_one() && !top->arguments->is_once) {
        pd_top_terminal_line("", false);
    }
    pd_top_terminal_show();
}

/* -- JSON -------------------------------------------------------------------------------------- */

/* null when it is below 0. */
static void set_number(json_t *object, const char *name, double number)
{
    json_object_set_new(object, name, number < 0 ? json_null() : json_real(number));
}

static void set_count(json_t *object, const char *name, double count)
{
    json_object_set_new(object, name, json_integer((json_int_t)count));
}

static void set_count_or_null(json_t *object, const char *name, double count)
{
    json_object_set_new(object, name, count < 0 ? json_null() : json_integer((json_int_t)count));
}

static json_t *row_json(const struct row *row)
{
    char id[17];
    json_t *object = json_object();
    (void)snprintf(id, sizeof id, "%016" PRIx64, row->node);
    json_object_set_new(object, "node", json_string(id));
    json_object_set_new(object, "name", json_string(row->name));
    json_object_set_new(object, "standing", json_string(row->standing));
    bool is_asked = row->is_known || unasked_text(row) == NULL;
    json_object_set_new(object, "answers", is_asked ? json_boolean(row->is_known) : json_null());
    if (!row->is_known) {
        return object;
    }
    set_number(object, "commits_per_s", commits(row));
    set_number(object, "requests_per_s", rate(row, row->now.requests, row->before.requests));
    set_number(object, "syncs_per_s", rate(row, row->now.log_batches, row->before.log_batches));
    set_number(object, "sync_p50_s", quantile(row, &row->now.sync, &row->before.sync, 0.5));
    set_number(object, "sync_p99_s", quantile(row, &row->now.sync, &row->before.sync, 0.99));
    set_number(object, "apply_p99_s", quantile(row, &row->now.apply, &row->before.apply, 0.99));
    set_count(object, "applied_index", row->now.applied);
    set_count(object, "pending", row->now.pending);
    set_count(object, "revision", row->now.revision);
    set_count(object, "keys", row->now.keys);
    set_count(object, "watches", row->now.watches);
    set_count(object, "store_bytes", row->now.store_bytes);
    set_count(object, "memory_bytes", row->now.memory_bytes);
    set_count(object, "leader_changes", row->now.leader_changes);
    set_count(object, "term", row->now.term);
    bool has_actors = row->now.actors >= 0;
    set_number(object, "actor_turns_per_s",
               has_actors ? rate(row, row->now.actor_turns, row->before.actor_turns) : -1);
    set_number(object, "actor_fuel_per_s",
               has_actors ? rate(row, row->now.actor_fuel, row->before.actor_fuel) : -1);
    set_count_or_null(object, "actors", row->now.actors);
    set_count_or_null(object, "actor_memory_bytes", row->now.actor_memory_bytes);
    return object;
}

static void print_json(const struct top *top)
{
    char id[17];
    json_t *object = json_object();
    json_t *list = json_array();
    (void)snprintf(id, sizeof id, "%016" PRIx64, top->leader);
    json_object_set_new(object, "cluster", json_string(top->cluster));
    json_object_set_new(object, "leader", json_string(id));
    for (uint32_t i = 0; i < top->row_count; i++) {
        (void)json_array_append_new(list, row_json(&top->rows[i]));
    }
    json_object_set_new(object, "members", list);
    if (top->trouble[0] != '\0') {
        json_object_set_new(object, "trouble", json_string(top->trouble));
    }
    pd_store_print_json(object);
    (void)fflush(stdout);
}

/* -- Running ----------------------------------------------------------------------------------- */

static void tell(struct top *top)
{
    if (top->arguments->output == PD_OUTPUT_JSON) {
        print_json(top);
    } else {
        show(top);
    }
}

/* Two looks make one picture: rates need both. */
static int watch_cluster(struct top *top)
{
    int wait_ms = (int)top->arguments->interval_s * 1000;
    enum pd_top_key key = pd_top_terminal_wait(top->arguments->is_once ? wait_ms : 0);
    if (top->arguments->is_once && key != PD_TOP_QUIT) {
        look(top);
        tell(top);
    }
    while (!top->arguments->is_once && key != PD_TOP_QUIT) {
        tell(top);
        key = pd_top_terminal_wait(wait_ms);
        if (key != PD_TOP_QUIT) {
            look(top);
        }
        if (ferror(stdout) != 0) {
            return PD_EXIT_CODE_FAILED;
        }
    }
    return PD_EXIT_CODE_OK;
}

static int run(void *state, struct pd_node_client *client)
{
    static struct top top; /* too large for a frame */
    const struct arguments *arguments = state;
    top = (struct top){.arguments = arguments, .client = client};
    look(&top);
    if (top.trouble[0] != '\0') {
        return pd_command_failed("%s", top.trouble);
    }
    /* What is printed once, or as JSON, needs no screen; signals end it as they do. */
    bool draws = !arguments->is_once && arguments->output == PD_OUTPUT_TABLE;
    if (draws) {
        pd_top_terminal_open();
    }
    int code = watch_cluster(&top);
    int signal_number = pd_top_terminal_signal();
    pd_top_terminal_close();
    if (signal_number != 0 && signal_number != SIGINT) {
        (void)signal(signal_number, SIG_DFL);
        (void)raise(signal_number);
    }
    return code;
}

static int run_top(int count, char **words)
{
    struct arguments arguments = {.node = {.folder = PD_NODE_FOLDER, .timeout_s = 2},
                                  .interval_s = 1};
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_top, &count, words, &arguments, &code)) {
        return code;
    }
    if ((arguments.node.cert_file == NULL) != (arguments.node.key_file == NULL)) {
        return pd_command_usage(&pd_command_top, "--cert-file and --key-file go together");
    }
    return pd_store_ask_node(&arguments.node, run, &arguments);
}

static const struct pd_option options[] = {
    {.name = "--interval",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "between two looks (default: 1s)",
     .offset = offsetof(struct arguments, interval_s),
     .least = 1,
     .most = 3600},
    {.name = "--once",
     .text = "look twice, that far apart, print it, and end",
     .offset = offsetof(struct arguments, is_once)},
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE_PLACE(struct arguments, node),
    {.name = "--ca-file",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text =
         "of client ports with TLS: the authority of their certificates (default: the system's)",
     .offset = offsetof(struct arguments, node.ca_file)},
    {.name = "--cert-file",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "likewise: the certificate that is shown to them",
     .offset = offsetof(struct arguments, node.cert_file)},
    {.name = "--key-file",
     .kind = PD_OPTION_FILE,
     .value = "FILE",
     .text = "likewise: its key",
     .offset = offsetof(struct arguments, node.key_file)},
    {.name = "--timeout",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "how long a look waits for the cluster (default: 2s)",
     .offset = offsetof(struct arguments, node.timeout_s),
     .least = 1,
     .most = 60},
    {.name = NULL},
};

const struct pd_command pd_command_top = {
    .name = "top",
    .arguments = "",
    .summary = "watch a cluster at work: who leads, commits, latency, log, memory",
    .help =
        "The members are those that the node knows; each one's figures are read from /metrics of\n"
        "its client port. q ends it. Into a pipe it prints a table every time, or an object with\n"
        "-o json.\n"
        "\n"
        "  COMMITS, REQS, SYNCS  each second: of the log, requests that reached the node's core,\n"
        "                        and syncs of the log\n"
        "  PENDING               entries of its log that it has not applied\n"
        "  SYNC ms P50, P99      how long the log's syncs took since the look before\n"
        "  APPLY P99             of turns that applied entries, milliseconds\n"
        "  ACTORS                that live in the application inside of the node\n",
    .options = options,
    .examples = "pando top --data pando-dev/node-0\n"
                "pando top --once -o json\n"
                "pando top --interval 10s | tee top.txt\n"
                "pando top --ca-file ca.pem --data /var/lib/pando\n",
    .run = run_top,
};
