/* pando kill PID|NAME: end one process of a running program. */
#include "cli/command.h"
#include "cli/remote.h"

static int kill_one(struct pd_remote *remote, const char *process)
{
    int result = pd_remote_send(remote, json_pack("{s:s,s:s}", "op", "kill", "process", process));
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    json_t *answer = pd_remote_read(remote);
    const json_t *killed = json_object_get(answer, "killed");
    if (killed == NULL) {
        json_decref(answer);
        return PD_EXIT_CODE_FAILED;
    }
    bool is_gone = json_is_true(json_object_get(killed, "gone"));
    unsigned long long pid = pd_remote_number(killed, "pid");
    if (is_gone) {
        (void)printf("killed process %llu", pid);
        if (pd_remote_text(killed, "name")[0] != '\0') {
            (void)printf(" (");
            (void)pd_remote_print(stdout, pd_remote_text(killed, "name"), 200);
            (void)printf(")");
        }
        (void)putchar('\n');
    } else {
        result = pd_command_failed("process %llu has not ended within 2 seconds; it will", pid);
    }
    json_decref(answer);
    return result;
}

static int run_kill(int count, char **arguments)
{
    struct pd_remote_options remote_options = {.process = NULL};
    int result = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_kill, &count, arguments, &remote_options, &result)) {
        return result;
    }
    remote_options.process = arguments[0];
    struct pd_remote remote;
    result = pd_remote_open(&remote, &remote_options);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    result = kill_one(&remote, remote_options.process);
    pd_remote_close(&remote);
    return result;
}

static const struct pd_option options[] = {
    PD_OPTION_PROGRAM(struct pd_remote_options, program),
    {.name = NULL},
};

const struct pd_command pd_command_kill = {
    .name = "kill",
    .arguments = "PID|NAME",
    .summary = "end one process of a running program",
    .help =
        "The process cannot refuse. What is linked to it is told; its supervisor, if it has one,\n"
        "restarts it as its spec says. Killing the main process ends the program.\n",
    .options = options,
    .words_min = 1,
    .words_max = 1,
    .examples = "pando kill 7\n"
                "pando kill mapper-1\n",
    .run = run_kill,
};
