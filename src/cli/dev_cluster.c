#include "cli/dev_cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/disk_has.h"
#include "host/disk.h"
#include "host/folder.h"
#include "host/frames.h"
#include "host/key_file.h"
#include "net/identity.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/server_peers.h"

#define NODES_DEFAULT 3u
#define NAMES_MAX 64u

static enum pd_status say(char *text, enum pd_status status, const char *format, ...)
    PD_PRINTF(3, 4);

static enum pd_status say(char *text, enum pd_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, PD_DEV_TEXT_MAX, format, arguments);
    va_end(arguments);
    return status;
}

/* -- Ports ------------------------------------------------------------------------------------- */

/* 0, or the system's reason why nobody can listen there. */
static int try_port(uint16_t port, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int descriptor = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return errno;
    }
    int one = 1;
    int error = 0;
    if (type == SOCK_STREAM) { /* connections that ended a moment ago are in nobody's way */
        (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0 ||
        (type == SOCK_STREAM && listen(descriptor, 1) != 0)) {
        error = errno;
    }
    (void)close(descriptor);
    return error;
}

static enum pd_status check_port(const struct pd_dev_node *node, uint16_t port, int type,
                                 char *text)
{
    int error = try_port(port, type);
    if (error == 0) {
        return PD_OK;
    }
    return say(text, PD_ERR_EXISTS,
               "port %u (%s, for %s) cannot be had: %s. Nothing was started. Choose other ports "
               "with --base-port",
               port, type == SOCK_STREAM ? "TCP" : "UDP", node->name, strerror(error));
}

static enum pd_status check_ports(const struct pd_dev_cluster *cluster, char *text)
{
    enum pd_status status = PD_OK;
    for (uint32_t i = 0; i < cluster->count && status == PD_OK; i++) {
        const struct pd_dev_node *node = &cluster->nodes[i];
        status = check_port(node, node->client_port, SOCK_STREAM, text);
        status = status == PD_OK ? check_port(node, node->peer_port, SOCK_DGRAM, text) : status;
    }
    return status;
}

/* -- Folders ----------------------------------------------------------------------------------- */

/* How many nodes DIR holds; 0: it is empty. */
static enum pd_status count_nodes(const char *folder, struct pd_disk *disk, uint32_t *count_out,
                                  char *text)
{
    struct pd_disk_name names[NAMES_MAX];
    uint32_t count = 0;
    *count_out = 0;
    enum pd_status status = disk->ops->list(disk, names, NAMES_MAX, &count);
    if (status != PD_OK) {
        return say(text, status, "cannot read the folder '%s': %s", folder,
                   status == PD_ERR_RANGE ? "it holds too much to be ours" : strerror(errno));
    }
    for (uint32_t i = 0; i < count; i++) {
        unsigned number = 0;
        int end = 0;
        if (sscanf(names[i].text, "node-%u%n", &number, &end) != 1 || names[i].text[end] != '\0' ||
            number >= PD_DEV_NODES_MAX) {
            return say(text, PD_ERR_DENIED,
                       "'%s' holds '%s': it is not a folder of `pando dev`. Choose an empty or a "
                       "new one with --data",
                       folder, names[i].text);
        }
        *count_out = number + 1 > *count_out ? number + 1 : *count_out;
    }
    return *count_out == count ? PD_OK
                               : say(text, PD_ERR_DENIED,
                                     "'%s' lacks a node's folder: it holds %" PRIu32 " of %" PRIu32
                                     ". Put it back, or choose another folder",
                                     folder, count, *count_out);
}

static enum pd_status hold(const char *folder, struct pd_dev_cluster *cluster, char *text)
{
    enum pd_status status = pd_host_disk_open(folder, true, &cluster->disk);
    if (status == PD_ERR_EXISTS) {
        return say(text, status,
                   "'%s' is in use by another `pando dev`: stop that one, or choose another folder "
                   "with --data",
                   folder);
    }
    if (status != PD_OK) {
        return status == PD_ERR_UNKNOWN
                   ? say(text, status,
                         "cannot make the folder '%s': the one above it does not exist", folder)
                   : say(text, status, "cannot use the folder '%s': %s%s", folder, strerror(errno),
                         pd_host_folder_remedy(errno));
    }
    return PD_OK;
}

static bool name_nodes(const char *folder, uint16_t base_port, struct pd_dev_cluster *cluster)
{
    for (uint32_t i = 0; i < PD_DEV_NODES_MAX; i++) {
        struct pd_dev_node *node = &cluster->nodes[i];
        node->client_port = (uint16_t)(base_port + PD_DEV_PORT_STEP * i);
        node->peer_port = (uint16_t)(node->client_port + 1);
        (void)snprintf(node->name, sizeof node->name, "node-%" PRIu32, i);
        (void)snprintf(node->client_address, sizeof node->client_address, "127.0.0.1:%u",
                       node->client_port);
        (void)snprintf(node->peer_address, sizeof node->peer_address, "127.0.0.1:%u",
                       node->peer_port);
        int size = snprintf(node->folder, sizeof node->folder, "%s/%s", folder, node->name);
        int socket_size =
            snprintf(node->socket, sizeof node->socket, "%s/%s/pando.sock", folder, node->name);
        if ((size_t)size >= sizeof node->folder || (size_t)socket_size > PD_FRAMES_PATH_MAX) {
            return false;
        }
    }
    return true;
}

/* -- Members ----------------------------------------------------------------------------------- */

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

/* The key of a node, made if there is none yet; `disk` holds its folder. */
static enum pd_status read_key(struct pd_host *host, const struct pd_dev_node *node,
                               uint8_t key[PD_KV_MEMBER_KEY_SIZE], char *text)
{
    char path[PD_DEV_PATH_MAX + 16];
    char why[PD_KEY_FILE_TEXT_MAX];
    struct pd_net_identity identity;
    (void)snprintf(path, sizeof path, "%s/" PD_SERVER_KEY_NAME, node->folder);
    enum pd_status status = pd_host_key_file(host, path, true, identity.secret, why);
    if (status != PD_OK) {
        return say(text, status, "%s", why);
    }
    uint8_t secret[PD_KEY_FILE_SIZE];
    memcpy(secret, identity.secret, sizeof secret);
    pd_net_identity_init(&identity, secret);
    memcpy(key, identity.key, PD_KV_MEMBER_KEY_SIZE);
    return PD_OK;
}

static enum pd_status open_folder(const struct pd_dev_node *node, struct pd_disk **disk_out,
                                  char *text)
{
    enum pd_status status = pd_host_disk_open(node->folder, true, disk_out);
    if (status == PD_ERR_EXISTS) {
        return say(text, status, "a node runs in '%s': stop it, or choose another folder",
                   node->folder);
    }
    return status == PD_OK ? PD_OK
                           : say(text, status, "cannot use the folder '%s': %s%s", node->folder,
                                 strerror(errno), pd_host_folder_remedy(errno));
}

static void name_member(const struct pd_dev_node *node, const char *scheme,
                        struct pd_kv_member *member, char *url, size_t url_max)
{
    (void)snprintf(url, url_max, "%s://%s", scheme, node->client_address);
    member->node = pd_members_node_of(member->key);
    member->role = PD_KV_MEMBER_VOTER;
    member->name = span_of(node->name);
    member->peer_count = 1;
    member->peers[0] = span_of(node->peer_address);
    member->client_count = 1;
    member->clients[0] = span_of(url);
}

/* What every folder is to hold; texts lie in the cluster and in urls. */
static enum pd_status list_members(struct pd_host *host, const struct pd_dev_cluster *cluster,
                                   const char *scheme, char urls[PD_DEV_NODES_MAX][48],
                                   struct pd_members_file *file_out, char *text)
{
    *file_out =
        (struct pd_members_file){.cluster_id = cluster->cluster_id, .count = cluster->count};
    for (uint32_t i = 0; i < cluster->count; i++) {
        const struct pd_dev_node *node = &cluster->nodes[i];
        struct pd_disk *disk = NULL;
        enum pd_status status = open_folder(node, &disk, text);
        if (status == PD_OK) {
            status = read_key(host, node, file_out->members[i].key, text);
            disk->ops->close_disk(disk);
        }
        if (status != PD_OK) {
            return status;
        }
        name_member(node, scheme, &file_out->members[i], urls[i], sizeof urls[i]);
    }
    return PD_OK;
}

/* The cluster as the first node's folder has it; a new one is given an id. `found`: folders that
 * are there. */
static enum pd_status find_cluster(struct pd_host *host, struct pd_dev_cluster *cluster,
                                   uint32_t found, uint32_t nodes, char *text)
{
    struct pd_disk *disk = NULL;
    struct pd_members_file file;
    char why[128];
    enum pd_status status = open_folder(&cluster->nodes[0], &disk, text);
    if (status != PD_OK) {
        return status;
    }
    status = pd_members_file_read(disk, why, sizeof why, &file);
    disk->ops->close_disk(disk);
    if (status == PD_ERR_UNKNOWN) {
        cluster->is_new = true; /* also after a first start that did not get this far */
        cluster->count = nodes != 0 ? nodes : NODES_DEFAULT;
        do {
            host->ops->entropy(host, (uint8_t *)&cluster->cluster_id, sizeof cluster->cluster_id);
        } while (cluster->cluster_id == 0);
        return PD_OK;
    }
    if (status != PD_OK) {
        return say(text, status, "'%s/" PD_MEMBERS_FILE_NAME "' cannot be used: %s",
                   cluster->nodes[0].folder, status == PD_ERR_CORRUPT ? why : strerror(errno));
    }
    cluster->cluster_id = file.cluster_id;
    cluster->count = file.count;
    pd_members_file_deinit(&file);
    if (cluster->count != found) {
        return say(text, PD_ERR_CORRUPT,
                   "'%s' is of a cluster of %" PRIu32 " nodes, and %" PRIu32
                   " are here: put back what belongs here, or choose another folder with --data",
                   cluster->nodes[0].folder, cluster->count, found);
    }
    return nodes == 0 || nodes == found
               ? PD_OK
               : say(text, PD_ERR_INVALID,
                     "a cluster of %" PRIu32 " nodes is here already: start it without --nodes, or "
                     "choose another folder with --data",
                     found);
}

/* Of a new cluster no node was started before. Of one that is there every node has its
 * cluster.json: one without would be given another key, and be another node under the same name. */
static enum pd_status check_folder(const struct pd_dev_cluster *cluster,
                                   const struct pd_dev_node *node, char *text)
{
    struct pd_disk *disk = NULL;
    struct pd_members_file file = {0};
    char why[128] = "";
    enum pd_status status = open_folder(node, &disk, text);
    if (status != PD_OK) {
        return status;
    }
    if (cluster->is_new) {
        status = pd_disk_has(disk, PD_SERVER_IDENTITY_NAME)
                     ? say(text, PD_ERR_CORRUPT,
                           "'%s' is of a cluster, and '%s' has lost its " PD_MEMBERS_FILE_NAME
                           ": put it back, or choose another folder with --data",
                           node->folder, cluster->nodes[0].folder)
                     : PD_OK;
    } else {
        status = pd_members_file_read(disk, why, sizeof why, &file);
        bool is_its = status == PD_OK && file.cluster_id == cluster->cluster_id;
        status = is_its ? PD_OK
                        : say(text, PD_ERR_CORRUPT,
                              "'%s/" PD_MEMBERS_FILE_NAME "' is missing, or not of this cluster. "
                              "Put back what belongs here, or choose another folder with --data",
                              node->folder);
        pd_members_file_deinit(&file);
    }
    disk->ops->close_disk(disk);
    return status;
}

static enum pd_status check_folders(const struct pd_dev_cluster *cluster, uint32_t found,
                                    char *text)
{
    enum pd_status status = PD_OK;
    for (uint32_t i = 0; i < found && status == PD_OK; i++) {
        status = check_folder(cluster, &cluster->nodes[i], text);
    }
    return status;
}

/* Whether the node was started before. */
static enum pd_members_start start_of(struct pd_disk *disk)
{
    struct pd_members_file file;
    char why[128];
    enum pd_members_start start = PD_MEMBERS_START_NEW;
    if (pd_members_file_read(disk, why, sizeof why, &file) == PD_OK) {
        start = file.start;
        pd_members_file_deinit(&file);
    }
    return start;
}

/* The first node's last: while it has none, the next start begins anew. */
static enum pd_status write_members(struct pd_host *host, struct pd_dev_cluster *cluster,
                                    const char *scheme, char *text)
{
    static char urls[PD_DEV_NODES_MAX][48];
    static struct pd_members_file file; /* too large for a frame; it borrows the urls */
    enum pd_status status = list_members(host, cluster, scheme, urls, &file, text);
    for (uint32_t i = cluster->count; i > 0 && status == PD_OK; i--) {
        const struct pd_dev_node *node = &cluster->nodes[i - 1];
        struct pd_disk *disk = NULL;
        status = open_folder(node, &disk, text);
        if (status == PD_OK) {
            file.start = start_of(disk);
            status = pd_members_file_write(disk, &file);
            disk->ops->close_disk(disk);
            status = status == PD_OK
                         ? PD_OK
                         : say(text, status, "cannot write '%s/" PD_MEMBERS_FILE_NAME "': %s",
                               node->folder, strerror(errno));
        }
    }
    return status;
}

enum pd_status pd_dev_cluster_open(struct pd_host *host, const char *folder, uint32_t nodes,
                                   uint16_t base_port, const char *scheme,
                                   char text[PD_DEV_TEXT_MAX], struct pd_dev_cluster *cluster_out)
{
    struct pd_dev_cluster *cluster = cluster_out;
    uint32_t found = 0;
    *cluster = (struct pd_dev_cluster){0};
    if (base_port > UINT16_MAX - PD_DEV_PORT_STEP * PD_DEV_NODES_MAX) {
        return say(text, PD_ERR_INVALID,
                   "--base-port %u leaves no room for the ports of %u nodes: give %u at most",
                   base_port, PD_DEV_NODES_MAX, UINT16_MAX - PD_DEV_PORT_STEP * PD_DEV_NODES_MAX);
    }
    if (!name_nodes(folder, base_port, cluster)) {
        return say(
            text, PD_ERR_INVALID,
            "the path '%.200s' is too long: with '/node-0/pando.sock' behind it, it is to be "
            "of %u bytes at most. Choose a shorter one with --data",
            folder, PD_FRAMES_PATH_MAX);
    }
    enum pd_status status = hold(folder, cluster, text);
    status = status == PD_OK ? count_nodes(folder, cluster->disk, &found, text) : status;
    status = status == PD_OK ? find_cluster(host, cluster, found, nodes, text) : status;
    status = status == PD_OK ? check_folders(cluster, found, text) : status;
    status = status == PD_OK ? check_ports(cluster, text) : status;
    return status == PD_OK ? write_members(host, cluster, scheme, text) : status;
}

void pd_dev_cluster_close(struct pd_dev_cluster *cluster)
{
    if (cluster->disk != NULL) {
        cluster->disk->ops->close_disk(cluster->disk);
        cluster->disk = NULL;
    }
}
