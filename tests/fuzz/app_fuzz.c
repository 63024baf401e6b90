/* Any bytes as an application file: never more than mistakes, and what is taken can be shown and
 * run. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "node/app.h"

static enum pd_status read_module(void *context, const char *path, uint8_t *bytes, size_t size,
                                  size_t *size_out)
{
    static const uint8_t module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    (void)context;
    pd_assert(path[0] != '\0');
    *size_out = size < sizeof module ? size : sizeof module;
    memcpy(bytes, module, *size_out);
    return PD_OK;
}

static void discard(void *context, const char *bytes, size_t size)
{
    (void)context;
    for (size_t i = 0; i < size; i++) {
        pd_assert((uint8_t)bytes[i] >= 0x20 || bytes[i] == '\n');
    }
}

/* What the checker lets pass, the supervisor takes. */
static void check_child(const struct pd_app_child *child)
{
    struct pd_child_spec spec = pd_app_child_spec(child);
    pd_assert(pd_child_spec_mistake(&spec) == NULL);
    if (child->kind == PD_CHILD_SUPERVISOR) {
        struct pd_supervisor_config config = pd_app_supervisor_config(child);
        struct pd_supervisor *machine = NULL;
        pd_assert(pd_supervisor_create(&config, &machine) == PD_OK);
        pd_supervisor_destroy(machine);
        return;
    }
    const struct pd_app_rights *bound = &child->parent->rights;
    pd_assert(bound->can_spawn || !child->rights.can_spawn);
    pd_assert(bound->can_compile || !child->rights.can_compile);
    pd_assert(bound->can_configure || !child->rights.can_configure);
    pd_assert(bound->has_stdio || !child->rights.has_stdio);
    pd_assert(bound->network >= child->rights.network || bound->network == PD_NETWORK_LOCAL);
    pd_assert(bound->memory_bytes_max >= child->rights.memory_bytes_max);
    pd_assert(bound->fuel_portions_max >= child->rights.fuel_portions_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct pd_app_files files = {.context = NULL, .read = read_module};
    static const struct pd_app_output output = {.context = NULL, .write = discard};
    struct pd_app *app = NULL;
    struct pd_app_report report;
    enum pd_status status =
        pd_app_parse((const char *)data, size, "folder/app.yaml", &files, &app, &report);
    pd_assert(status == PD_OK || status == PD_ERR_INVALID);
    pd_assert((status == PD_OK) == (report.count == 0));
    pd_app_report_print(&report, "app.yaml", &output);
    pd_app_report_deinit(&report);
    if (status != PD_OK) {
        return 0;
    }
    pd_app_print_tree(app, &output);
    for (uint32_t i = 0; i < app->root.supervisor.child_count; i++) {
        check_child(&app->root.supervisor.children[i]);
    }
    check_child(&app->root);
    pd_app_destroy(app);
    return 0;
}
