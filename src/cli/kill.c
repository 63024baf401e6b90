/* pando kill PID|NAME: end one process of a running program. */
#include "cli/command.h"
#include "cli/remote.h"

static int parse(int count, char **arguments, struct pd_remote_options *options)
{
    struct pd_option_cursor cursor = {.count = count, .arguments = arguments};
    while (cursor.at < count) {
        int result = PD_EXIT_CODE_OK;
        if (!pd_remote_option(&pd_command_kill, &cursor, options, &result)) {
            result = pd_remote_take_process(&pd_command_kill, &cursor, options);
        }
        if (result != PD_EXIT_CODE_OK) {
            return result;
        }
    }
    return options->process != NULL ? PD_EXIT_CODE_OK
                                    : pd_command_usage(&pd_command_kill, "which process?");
}

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
    struct pd_remote_options options = {.process = NULL};
    int result = parse(count, arguments, &options);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    struct pd_remote remote;
    result = pd_remote_open(&remote, &options);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    result = kill_one(&remote, options.process);
    pd_remote_close(&remote);
    return result;
}

const struct pd_command pd_command_kill = {
    .name = "kill",
    .arguments = "[--program OSPID] PID|NAME",
    .summary = "end one process of a running program",
    .help = "The process cannot refuse. What is linked to it is told; its supervisor, if it has "
            "one, restarts it\n"
            "as its spec says. Killing the main process ends the program.\n\n"
            "  --program OSPID  which program, when several are running\n\n"
            "Examples:\n"
            "  pando kill 7\n"
            "  pando kill mapper-1\n",
    .run = run_kill,
};
