/* What `pando check` shows: the mistakes of an application file, or its tree with all rights. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "node/app_internal.h"

#define LINE_SIZE 8192u
#define PREFIX_SIZE 128u

static void print(const struct pd_app_output *output, const char *format, ...) PD_PRINTF(2, 3);
static void print(const struct pd_app_output *output, const char *format, ...)
{
    char text[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pd_assert(size >= 0);
    size_t length = (size_t)size < sizeof text ? (size_t)size : sizeof text - 1;
    for (size_t i = 0; i < length; i++) { /* words of the file must not speak to the terminal */
        uint8_t byte = (uint8_t)text[i];
        text[i] = (byte < 0x20 && byte != '\n') || byte == 0x7F ? '?' : text[i];
    }
    output->write(output->context, text, length);
}

void pd_app_report_print(const struct pd_app_report *report, const char *file,
                         const struct pd_app_output *output)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct pd_app_mistake *mistake = &report->mistakes[i];
        if (mistake->line == 0) {
            print(output, "%s: %s\n", file, mistake->text);
        } else {
            print(output, "%s:%" PRIu32 ":%" PRIu32 ": %s%s%s\n", file, mistake->line,
                  mistake->column, mistake->key, mistake->key[0] == '\0' ? "" : ": ",
                  mistake->text);
        }
    }
    if (report->is_cut) {
        print(output, "%s: and more mistakes: only the first %u found are shown\n", file,
              PD_APP_MISTAKES_MAX);
    }
}

/* --- Values ----------------------------------------------------------------------------------- */

static void print_duration(const struct pd_app_output *output, uint64_t ms)
{
    if (ms % 1000 != 0 || ms == 0) {
        print(output, "%" PRIu64 " ms", ms);
    } else if (ms % 60000 != 0) {
        print(output, "%" PRIu64 " s", ms / 1000);
    } else {
        print(output, "%" PRIu64 " min", ms / 60000);
    }
}

static void print_size(const struct pd_app_output *output, uint64_t bytes)
{
    if (bytes % (1u << 20) == 0) {
        print(output, "%" PRIu64 " MiB", bytes >> 20);
    } else if (bytes % 1024 == 0) {
        print(output, "%" PRIu64 " KiB", bytes >> 10);
    } else {
        print(output, "%" PRIu64 " bytes", bytes);
    }
}

static void print_restart(const struct pd_app_output *output, const struct pd_app_child *child)
{
    static const char *const restarts[] = {"permanent", "transient", "temporary"};
    print(output, "%s, shutdown ", restarts[child->restart]);
    switch (child->shutdown) {
    case PD_CHILD_STOP_BRUTAL:
        print(output, "brutal");
        break;
    case PD_CHILD_STOP_INFINITY:
        print(output, "infinity");
        break;
    case PD_CHILD_STOP_TIMEOUT:
        print_duration(output, child->stop_ms);
        break;
    }
    if (child->needs_ready && child->ready_ms != PD_CHILD_NO_TIMEOUT) {
        print(output, ", ready within ");
        print_duration(output, child->ready_ms);
    }
    if (child->is_significant) {
        print(output, ", significant");
    }
    if (child->registered != NULL) {
        print(output, ", registered as %s", child->registered);
    }
}

static void print_argument(const struct pd_app_output *output,
                           const struct pd_app_argument *argument)
{
    uint64_t low = 0;
    uint64_t high = 0;
    for (int i = 7; i >= 0; i--) {
        low = low << 8 | argument->bytes[i];
        high = high << 8 | argument->bytes[8 + i];
    }
    if (argument->is_vector) {
        print(output, "0x%016" PRIx64 "%016" PRIx64, high, low);
    } else if (high != 0) {
        print(output, "%" PRId64, (int64_t)low);
    } else {
        print(output, "%" PRIu64, low);
    }
}

/* --- Rights ----------------------------------------------------------------------------------- */

/* "a, b": one more word of a list. */
static void print_word(const struct pd_app_output *output, bool *is_first, const char *word)
{
    print(output, "%s%s", *is_first ? "" : ", ", word);
    *is_first = false;
}

static void print_network(const struct pd_app_output *output, bool *is_first,
                          const struct pd_app_rights *rights)
{
    switch (rights->network) {
    case PD_NETWORK_NONE:
        return;
    case PD_NETWORK_LOCAL:
        print_word(output, is_first, "network local");
        return;
    case PD_NETWORK_ALL:
        print_word(output, is_first, "network all");
        return;
    case PD_NETWORK_LIST:
        print_word(output, is_first, "network");
        for (uint32_t i = 0; i < rights->network_count; i++) {
            print(output, " %s", rights->network_list[i]);
        }
        return;
    }
}

static void print_rights(const struct pd_app_output *output, const struct pd_app_rights *rights)
{
    bool is_first = true;
    if (rights->has_stdio) {
        print_word(output, &is_first, "stdio");
    }
    if (rights->can_spawn) {
        print_word(output, &is_first, "spawn");
    }
    if (rights->can_compile) {
        print_word(output, &is_first, "compile");
    }
    if (rights->can_configure) {
        print_word(output, &is_first, "configure");
    }
    print_network(output, &is_first, rights);
    if (rights->kv_prefix != NULL && rights->kv_prefix[0] != '\0') { /* "": a bound that is none */
        print_word(output, &is_first, "kv ");
        print(output, "%s*", rights->kv_prefix);
    }
    for (uint32_t i = 0; i < rights->directory_count; i++) {
        const struct pd_app_directory *directory = &rights->directories[i];
        print_word(output, &is_first, directory->is_writable ? "write " : "read ");
        print(output, "%s as %s", directory->host, directory->guest);
    }
    if (rights->memory_bytes_max != PD_APP_UNLIMITED) {
        print_word(output, &is_first, "memory ");
        print_size(output, rights->memory_bytes_max);
    }
    if (rights->fuel_portions_max != PD_APP_UNLIMITED) {
        print_word(output, &is_first, "fuel ");
        print(output, "%" PRIu64 " portions", rights->fuel_portions_max);
    }
    if (is_first) {
        print(output, "nothing");
    }
}

/* True: a supervisor's bound says something that its parent's does not. */
static bool is_bound_of_its_own(const struct pd_app_child *supervisor)
{
    struct pd_app_rights outer;
    pd_app_rights_of_root(&outer);
    const struct pd_app_rights *a = &supervisor->rights;
    const struct pd_app_rights *b =
        supervisor->parent == NULL ? &outer : &supervisor->parent->rights;
    return a->can_spawn != b->can_spawn || a->can_compile != b->can_compile ||
           a->can_configure != b->can_configure || a->has_stdio != b->has_stdio ||
           a->network != b->network || strcmp(a->kv_prefix, b->kv_prefix) != 0 ||
           a->network_count != b->network_count || a->memory_bytes_max != b->memory_bytes_max ||
           a->fuel_portions_max != b->fuel_portions_max || a->directories != b->directories;
}

/* --- The tree --------------------------------------------------------------------------------- */

/* Children in order, the template last. NULL: there is none after this one (`after` NULL: the
 * first). */
static const struct pd_app_child *child_after(const struct pd_app_child *parent,
                                              const struct pd_app_child *after)
{
    const struct pd_app_supervisor *supervisor = &parent->supervisor;
    if (after != NULL && after == supervisor->child_template) {
        return NULL;
    }
    uint32_t next = after == NULL ? 0 : (uint32_t)(after - supervisor->children) + 1;
    return next < supervisor->child_count ? &supervisor->children[next]
                                          : supervisor->child_template;
}

/* What stands in front of a child's lines: a column for each level. */
static void make_prefix(const struct pd_app_child *child, bool is_heading, char *to)
{
    const struct pd_app_child *levels[PD_APP_DEPTH_MAX + 2];
    uint32_t depth = 0;
    for (; child->parent != NULL; child = child->parent) {
        levels[depth++] = child;
    }
    size_t size = 0;
    to[0] = '\0';
    for (uint32_t i = depth; i-- > 0;) {
        bool is_last = child_after(levels[i]->parent, levels[i]) == NULL;
        bool is_own = i == 0 && is_heading;
        const char *column = is_own ? (is_last ? "└─ " : "├─ ") : (is_last ? "   " : "│  ");
        size += (size_t)snprintf(to + size, PREFIX_SIZE - size, "%s", column);
        pd_assert(size < PREFIX_SIZE);
    }
}

static void print_supervisor(const struct pd_app_output *output, const struct pd_app_child *child,
                             const char *inner)
{
    const struct pd_app_supervisor *supervisor = &child->supervisor;
    static const char *const shutdowns[] = {"", ", ends with any significant child",
                                            ", ends with the last significant child"};
    print(output, "  [%s, %" PRIu32 " restarts in ",
          pd_supervisor_strategy_text(supervisor->strategy), supervisor->restarts_max);
    print_duration(output, supervisor->period_ns / 1000000);
    print(output, "%s", shutdowns[supervisor->auto_shutdown]);
    if (supervisor->strategy == PD_DYNAMIC) {
        print(output, ", up to %" PRIu32 " children", supervisor->children_max);
    }
    if (child->parent != NULL) {
        print(output, "; ");
        print_restart(output, child);
    }
    print(output, "]\n");
    if (is_bound_of_its_own(child)) {
        print(output, "%s%s  at most: ", inner, child_after(child, NULL) == NULL ? " " : "│");
        print_rights(output, &child->rights);
        print(output, "\n");
    }
}

static void print_worker(const struct pd_app_output *output, const struct pd_app_child *child,
                         const char *inner)
{
    print(output, "  [");
    print_restart(output, child);
    print(output, "]\n%s   runs: %s %s(", inner, child->module, child->function);
    for (uint32_t i = 0; i < child->argument_count; i++) {
        print(output, "%s", i == 0 ? "" : ", ");
        print_argument(output, &child->arguments[i]);
    }
    print(output, ")");
    for (uint32_t i = 0; i < child->word_count; i++) {
        print(output, " %s", child->words[i]);
    }
    if (child->has_profile) {
        print(output, ", %s", child->profile == PD_ENGINE_DENSE ? "dense" : "guarded");
    }
    if (child->output_tag != NULL) {
        print(output, ", output tagged %s", child->output_tag);
    }
    if (child->variable_count > 0) {
        print(output, "\n%s   env:", inner);
        for (uint32_t i = 0; i < child->variable_count; i++) {
            print(output, " %s=%s", child->variables[i].name, child->variables[i].value);
        }
    }
    print(output, "\n%s   may: ", inner);
    print_rights(output, &child->rights);
    print(output, "\n");
}

static void print_child(const struct pd_app_output *output, const struct pd_app_child *child)
{
    char heading[PREFIX_SIZE];
    char inner[PREFIX_SIZE];
    make_prefix(child, true, heading);
    make_prefix(child, false, inner);
    bool is_template = child->parent != NULL && child == child->parent->supervisor.child_template;
    print(output, "%s%s%s", heading, is_template ? "template " : "", child->id);
    if (child->kind == PD_CHILD_SUPERVISOR) {
        print_supervisor(output, child, inner);
    } else {
        print_worker(output, child, inner);
    }
}

const struct pd_app_child *pd_app_next(const struct pd_app_child *child)
{
    const struct pd_app_child *next = NULL;
    if (child->kind == PD_CHILD_SUPERVISOR) {
        next = child_after(child, NULL);
    }
    while (next == NULL && child->parent != NULL) {
        next = child_after(child->parent, child);
        child = child->parent;
    }
    return next;
}

void pd_app_print_tree(const struct pd_app *app, const struct pd_app_output *output)
{
    for (const struct pd_app_child *child = &app->root; child != NULL; child = pd_app_next(child)) {
        print_child(output, child);
    }
}
