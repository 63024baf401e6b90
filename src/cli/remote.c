#include "cli/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cli/command.h"
#include "node/control_path.h"

/* --- Connecting ------------------------------------------------------------------------------- */

static int use(struct pd_remote *remote, int os_pid, int descriptor)
{
    *remote = (struct pd_remote){.os_pid = os_pid, .stream = fdopen(descriptor, "r+")};
    if (remote->stream == NULL) {
        (void)close(descriptor);
        return pd_command_failed("no memory");
    }
    return PD_EXIT_CODE_OK;
}

static int fail_to_reach(int os_pid, int error)
{
    return pd_command_failed("cannot reach the program %d: %s", os_pid, strerror(error));
}

/* To one of several. False: it is dead, and its socket is gone now, or what is wrong was said. */
static bool connect_one(struct pd_remote *remote, const char *folder, int os_pid)
{
    int descriptor = -1;
    enum pd_status status = pd_control_connect(folder, os_pid, &descriptor);
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        (void)fail_to_reach(os_pid, errno);
    }
    return status == PD_OK && use(remote, os_pid, descriptor) == PD_EXIT_CODE_OK;
}

/* What a program says of itself, soon: the caller's object, or NULL. */
static json_t *ask_program(struct pd_remote *remote)
{
    const struct timeval patience = {.tv_sec = PD_CONTROL_PATIENCE_S};
    (void)setsockopt(fileno(remote->stream), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    json_t *request = json_pack("{s:s}", "op", "program");
    return pd_remote_send(remote, request) == PD_EXIT_CODE_OK ? pd_remote_read(remote) : NULL;
}

static void print_program(struct pd_remote *remote)
{
    json_t *answer = ask_program(remote);
    const json_t *program = json_object_get(answer, "program");
    if (program != NULL) {
        const char *node = pd_remote_text(program, "node");
        (void)fprintf(stderr, "  --program %-8d %llu processes  ", remote->os_pid,
                      (unsigned long long)pd_remote_number(program, "processes"));
        (void)pd_remote_print(stderr, pd_remote_text(program, "file"), 200);
        if (node[0] != '\0') {
            (void)fputs(", at node ", stderr);
            (void)pd_remote_print(stderr, node, 200);
        }
        (void)fputc('\n', stderr);
    }
    json_decref(answer);
}

/* Several are running: say which there are. */
static int refuse_to_choose(const char *folder, const int *os_pids, uint32_t count)
{
    (void)pd_command_failed("%u programs of yours are running; say which one:", count);
    for (uint32_t i = 0; i < count; i++) {
        struct pd_remote remote;
        if (connect_one(&remote, folder, os_pids[i])) {
            print_program(&remote);
            pd_remote_close(&remote);
        }
    }
    return PD_EXIT_CODE_FAILED;
}

/* Connect to the only one. */
static int find_only(struct pd_remote *remote, const char *folder)
{
    int os_pids[PD_CONTROL_PROGRAMS_MAX];
    uint32_t count = pd_control_programs(folder, os_pids);
    uint32_t live = 0;
    int found = -1;
    int error = 0;
    for (uint32_t i = 0; i < count; i++) {
        int descriptor = -1;
        enum pd_status status = pd_control_connect(folder, os_pids[i], &descriptor);
        if (status == PD_ERR_UNKNOWN) {
            continue; /* dead; its socket is gone now */
        }
        error = status == PD_OK ? error : errno;
        os_pids[live++] = os_pids[i];
        if (found < 0) {
            found = descriptor;
        } else if (descriptor >= 0) {
            (void)close(descriptor);
        }
    }
    if (live == 1) {
        return found >= 0 ? use(remote, os_pids[0], found) : fail_to_reach(os_pids[0], error);
    }
    if (live == 0) {
        return pd_command_failed("no program of yours is running. Start one: pando run FILE");
    }
    if (found >= 0) {
        (void)close(found);
    }
    return refuse_to_choose(folder, os_pids, live);
}

static bool is_at_node(const char *folder, int os_pid, const char *node)
{
    struct pd_remote remote;
    if (!connect_one(&remote, folder, os_pid)) {
        return false;
    }
    json_t *answer = ask_program(&remote);
    const json_t *program = json_object_get(answer, "program");
    bool is_there = program != NULL && strcmp(pd_remote_text(program, "node"), node) == 0;
    json_decref(answer);
    pd_remote_close(&remote);
    return is_there;
}

/* 0: the word is no process id. */
static int os_pid_of(const char *word)
{
    char *rest = NULL;
    if (word[0] < '1' || word[0] > '9') {
        return 0;
    }
    long number = strtol(word, &rest, 10);
    return *rest == '\0' && number <= INT32_MAX ? (int)number : 0;
}

/* Names are the nodes' own affair: of two with the same one, neither is meant. */
static int find_at_node(struct pd_remote *remote, const char *folder, const char *node)
{
    int os_pids[PD_CONTROL_PROGRAMS_MAX];
    int named[PD_CONTROL_PROGRAMS_MAX];
    uint32_t count = pd_control_programs(folder, os_pids);
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (is_at_node(folder, os_pids[i], node)) {
            named[found++] = os_pids[i];
        }
    }
    if (found == 0 && os_pid_of(node) != 0) {
        return pd_command_failed("no program of yours runs as process %s, or inside of a node of "
                                 "that name (pando ps says which do)",
                                 node);
    }
    if (found == 0) {
        return pd_command_failed("no program of yours runs inside of a node '%s' (pando ps says "
                                 "which do)",
                                 node);
    }
    if (found > 1) {
        return refuse_to_choose(folder, named, found);
    }
    int descriptor = -1;
    return pd_control_connect(folder, named[0], &descriptor) == PD_OK
               ? use(remote, named[0], descriptor)
               : fail_to_reach(named[0], errno);
}

int pd_remote_open(struct pd_remote *remote, const struct pd_remote_options *options)
{
    char folder[PD_CONTROL_FOLDER_SIZE];
    char why[PD_CONTROL_WHY_SIZE];
    if (pd_control_folder(folder, why) != PD_OK) {
        return pd_command_failed("%s", why);
    }
    if (options->program == NULL) {
        return find_only(remote, folder);
    }
    int descriptor = -1;
    int os_pid = os_pid_of(options->program);
    enum pd_status status =
        os_pid == 0 ? PD_ERR_UNKNOWN : pd_control_connect(folder, os_pid, &descriptor);
    if (status == PD_ERR_UNKNOWN) { /* a node's name may look like a process id */
        return find_at_node(remote, folder, options->program);
    }
    return status == PD_OK ? use(remote, os_pid, descriptor) : fail_to_reach(os_pid, errno);
}

void pd_remote_close(struct pd_remote *remote)
{
    (void)fclose(remote->stream);
    free(remote->line);
}

/* --- Asking ----------------------------------------------------------------------------------- */

int pd_remote_send(struct pd_remote *remote, json_t *request)
{
    char *line = request == NULL ? NULL : json_dumps(request, JSON_COMPACT);
    json_decref(request);
    if (line == NULL) {
        return pd_command_failed("the name is not valid UTF-8");
    }
    bool is_sent = fprintf(remote->stream, "%s\n", line) > 0 && fflush(remote->stream) == 0;
    free(line);
    return is_sent ? PD_EXIT_CODE_OK : pd_command_failed("the program is gone");
}

json_t *pd_remote_read(struct pd_remote *remote)
{
    json_error_t error;
    ssize_t size = getline(&remote->line, &remote->line_capacity, remote->stream);
    if (size <= 0 && ferror(remote->stream) != 0 && errno == EAGAIN) {
        (void)pd_command_failed("the program %d does not answer: it is stopped, or far too busy",
                                remote->os_pid);
        return NULL;
    }
    if (size <= 0) {
        (void)pd_command_failed("the program hung up: it ended, or it is busy with others");
        return NULL;
    }
    json_t *object = json_loadb(remote->line, (size_t)size, 0, &error);
    if (object == NULL) {
        (void)pd_command_failed("the program's answer is not understood: is it another version?");
        return NULL;
    }
    const char *text = json_string_value(json_object_get(object, "error"));
    if (text != NULL) {
        (void)pd_command_failed("%s", text);
        json_decref(object);
        return NULL;
    }
    return object;
}

/* --- Showing ---------------------------------------------------------------------------------- */

uint64_t pd_remote_number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (json_is_string(value)) {
        return strtoull(json_string_value(value), NULL, 10);
    }
    return (uint64_t)json_integer_value(value);
}

const char *pd_remote_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text == NULL ? "" : text;
}

int pd_remote_print(FILE *stream, const char *text, int columns_max)
{
    int columns = 0;
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        bool begins = (byte & 0xC0u) != 0x80u;
        if (begins && columns == columns_max) {
            break;
        }
        columns += begins ? 1 : 0;
        (void)fputc(byte < 0x20u || byte == 0x7fu ? '?' : byte, stream);
    }
    return columns;
}

void pd_remote_size_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
    uint64_t rest = 0;
    unsigned unit = 0;
    for (; bytes >= 1024 && unit < 3; unit++) {
        rest = bytes % 1024;
        bytes /= 1024;
    }
    if (rest == 0) {
        (void)snprintf(text, size, "%llu %s", (unsigned long long)bytes, units[unit]);
    } else {
        (void)snprintf(text, size, "%llu.%llu %s", (unsigned long long)bytes,
                       (unsigned long long)(rest * 10 / 1024), units[unit]);
    }
}

void pd_remote_state_text(const json_t *process, char *text, size_t size)
{
    const char *call = pd_remote_text(process, "call");
    const char *name = call;
    for (const char *at = call; (at = strstr(at, "::")) != NULL; name = at) {
        at += 2;
    }
    (void)snprintf(text, size, "%s%s%s", pd_remote_text(process, "state"),
                   name[0] == '\0' ? "" : " ", name);
}
