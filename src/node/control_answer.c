#include "node/control_answer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/group.h"
#include "actor/registry.h"
#include "base/assert.h"
#include "wasm/wasi.h"

#define HASH_SHOWN 6u
#define NS_PER_US UINT64_C(1000)
#define NAMES_SIZE 4096u

/* What a signed number cannot hold (a tag, maybe) becomes a text. */
static json_t *number(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((json_int_t)value)
                              : json_sprintf("%llu", (unsigned long long)value);
}

/* The text, with '?' for what JSON cannot hold. */
static json_t *text(const char *value)
{
    json_t *string = json_string(value);
    if (string == NULL) {
        char shown[PD_PATH_SIZE];
        size_t size = strnlen(value, sizeof shown - 1);
        for (size_t i = 0; i < size; i++) {
            shown[i] = (unsigned char)value[i] < 0x80u ? value[i] : '?';
        }
        shown[size] = '\0';
        string = json_string(shown);
    }
    return string;
}

/* A missing value is left out: the reader sees less, never something wrong. */
static void set(json_t *object, const char *key, json_t *value)
{
    if (value != NULL) {
        (void)json_object_set_new(object, key, value);
    }
}

/* {"key": value} as a line. Takes the value. */
static char *line_of(const char *key, json_t *value)
{
    json_t *object = json_object();
    set(object, key, value);
    char *dumped = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (dumped == NULL) {
        return NULL;
    }
    size_t size = strlen(dumped);
    char *line = realloc(dumped, size + 2);
    if (line == NULL) {
        free(dumped);
        return NULL;
    }
    line[size] = '\n';
    line[size + 1] = '\0';
    return line;
}

char *pd_control_answer_error(const char *value)
{
    return line_of("error", text(value));
}

char *pd_control_answer_program(const struct pd_control_program *program)
{
    json_t *object = json_object();
    set(object, "os_pid", json_integer(program->os_pid));
    set(object, "file", text(program->file));
    if (program->node != NULL) {
        set(object, "node", text(program->node));
    }
    set(object, "main", number(program->main_pid));
    set(object, "processes", number(program->process_count));
    set(object, "age_us", number(program->age_ns / NS_PER_US));
    return line_of("program", object);
}

/* --- Processes -------------------------------------------------------------------------------- */

static json_t *module_object(const struct pd_process_row *row)
{
    char hash[2 * HASH_SHOWN + 1];
    for (uint32_t i = 0; i < HASH_SHOWN; i++) {
        (void)snprintf(hash + 2 * (size_t)i, 3, "%02x", row->module->hash[i]);
    }
    json_t *object = json_object();
    set(object, "hash", json_string(hash));
    if (row->module->origin != NULL) {
        set(object, "file", text(row->module->origin));
    }
    return object;
}

static json_t *row_object(const struct pd_process_row *row, uint64_t now_ns)
{
    json_t *object = json_object();
    set(object, "pid", number(row->label.pid));
    set(object, "parent", number(row->label.parent));
    set(object, "name", row->name[0] == '\0' ? NULL : text(row->name));
    set(object, "id", row->label.id[0] == '\0' ? NULL : text(row->label.id));
    set(object, "kind", json_string(row->is_supervisor ? "supervisor" : "wasm"));
    set(object, "path", row->is_supervisor ? text(row->label.prefix) : NULL);
    set(object, "state", json_string(pd_view_state_text(row->state)));
    if (row->call_name != NULL) {
        char call[256];
        (void)snprintf(call, sizeof call, "%s::%s", row->call_space, row->call_name);
        set(object, "call", text(call));
    }
    set(object, "messages", number(row->mailbox.message_count));
    set(object, "message_bytes", number(row->mailbox.message_bytes));
    set(object, "senders_waiting", number(row->mailbox.sender_count));
    set(object, "links", number(row->link_count));
    set(object, "monitors", number(row->monitor_count));
    set(object, "restarts", number(row->restart_count));
    set(object, "age_us", number((now_ns - row->birth_ns) / NS_PER_US));
    set(object, "received", number(row->received_count));
    set(object, "sent", number(row->sent_count));
    set(object, "turns", number(row->slice_count));
    if (row->module != NULL) {
        set(object, "memory", number(row->memory_size));
        set(object, "fuel", number(row->fuel_used));
        set(object, "function", text(row->function));
        set(object, "module", module_object(row));
    }
    return object;
}

char *pd_control_answer_row(const struct pd_process_row *row, uint64_t now_ns)
{
    return line_of("process", row_object(row, now_ns));
}

char *pd_control_answer_end(uint32_t count)
{
    json_t *object = json_object();
    set(object, "count", number(count));
    return line_of("end", object);
}

/* Zero-terminated texts, one behind the other. */
static json_t *text_array(const char *texts, uint32_t count)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < count; i++) {
        (void)json_array_append_new(array, text(texts));
        texts += strlen(texts) + 1;
    }
    return array;
}

static json_t *bond_array(const struct pd_process_look *look, enum pd_view_bond_kind kind)
{
    json_t *array = json_array();
    for (uint32_t i = 0; i < look->listed_count; i++) {
        if (look->kinds[i] == (uint8_t)kind) {
            (void)json_array_append_new(array, number(look->peers[i]));
        }
    }
    return array;
}

static json_t *rights_object(const struct pd_rights *rights)
{
    static const char *const networks[] = {"none", "local", "list", "all"};
    json_t *object = json_object();
    set(object, "spawn", json_boolean(rights->can_spawn));
    set(object, "compile", json_boolean(rights->can_compile));
    set(object, "configure", json_boolean(rights->can_configure));
    set(object, "stdio", json_boolean(pd_wasi_config_has_stdio(rights->wasi)));
    set(object, "network", json_string(networks[rights->network & 3u]));
    set(object, "memory_max", number(rights->memory_bytes_max));
    set(object, "fuel_max",
        rights->fuel_portions_max == 0 ? NULL : number(rights->fuel_portions_max));
    return object;
}

/* What the process itself said. */
static void set_look(json_t *object, const struct pd_process_look *look)
{
    set(object, "linked", bond_array(look, PD_VIEW_LINK));
    set(object, "monitoring", bond_array(look, PD_VIEW_WATCHING));
    set(object, "monitored_by", bond_array(look, PD_VIEW_WATCHED_BY));
    set(object, "linked_count", number(look->bond_counts[PD_VIEW_LINK]));
    set(object, "monitoring_count", number(look->bond_counts[PD_VIEW_WATCHING]));
    set(object, "monitored_by_count", number(look->bond_counts[PD_VIEW_WATCHED_BY]));
    set(object, "exits_trapped",
        json_string(look->traps_exits      ? "all"
                    : look->traps_failures ? "failures"
                                           : "none"));
    set(object, "unsent", number(look->outbox_count));
    if (look->rights != NULL) {
        set(object, "rights", rights_object(look->rights));
    }
}

char *pd_control_answer_info(const struct pd_control_details *details)
{
    const struct pd_process_row *row = details->row;
    json_t *object = row_object(row, details->now_ns);
    char *texts = calloc(1, NAMES_SIZE);
    char path[PD_PATH_SIZE];
    uint32_t count = 0;
    pd_process_path(details->environment, &row->label, path, sizeof path);
    set(object, "path", text(path));
    if (texts != NULL) {
        uint32_t written =
            pd_registry_names_of(details->environment, row->label.pid, texts, NAMES_SIZE, &count);
        set(object, "names", text_array(texts, written));
        set(object, "names_count", number(count));
        written =
            pd_group_names_of(details->environment, row->label.pid, texts, NAMES_SIZE, &count);
        set(object, "groups", text_array(texts, written));
        set(object, "groups_count", number(count));
        free(texts);
    }
    json_t *children = json_array();
    for (uint32_t i = 0; i < details->children_listed; i++) {
        (void)json_array_append_new(children, number(details->children[i]));
    }
    set(object, "children", children);
    set(object, "children_count", number(details->children_count));
    set(object, "answered", json_boolean(details->look != NULL));
    if (details->look != NULL) {
        set_look(object, details->look);
    }
    return line_of("info", object);
}

char *pd_control_answer_killed(uint64_t pid, const char *name, bool is_gone)
{
    json_t *object = json_object();
    set(object, "pid", number(pid));
    set(object, "name", name[0] == '\0' ? NULL : text(name));
    set(object, "gone", json_boolean(is_gone));
    return line_of("killed", object);
}

/* --- Traces ----------------------------------------------------------------------------------- */

char *pd_control_answer_tracing(uint64_t pid)
{
    json_t *object = json_object();
    set(object, "pid", number(pid));
    return line_of("tracing", object);
}

static const char *event_text(enum pd_traced_kind kind)
{
    switch (kind) {
    case PD_TRACED_SENT:
        return "sent";
    case PD_TRACED_RECEIVED:
        return "received";
    case PD_TRACED_NOTICE:
        return "notice";
    case PD_TRACED_SPAWNED:
        return "spawned";
    case PD_TRACED_LINKED:
        return "linked";
    case PD_TRACED_UNLINKED:
        return "unlinked";
    case PD_TRACED_MONITORED:
        return "monitored";
    case PD_TRACED_DEMONITORED:
        return "demonitored";
    case PD_TRACED_EXIT_SENT:
        return "exit sent";
    case PD_TRACED_HOST_CALL:
        return "call";
    case PD_TRACED_RESTARTED:
        return "restarted";
    case PD_TRACED_EXITED:
        return "exited";
    }
    pd_assert(false);
    return "";
}

static void set_reason(json_t *object, const struct pd_traced *event)
{
    set(object, "reason", json_string(pd_exit_reason_text((enum pd_exit_reason)event->reason)));
}

static void set_content(json_t *object, const struct pd_traced *event)
{
    switch ((enum pd_traced_kind)event->kind) {
    case PD_TRACED_SENT:
    case PD_TRACED_RECEIVED:
        set(object, "tag", number(event->tag));
        set(object, "size", number(event->size));
        break;
    case PD_TRACED_NOTICE:
    case PD_TRACED_EXIT_SENT:
    case PD_TRACED_EXITED:
        set_reason(object, event);
        break;
    case PD_TRACED_RESTARTED:
        set_reason(object, event);
        set(object, "time", number(event->size));
        break;
    case PD_TRACED_HOST_CALL: {
        char call[256];
        (void)snprintf(call, sizeof call, "%s::%s", event->space, event->name);
        set(object, "call", text(call));
        break;
    }
    case PD_TRACED_SPAWNED:
    case PD_TRACED_LINKED:
    case PD_TRACED_UNLINKED:
    case PD_TRACED_MONITORED:
    case PD_TRACED_DEMONITORED:
        break;
    }
}

char *pd_control_answer_event(const struct pd_traced *event, uint64_t began_ns)
{
    json_t *object = json_object();
    set(object, "at_us",
        number(event->at_ns < began_ns ? 0 : (event->at_ns - began_ns) / NS_PER_US));
    set(object, "event", json_string(event_text((enum pd_traced_kind)event->kind)));
    if (event->pid != 0) {
        set(object, "pid", number(event->pid));
    }
    set_content(object, event);
    return line_of("event", object);
}

char *pd_control_answer_trace_end(const char *why, uint64_t count, uint64_t lost)
{
    json_t *object = json_object();
    set(object, "why", json_string(why));
    set(object, "count", number(count));
    set(object, "lost", number(lost));
    return line_of("end", object);
}
