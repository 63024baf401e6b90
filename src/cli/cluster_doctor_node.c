#include "cli/cluster_doctor_node.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host/cgroup.h"
#include "host/descriptors.h"

#define CGROUPS "/sys/fs/cgroup"
#define LIMITS_MAX 4096u
#define PATH_MAX_BYTES 64u

bool pd_cluster_doctor_files(const char *text, uint64_t *files_out)
{
    static const char name[] = "Max open files";
    const char *line = strstr(text, name);
    if (line == NULL) {
        return false;
    }
    const char *soft = line + sizeof name - 1;
    char *end = NULL;
    soft += strspn(soft, " ");
    if (strncmp(soft, "unlimited", 9) == 0) {
        *files_out = UINT64_MAX;
        return true;
    }
    errno = 0;
    *files_out = strtoull(soft, &end, 10);
    return errno == 0 && end != soft && *soft != '-';
}

/* Of the process that listens on the node's socket; 0: unknown, or of another pid namespace. */
static uint64_t pid_of(struct pd_node_client *client)
{
    const struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_STATUS};
    struct pd_replica_answer_head answer;
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (pd_node_client_call(client, &request, &answer) != PD_OK ||
        !pd_node_client_is_connected(client) ||
        getsockopt(client->link.descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return 0;
    }
    return peer.pid > 0 ? (uint64_t)peer.pid : 0;
}

static bool read_files(uint64_t pid, uint64_t *files_out)
{
    char path[PATH_MAX_BYTES];
    char text[LIMITS_MAX];
    (void)snprintf(path, sizeof path, "/proc/%" PRIu64 "/limits", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    return pd_cluster_doctor_files(text, files_out);
}

void pd_cluster_doctor_node(struct pd_node_client *client, struct pd_cluster_doctor_node *node_out)
{
    char groups[PATH_MAX_BYTES] = "/proc/self/cgroup";
    *node_out = (struct pd_cluster_doctor_node){.pid = pid_of(client)};
    node_out->is_node = node_out->pid != 0 && read_files(node_out->pid, &node_out->files);
    if (node_out->is_node) {
        (void)snprintf(groups, sizeof groups, "/proc/%" PRIu64 "/cgroup", node_out->pid);
    } else {
        node_out->files = pd_descriptors_of_process().limit;
    }
    node_out->memory = pd_cgroup_memory_max(groups, CGROUPS);
    node_out->cpu = pd_cgroup_cpu_max(groups, CGROUPS);
}
