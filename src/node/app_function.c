#include "node/app_function.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a terminal shows as it is. */
static bool is_plain(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (name[i] <= ' ' || name[i] > '~') {
            return false;
        }
    }
    return size > 0 && size <= PD_APP_EXPORT_NAME_MAX;
}

static bool is_before(const char *name, size_t size, const char *other, size_t other_size)
{
    int order = memcmp(name, other, size < other_size ? size : other_size);
    return order < 0 || (order == 0 && size < other_size);
}

void pd_app_exports_add(struct pd_app_exports *exports, const char *name, size_t size)
{
    if (!is_plain(name, size)) {
        return;
    }
    uint32_t at =
        exports->count < PD_APP_EXPORTS_NAMED_MAX ? exports->count : PD_APP_EXPORTS_NAMED_MAX;
    exports->count += exports->count < UINT32_MAX;
    for (;
         at > 0 && is_before(name, size, exports->first[at - 1].name, exports->first[at - 1].size);
         at--) {
        if (at < PD_APP_EXPORTS_NAMED_MAX) {
            exports->first[at] = exports->first[at - 1];
        }
    }
    if (at < PD_APP_EXPORTS_NAMED_MAX) {
        exports->first[at].name = name;
        exports->first[at].size = size;
    }
}

/* "; it exports main, ping and more" */
static void write_exports(const struct pd_app_exports *exports, char *text, size_t size)
{
    size_t used =
        (size_t)snprintf(text, size, "; it exports%s", exports->count == 0 ? " none" : "");
    for (uint32_t i = 0; i < exports->count && i < PD_APP_EXPORTS_NAMED_MAX; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s %.*s", i == 0 ? "" : ",",
                                 (int)exports->first[i].size, exports->first[i].name);
    }
    (void)snprintf(text + used, size - used, "%s",
                   exports->count > PD_APP_EXPORTS_NAMED_MAX ? " and more" : "");
}

/* False, for who returns it. */
PD_PRINTF(3, 4)
static bool refuse(const struct pd_app_child *worker, char *why, const char *format, ...)
{
    size_t used = (size_t)snprintf(why, PD_APP_FUNCTION_WHY_SIZE, "%.400s ", worker->module);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why + used, PD_APP_FUNCTION_WHY_SIZE - used, format, arguments);
    va_end(arguments);
    return false;
}

static const char *type_name(uint8_t type)
{
    switch (type) {
    case PD_MODULE_I32:
        return "i32";
    case PD_MODULE_I64:
        return "i64";
    case PD_MODULE_F32:
        return "f32";
    case PD_MODULE_F64:
        return "f64";
    case PD_MODULE_V128:
        return "v128";
    default:
        return "a reference";
    }
}

/* "(i32, i64)" */
static void write_params(const struct pd_module_type *type, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (uint32_t i = 0; i < type->param_count && i < PD_MODULE_TYPE_PARAMS_MAX; i++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ",
                                 type_name(type->params[i]));
    }
    (void)snprintf(text + used, size - used,
                   type->param_count > PD_MODULE_TYPE_PARAMS_MAX ? ", and more)" : ")");
}

/* Which argument is of another type than its parameter; their count: none. The counts are equal. */
static uint32_t find_misfit(const struct pd_app_child *worker, const struct pd_module_type *type)
{
    uint32_t i = 0;
    while (i < worker->argument_count) {
        uint8_t wanted = type->params[i];
        bool is_integer = wanted == PD_MODULE_I32 || wanted == PD_MODULE_I64;
        if (worker->arguments[i].is_vector ? wanted != PD_MODULE_V128 : !is_integer) {
            break;
        }
        i++;
    }
    return i;
}

bool pd_app_function_fits(const struct pd_app_child *worker, const struct pd_module_type *type,
                          const struct pd_app_exports *exports, char *why_out)
{
    char params[PD_MODULE_TYPE_PARAMS_MAX * 16];
    char names[(PD_APP_EXPORTS_NAMED_MAX + 1) * (PD_APP_EXPORT_NAME_MAX + 16)];
    if (type == NULL) {
        write_exports(exports, names, sizeof names);
        return refuse(worker, why_out, "exports no function \"%.200s\"%s", worker->function, names);
    }
    write_params(type, params, sizeof params);
    if (type->result_count > 0) {
        return refuse(
            worker, why_out,
            "exports \"%.200s\" with %u results: a process begins with a function that gives none",
            worker->function, type->result_count);
    }
    if (type->param_count != worker->argument_count ||
        worker->argument_count > PD_MODULE_TYPE_PARAMS_MAX) {
        return refuse(worker, why_out,
                      "exports \"%.200s\" with the parameters %s: `arguments` gives %u",
                      worker->function, params, worker->argument_count);
    }
    uint32_t misfit = find_misfit(worker, type);
    if (misfit < worker->argument_count) {
        return refuse(
            worker, why_out, "exports \"%.200s\" with the parameters %s: argument %u is %s",
            worker->function, params, misfit + 1,
            worker->arguments[misfit].is_vector ? "a v128" : "an integer, for i32 or i64");
    }
    return true;
}
