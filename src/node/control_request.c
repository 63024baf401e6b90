#include "node/control_request.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TRACE_COUNT_DEFAULT 1000
#define TRACE_SECONDS_DEFAULT 10

/* `what` is the client's, shown up to a limit. */
static enum pd_status wrong(char *mistake, const char *before, const char *what, const char *after)
{
    (void)snprintf(mistake, PD_CONTROL_MISTAKE_SIZE, "%s%.64s%s", before, what, after);
    return PD_ERR_INVALID;
}

static bool find_op(const char *name, enum pd_control_op *op_out)
{
    static const char *const names[] = {"program", "list", "info", "kill", "trace"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *op_out = (enum pd_control_op)i;
            return true;
        }
    }
    return false;
}

static bool has_process(enum pd_control_op op)
{
    return op == PD_CONTROL_INFO || op == PD_CONTROL_KILL || op == PD_CONTROL_TRACE;
}

static bool read_number(const json_t *value, uint32_t max, uint32_t *number_out)
{
    if (!json_is_integer(value)) {
        return false;
    }
    json_int_t number = json_integer_value(value);
    if (number < 1 || number > (json_int_t)max) {
        return false;
    }
    *number_out = (uint32_t)number;
    return true;
}

static enum pd_status read_member(const char *key, const json_t *value,
                                  struct pd_control_request *request, char *mistake)
{
    if (strcmp(key, "op") == 0) {
        return PD_OK; /* read before all others */
    }
    if (strcmp(key, "process") == 0 && has_process(request->op)) {
        size_t size = json_string_length(value);
        const char *text = json_string_value(value);
        if (text == NULL || size == 0 || size > PD_CONTROL_NAME_MAX || strlen(text) != size) {
            return wrong(mistake, "\"process\" wants a pid or a name", "", "");
        }
        memcpy(request->process, text, size + 1);
        return PD_OK;
    }
    if (strcmp(key, "count") == 0 && request->op == PD_CONTROL_TRACE) {
        return read_number(value, PD_CONTROL_TRACE_COUNT_MAX, &request->count)
                   ? PD_OK
                   : wrong(mistake, "\"count\" wants a number from 1 to 1000000", "", "");
    }
    if (strcmp(key, "seconds") == 0 && request->op == PD_CONTROL_TRACE) {
        return read_number(value, PD_CONTROL_TRACE_SECONDS_MAX, &request->seconds)
                   ? PD_OK
                   : wrong(mistake, "\"seconds\" wants a number from 1 to 3600", "", "");
    }
    return wrong(mistake, "the key \"", key, "\" is unknown here");
}

static enum pd_status read_object(json_t *object, struct pd_control_request *request, char *mistake)
{
    const char *op = json_string_value(json_object_get(object, "op"));
    if (op == NULL) {
        return wrong(mistake, "an object with \"op\" is wanted", "", "");
    }
    if (!find_op(op, &request->op)) {
        return wrong(mistake, "\"", op, "\" is none of program, list, info, kill, trace");
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        enum pd_status status = read_member(key, value, request, mistake);
        if (status != PD_OK) {
            return status;
        }
    }
    if (has_process(request->op) && request->process[0] == '\0') {
        return wrong(mistake, "which \"process\"? A pid or a name", "", "");
    }
    return PD_OK;
}

enum pd_status pd_control_request_parse(const char *line, size_t size,
                                        struct pd_control_request *request_out,
                                        char mistake[PD_CONTROL_MISTAKE_SIZE])
{
    *request_out =
        (struct pd_control_request){.count = TRACE_COUNT_DEFAULT, .seconds = TRACE_SECONDS_DEFAULT};
    mistake[0] = '\0';
    if (size > PD_CONTROL_LINE_MAX) {
        return wrong(mistake, "the line is too long", "", "");
    }
    json_error_t error;
    json_t *root = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL) {
        return wrong(mistake, "not JSON: ", error.text, "");
    }
    enum pd_status status = read_object(root, request_out, mistake);
    json_decref(root);
    return status;
}
