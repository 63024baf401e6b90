#include "node/process_path.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "actor/child_spec.h"
#include "actor/environment.h"
#include "actor/mailbox.h"
#include "actor/registry.h"
#include "actor/supervisor_process.h"
#include "base/assert.h"

struct part {
    char text[PD_LABEL_SIZE];
};

void pd_process_label_take(struct pd_process_label *label, const struct pd_process *process)
{
    label->pid = process->pid;
    label->parent = process->parent;
    label->id[0] = '\0';
    label->prefix[0] = '\0';
    if (process->spec != NULL) {
        (void)snprintf(label->id, sizeof label->id, "%s", process->spec->id);
    }
    if (pd_process_is_supervisor(process)) {
        (void)snprintf(label->prefix, sizeof label->prefix, "%s",
                       pd_supervisor_process_name(process));
    }
}

static void visit(struct pd_process *process, void *context)
{
    pd_process_label_take(context, process);
}

static void name_part(struct pd_environment *environment, const struct pd_process_label *label,
                      struct part *part)
{
    if (label->id[0] != '\0') {
        memcpy(part->text, label->id, sizeof part->text);
    } else if (!pd_registry_name_of(environment, label->pid, part->text, sizeof part->text)) {
        (void)snprintf(part->text, sizeof part->text, "<%llu>", (unsigned long long)label->pid);
    }
}

void pd_process_path(struct pd_environment *environment, const struct pd_process_label *label,
                     char *path, size_t size)
{
    pd_assert(size > 0);
    struct part parts[PD_PATH_DEPTH_MAX];
    struct pd_process_label at = *label;
    struct pd_mailbox_view view;
    uint32_t count = 0;
    bool is_whole = false;
    while (count < PD_PATH_DEPTH_MAX && !is_whole && at.prefix[0] == '\0') {
        name_part(environment, &at, &parts[count++]);
        is_whole =
            at.parent == 0 || pd_mailbox_look(environment, at.parent, &view, visit, &at) != PD_OK;
    }
    const char *begin = at.prefix[0] != '\0' ? at.prefix : is_whole ? "" : "...";
    size_t used = (size_t)snprintf(path, size, "%s", begin);
    while (count > 0 && used < size) {
        used += (size_t)snprintf(path + used, size - used, "%s%s", used > 0 ? "/" : "",
                                 parts[--count].text);
    }
}
