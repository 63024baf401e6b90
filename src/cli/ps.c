/* pando ps: the processes of a running program, as a table, a tree, or JSON. */
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/remote.h"

#define NAME_COLUMNS 48
#define NONE UINT32_MAX

struct ps_options {
    struct pd_remote_options remote;
    bool is_tree;
    uint32_t output;
};

struct ps_row {
    json_t *process;
    uint64_t pid;
    uint64_t parent;
    uint32_t first_child;
    uint32_t last_child;
    uint32_t next_sibling;
    uint32_t parent_row;
};

struct ps_table {
    struct ps_row *rows;
    uint32_t count;
    uint32_t capacity;
};

/* --- Reading ---------------------------------------------------------------------------------- */

static bool append(struct ps_table *table, json_t *process)
{
    if (table->count == table->capacity) {
        uint32_t capacity = table->capacity == 0 ? 64 : table->capacity * 2;
        struct ps_row *rows = realloc(table->rows, capacity * sizeof *rows);
        if (rows == NULL) {
            return false;
        }
        table->rows = rows;
        table->capacity = capacity;
    }
    table->rows[table->count++] = (struct ps_row){
        .process = json_incref(process),
        .pid = pd_remote_number(process, "pid"),
        .parent = pd_remote_number(process, "parent"),
        .first_child = NONE,
        .last_child = NONE,
        .next_sibling = NONE,
        .parent_row = NONE,
    };
    return true;
}

static int compare(const void *left, const void *right)
{
    const struct ps_row *a = left;
    const struct ps_row *b = right;
    return (a->pid > b->pid) - (a->pid < b->pid);
}

static int read_all(struct pd_remote *remote, struct ps_table *table)
{
    int result = pd_remote_send(remote, json_pack("{s:s}", "op", "list"));
    bool is_over = false;
    while (result == PD_EXIT_CODE_OK && !is_over) {
        json_t *line = pd_remote_read(remote);
        json_t *process = json_object_get(line, "process");
        if (line == NULL) {
            result = PD_EXIT_CODE_FAILED;
        } else if (process == NULL) {
            is_over = true;
        } else if (!append(table, process)) {
            result = pd_command_failed("no memory for so many processes");
        }
        json_decref(line);
    }
    if (table->count > 0) {
        qsort(table->rows, table->count, sizeof table->rows[0], compare);
    }
    return result;
}

static void free_all(struct ps_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        json_decref(table->rows[i].process);
    }
    free(table->rows);
}

/* --- The tree --------------------------------------------------------------------------------- */

static uint32_t find(const struct ps_table *table, uint64_t pid)
{
    const struct ps_row key = {.pid = pid};
    const struct ps_row *row =
        bsearch(&key, table->rows, table->count, sizeof table->rows[0], compare);
    return row == NULL ? NONE : (uint32_t)(row - table->rows);
}

/* A process whose parent is gone stands at the root. Parents are older than their children: no
 * circles. */
static void link_rows(struct ps_table *table)
{
    for (uint32_t i = 0; i < table->count; i++) {
        struct ps_row *row = &table->rows[i];
        uint32_t parent =
            row->parent == 0 || row->parent >= row->pid ? NONE : find(table, row->parent);
        row->parent_row = parent;
        if (parent == NONE) {
            continue;
        }
        struct ps_row *above = &table->rows[parent];
        if (above->first_child == NONE) {
            above->first_child = i;
        } else {
            table->rows[above->last_child].next_sibling = i;
        }
        above->last_child = i;
    }
}

static uint32_t depth_of(const struct ps_table *table, uint32_t index)
{
    uint32_t depth = 0;
    for (uint32_t at = table->rows[index].parent_row; at != NONE; at = table->rows[at].parent_row) {
        depth++;
    }
    return depth;
}

/* The lines before a name; returns their columns. Deep ones are cut on the left. */
static int print_branches(const struct ps_table *table, uint32_t index)
{
    enum {
        SHOWN = 8
    };
    bool is_open[SHOWN] = {false};
    uint32_t depth = depth_of(table, index);
    uint32_t shown = depth < SHOWN ? depth : SHOWN;
    uint32_t at = index;
    for (uint32_t i = 0; i < shown; i++) {
        is_open[shown - 1 - i] = table->rows[at].next_sibling != NONE;
        at = table->rows[at].parent_row;
    }
    for (uint32_t i = 0; i < shown; i++) {
        bool is_last = i + 1 == shown;
        (void)fputs(is_last ? (is_open[i] ? "├── " : "└── ") : (is_open[i] ? "│   " : "    "),
                    stdout);
    }
    return (int)shown * 4;
}

/* --- Printing --------------------------------------------------------------------------------- */

static const char *name_of(const json_t *process)
{
    static const char *const keys[] = {"id", "name", "path", "function"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = pd_remote_text(process, keys[i]);
        if (text[0] != '\0') {
            return text;
        }
    }
    return "-";
}

static void pad(int columns, int wanted)
{
    (void)printf("%*s", columns < wanted ? wanted - columns : 0, "");
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void print_figures(const json_t *process)
{
    char state[64];
    char memory[32];
    const json_t *module = json_object_get(process, "module");
    pd_remote_state_text(process, state, sizeof state);
    pd_remote_size_text(pd_remote_number(process, "memory"), memory, sizeof memory);
    (void)printf(" %-24s %8llu %10s %14llu %5llu %8llu %8llu %8llu  ", state,
                 (unsigned long long)pd_remote_number(process, "messages"),
                 module == NULL ? "-" : memory,
                 (unsigned long long)pd_remote_number(process, "fuel"),
                 (unsigned long long)pd_remote_number(process, "links"),
                 (unsigned long long)pd_remote_number(process, "monitors"),
                 (unsigned long long)pd_remote_number(process, "restarts"),
                 (unsigned long long)pd_remote_number(process, "parent"));
    if (module == NULL) {
        (void)printf("(supervisor)\n");
        return;
    }
    (void)pd_remote_print(stdout, file_name(pd_remote_text(module, "file")), 40);
    (void)printf(" [%.6s] ", pd_remote_text(module, "hash"));
    (void)pd_remote_print(stdout, pd_remote_text(process, "function"), 60);
    (void)putchar('\n');
}

static void print_row(const struct ps_table *table, uint32_t index, bool is_tree)
{
    const struct ps_row *row = &table->rows[index];
    (void)printf("%10llu  ", (unsigned long long)row->pid);
    int columns = is_tree ? print_branches(table, index) : 0;
    int room = columns + 8 < NAME_COLUMNS ? NAME_COLUMNS - columns : 8;
    columns += pd_remote_print(stdout, name_of(row->process), room);
    pad(columns, is_tree ? NAME_COLUMNS : NAME_COLUMNS / 2);
    print_figures(row->process);
}

static void print_head(bool is_tree)
{
    (void)printf("%10s  %-*s %-24s %8s %10s %14s %5s %8s %8s %8s  %s\n", "PID",
                 is_tree ? NAME_COLUMNS : NAME_COLUMNS / 2, "NAME", "STATE", "MESSAGES", "MEMORY",
                 "FUEL", "LINKS", "MONITORS", "RESTARTS", "PARENT", "RUNS");
}

/* Children below their parents, each once, without recursion: every row knows the way on. */
static void print_tree(struct ps_table *table)
{
    link_rows(table);
    print_head(true);
    for (uint32_t root = 0; root < table->count; root++) {
        if (table->rows[root].parent_row != NONE) {
            continue;
        }
        uint32_t at = root;
        while (at != NONE) {
            print_row(table, at, true);
            if (table->rows[at].first_child != NONE) {
                at = table->rows[at].first_child;
                continue;
            }
            while (at != root && at != NONE && table->rows[at].next_sibling == NONE) {
                at = table->rows[at].parent_row;
            }
            at = at == root || at == NONE ? NONE : table->rows[at].next_sibling;
        }
    }
}

static void print_table(const struct ps_table *table)
{
    print_head(false);
    for (uint32_t i = 0; i < table->count; i++) {
        print_row(table, i, false);
    }
}

static void print_json(const struct ps_table *table)
{
    (void)puts("[");
    for (uint32_t i = 0; i < table->count; i++) {
        char *text = json_dumps(table->rows[i].process, JSON_COMPACT);
        if (text != NULL) {
            (void)printf("%s%s\n", text, i + 1 < table->count ? "," : "");
        }
        free(text);
    }
    (void)puts("]");
}

static int run_ps(int count, char **arguments)
{
    struct ps_options options = {.is_tree = false};
    int result = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_ps, &count, arguments, &options, &result)) {
        return result;
    }
    struct pd_remote remote;
    result = pd_remote_open(&remote, &options.remote);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    struct ps_table table = {.rows = NULL};
    result = read_all(&remote, &table);
    if (result == PD_EXIT_CODE_OK) {
        if (options.output == PD_OUTPUT_JSON) {
            print_json(&table);
        } else if (options.is_tree) {
            print_tree(&table);
        } else {
            print_table(&table);
        }
    }
    free_all(&table);
    pd_remote_close(&remote);
    return result;
}

static const struct pd_option ps_options[] = {
    {.name = "--tree",
     .text = "children below their parents, as supervisors see them",
     .offset = offsetof(struct ps_options, is_tree)},
    PD_OPTION_OUTPUT(struct ps_options, output),
    PD_OPTION_PROGRAM(struct ps_options, remote.program),
    {.name = NULL},
};

const struct pd_command pd_command_ps = {
    .name = "ps",
    .arguments = "",
    .summary = "list the processes of a running program",
    .help =
        "States: running, runnable (waits for its turn), waiting (for a message), blocked on send\n"
        "(the receiver's mailbox is full), in host call NAME. Fuel is counted in units of its\n"
        "code.\n",
    .options = ps_options,
    .examples = "pando ps --tree\n"
                "pando ps -o json\n",
    .run = run_ps,
};
