#include "node/server_recover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/disk_has.h"
#include "host/disk.h"
#include "host/tree.h"
#include "node/members.h"
#include "node/server_internal.h"

#define COPY "restored-copy" /* the folder of the node that runs over the copy */
#define STATE "state"        /* its state, as a file in there */
#define PATH_SIZE 4096u
#define SECOND_NS UINT64_C(1000000000)
#define START_NS (3600 * SECOND_NS) /* a log of any length is applied by then */
#define NUMBER 1u                   /* of the snapshot */

/* The node over the copy, and what it answers. */
struct lone {
    const struct pd_recover_config *config;
    char *text;
    struct pd_server *server;
    struct pd_server_client client;
    struct pd_event answered;
    struct pd_event closed;
    uint8_t *bytes; /* of the answer; owned */
    size_t size;
    bool has_no_memory;
    struct pd_replica_answer_head answer;
    char why[PD_SERVER_TEXT_MAX]; /* it failed */
};

static void say(char *text, const char *format, ...) PD_PRINTF(2, 3);

static void say(char *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, PD_RESTORE_TEXT_MAX, format, arguments);
    va_end(arguments);
}

static bool path_of(const char *folder, const char *name, char path[PATH_SIZE])
{
    return (size_t)snprintf(path, PATH_SIZE, "%s/%s", folder, name) < PATH_SIZE;
}

/* -- The copy ---------------------------------------------------------------------------------- */

static enum pd_status copy_part(const struct pd_recover_config *config, const char *name,
                                const char *linked, char *text)
{
    char from[PATH_SIZE];
    char to[PATH_SIZE];
    char part[64];
    (void)snprintf(part, sizeof part, COPY "/%s", name);
    if (!path_of(config->folder, name, from) || !path_of(config->folder, part, to)) {
        say(text, "the path of '%s' is too long", config->folder);
        return PD_ERR_INVALID;
    }
    enum pd_status status = pd_host_tree_copy(from, to, linked);
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        say(text, "cannot copy '%s': %s", from, strerror(errno));
    }
    return status == PD_ERR_UNKNOWN ? PD_OK : status; /* the node over the copy judges that */
}

/* The copy's store is as good as the one it is of. */
static enum pd_status copy_mark(struct pd_disk *from, struct pd_disk *to)
{
    struct pd_disk_file file;
    if (!pd_disk_has(from, PD_SERVER_CONDEMNED_NAME)) {
        return PD_OK;
    }
    enum pd_status status = to->ops->create(to, PD_SERVER_CONDEMNED_NAME, &file);
    if (status == PD_OK) {
        to->ops->close(to, file);
    }
    return status;
}

static enum pd_status make_copy(const struct pd_recover_config *config, struct pd_disk *root,
                                const struct pd_server_identity *identity, char *text)
{
    char path[PATH_SIZE];
    struct pd_disk *disk = NULL;
    enum pd_status status = path_of(config->folder, COPY, path) ? PD_OK : PD_ERR_INVALID;
    status = status == PD_OK ? pd_host_tree_remove(path) : status;
    status = status == PD_OK ? pd_host_disk_open(path, true, &disk) : status;
    if (status != PD_OK) {
        say(text, "cannot make '%s': %s", path, strerror(errno));
        return status;
    }
    status = pd_server_identity_put(disk, PD_SERVER_IDENTITY_NAME, identity);
    status = status == PD_OK ? copy_mark(root, disk) : status;
    disk->ops->close_disk(disk);
    if (status != PD_OK) {
        say(text, "cannot write into '%s': %s", path, strerror(errno));
    }
    /* RocksDB never writes a table again that is made. */
    status = status == PD_OK ? copy_part(config, "store", ".sst", text) : status;
    return status == PD_OK ? copy_part(config, "log", NULL, text) : status;
}

/* -- The node over it -------------------------------------------------------------------------- */

static void on_failed(void *state, const char *text)
{
    struct lone *lone = state;
    (void)snprintf(lone->why, sizeof lone->why, "%s", text);
    lone->config->host->ops->event_set(lone->config->host, &lone->answered);
}

static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct lone *lone = pd_container_of(client, struct lone, client);
    (void)correlation;
    lone->bytes = pd_alloc(bytes.size);
    lone->has_no_memory = lone->bytes == NULL;
    if (lone->bytes != NULL) {
        memcpy(lone->bytes, bytes.bytes, bytes.size);
        lone->size = bytes.size;
    }
    lone->config->host->ops->event_set(lone->config->host, &lone->answered);
}

static void on_closed(struct pd_server_client *client)
{
    struct lone *lone = pd_container_of(client, struct lone, client);
    lone->config->host->ops->event_set(lone->config->host, &lone->closed);
}

static enum pd_status start(struct lone *lone)
{
    char path[PATH_SIZE];
    char why[PD_SERVER_TEXT_MAX];
    struct pd_host *host = lone->config->host;
    struct pd_server_config config = pd_server_config_default();
    if (!path_of(lone->config->folder, COPY, path)) {
        return PD_ERR_INVALID;
    }
    config.folder = path;
    config.host = host;
    config.failed = on_failed;
    config.state = lone;
    config.replica.is_alone = true;
    config.disk_low_bytes = 0;
    enum pd_status status = pd_server_open(&config, why, &lone->server);
    if (status != PD_OK) {
        say(lone->text, "this node's own data cannot be used: %s", why);
        return status;
    }
    if (!pd_server_wait_ready(lone->server, pd_host_now_ns(host) + START_NS)) {
        say(lone->text, "this node's own data cannot be used: %s",
            lone->why[0] != '\0' ? lone->why : "it does not become ready");
        return PD_ERR_CORRUPT;
    }
    lone->client.answer = on_answer;
    lone->client.closed = on_closed;
    status = pd_server_client_open(lone->server, &lone->client);
    pd_assert(status == PD_OK); /* the first one */
    return PD_OK;
}

static void stop(struct lone *lone)
{
    struct pd_host *host = lone->config->host;
    if (lone->server != NULL && lone->client.closed != NULL) {
        pd_server_client_close(lone->server, &lone->client);
        (void)host->ops->event_wait(host, &lone->closed, PD_TIME_NEVER);
    }
    pd_server_close(lone->server);
    lone->server = NULL;
    pd_free(lone->bytes);
    lone->bytes = NULL;
}

/* One request, whose answer is OK and lies in lone->answer until the next. */
static enum pd_status ask(struct lone *lone, const struct pd_replica_request_head *head)
{
    struct pd_host *host = lone->config->host;
    uint8_t bytes[PD_REPLICA_REQUEST_HEAD_SIZE];
    pd_assert(head->body.size == 0);
    pd_free(lone->bytes);
    lone->bytes = NULL;
    pd_replica_request_put_head(bytes, head);
    enum pd_status status =
        pd_server_submit(lone->server, &lone->client, 1, (struct pd_span){bytes, sizeof bytes});
    if (status == PD_OK) {
        (void)host->ops->event_wait(host, &lone->answered, PD_TIME_NEVER);
        status = lone->has_no_memory ? PD_ERR_NO_MEMORY
                 : lone->bytes == NULL
                     ? PD_ERR_CORRUPT
                     : pd_replica_answer_decode((struct pd_span){lone->bytes, lone->size},
                                                &lone->answer);
    }
    if (status == PD_OK && lone->answer.outcome != PD_REPLICA_OK) {
        status = PD_ERR_IO;
    }
    if (status != PD_OK) {
        say(lone->text, "this node's own data cannot be read: %s",
            lone->why[0] != '\0' ? lone->why : pd_status_text(status));
    }
    return status;
}

/* -- The others -------------------------------------------------------------------------------- */

static bool is_voter(const struct pd_raft_conf *conf, uint64_t node)
{
    for (uint32_t i = 0; i < conf->voter_count; i++) {
        if (conf->voters[i] == node) {
            return true;
        }
    }
    return false;
}

/* Whether cluster.json names the same places: no need to ask there again. */
static bool is_elsewhere(const struct pd_members_file *file, const struct pd_kv_member *member)
{
    const struct pd_kv_member *known = pd_members_file_find(file, member->node);
    bool is_same = known != NULL && known->peer_count == member->peer_count;
    for (uint32_t i = 0; is_same && i < member->peer_count; i++) {
        is_same = known->peers[i].size == member->peers[i].size &&
                  memcmp(known->peers[i].bytes, member->peers[i].bytes, known->peers[i].size) == 0;
    }
    return !is_same;
}

/* The directory says where they are; what cluster.json alone knows is asked there. This node's own
 * entry is kept for the new cluster. */
static enum pd_status count_answering(struct lone *lone, struct pd_members_file *file,
                                      struct pd_recover_report *report)
{
    const struct pd_recover_config *config = lone->config;
    const struct pd_raft_conf *conf = &pd_replica_before(lone->server->replica)->conf;
    const struct pd_replica_request_head head = {.kind = PD_REPLICA_REQUEST_MEMBERS,
                                                 .flags = PD_REPLICA_REQUEST_SERIALIZABLE};
    enum pd_status status = ask(lone, &head);
    if (status != PD_OK) {
        return status;
    }
    struct pd_kv_reader reader;
    struct pd_members_item item;
    uint64_t asked[PD_RAFT_MEMBERS_MAX] = {report->node_id};
    uint32_t asked_count = 1;
    report->voters = conf->voter_count;
    pd_kv_reader_init(&reader, lone->answer.body);
    while (pd_members_next(&reader, &item)) {
        if (item.is_listed && item.member.node != report->node_id &&
            is_voter(conf, item.member.node) && asked_count < PD_RAFT_MEMBERS_MAX) {
            bool is_there = config->answers(config->state, &item.member);
            report->answering += is_there;
            if (is_there || !is_elsewhere(file, &item.member)) {
                asked[asked_count++] = item.member.node;
            }
        }
    }
    /* Whoever does not answer where the directory says may do so where cluster.json does. */
    for (uint32_t i = 0; i < file->count; i++) {
        bool is_asked = !is_voter(conf, file->members[i].node);
        for (uint32_t j = 0; j < asked_count && !is_asked; j++) {
            is_asked = asked[j] == file->members[i].node;
        }
        report->answering += !is_asked && config->answers(config->state, &file->members[i]);
    }
    uint32_t with_this = report->answering + is_voter(conf, report->node_id);
    if (with_this > report->voters / 2) {
        say(lone->text,
            "nothing is lost for ever: of %" PRIu32 " voters %" PRIu32
            " others answer, and with this node that is a majority. Start this node, and remove "
            "those that are lost with `pando cluster remove`",
            report->voters, report->answering);
        return PD_ERR_DENIED;
    }
    return PD_OK;
}

/* cluster.json as the new cluster's: this node alone, where it listened before. */
static enum pd_status keep_self(struct lone *lone, uint64_t node, struct pd_members_file *file)
{
    const struct pd_kv_member *known = pd_members_file_find(file, node);
    struct pd_kv_reader reader;
    struct pd_members_item item;
    struct pd_kv_member self = {0};
    if (file->count == 0) {
        return PD_OK;
    }
    pd_kv_reader_init(&reader, lone->answer.body);
    while (pd_members_next(&reader, &item)) {
        if (item.is_listed && item.member.node == node) {
            self = item.member;
        }
    }
    self = self.node != node && known != NULL ? *known : self;
    if (self.node != node) {
        say(lone->text, "neither the directory nor cluster.json tells this node's own address");
        return PD_ERR_INVALID;
    }
    /* Texts of the directory are borrowed from an answer that goes. */
    struct pd_members_file kept = {.count = 1, .members = {self}};
    kept.texts = pd_alloc(PD_KV_MEMBER_BYTES_MAX); /* of one member all texts fit into it */
    if (kept.texts == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    pd_members_file_own(&kept, PD_KV_MEMBER_BYTES_MAX);
    pd_members_file_deinit(file);
    *file = kept;
    return PD_OK;
}

/* -- The state --------------------------------------------------------------------------------- */

static bool put(FILE *file, struct pd_span bytes)
{
    return bytes.size == 0 || fwrite(bytes.bytes, 1, bytes.size, file) == bytes.size;
}

static enum pd_status write_chunks(struct lone *lone, FILE *file)
{
    struct pd_seal seal;
    struct pd_snapshot_peek peek = {.kind = PD_SNAPSHOT_HEAD};
    enum pd_status status = PD_OK;
    bool is_written = true;
    pd_seal_init(&seal);
    for (uint64_t i = 0; status == PD_OK && is_written && peek.kind != PD_SNAPSHOT_END; i++) {
        const struct pd_replica_request_head head = {
            .kind = PD_REPLICA_REQUEST_SNAPSHOT, .number = NUMBER, .sequence = i};
        status = ask(lone, &head);
        if (status == PD_OK) {
            status = pd_snapshot_peek(lone->answer.body, &peek);
            pd_seal_add(&seal, lone->answer.body);
            is_written = put(file, lone->answer.body);
        }
    }
    if (status == PD_OK && is_written) {
        uint8_t tail[PD_SEAL_TAIL_MAX];
        size_t size = pd_seal_end(&seal, tail);
        is_written = put(file, (struct pd_span){tail, size}) && fflush(file) == 0;
    }
    if (!is_written) {
        say(lone->text, "cannot write the node's state into '%s/" COPY "': %s",
            lone->config->folder, strerror(errno));
        return PD_ERR_IO;
    }
    return status;
}

static enum pd_status read_file(void *state, uint8_t *bytes, size_t size, size_t *size_out)
{
    FILE *file = state;
    *size_out = fread(bytes, 1, size, file);
    return ferror(file) ? PD_ERR_IO : PD_OK;
}

static enum pd_status run_lone(struct lone *lone, struct pd_members_file *members,
                               struct pd_recover_report *report, FILE *file)
{
    enum pd_status status = start(lone);
    if (status == PD_OK) {
        const struct pd_replica_before *before = pd_replica_before(lone->server->replica);
        report->last_index = before->last_index;
        report->last_term = before->last_term;
        status = count_answering(lone, members, report);
    }
    status = status == PD_OK ? keep_self(lone, report->node_id, members) : status;
    status = status == PD_OK ? write_chunks(lone, file) : status;
    stop(lone);
    return status;
}

static enum pd_status recover(const struct pd_recover_config *config, struct pd_disk *root,
                              const struct pd_server_identity *identity,
                              struct pd_members_file *members, struct pd_recover_report *report,
                              char *text)
{
    char path[PATH_SIZE];
    struct lone lone = {.config = config, .text = text};
    enum pd_status status = make_copy(config, root, identity, text);
    FILE *file = status == PD_OK && path_of(config->folder, COPY "/" STATE, path)
                     ? fopen(path, "w+e")
                     : NULL;
    if (status == PD_OK && file == NULL) {
        say(text, "cannot write into '%s/" COPY "': %s", config->folder, strerror(errno));
        status = PD_ERR_IO;
    }
    status = status == PD_OK ? run_lone(&lone, members, report, file) : status;
    if (status == PD_OK) {
        rewind(file);
        const struct pd_backup_source source = {.read = read_file, .state = file};
        const struct pd_restore_config restore = {.host = config->host,
                                                  .folder = config->folder,
                                                  .root = root,
                                                  .raise = config->raise,
                                                  .node_id = identity->node_id,
                                                  .segment_bytes = identity->segment_bytes,
                                                  .members = members->count > 0 ? members : NULL};
        status = pd_server_restore(&restore, &source, &report->restored, text);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    if (path_of(config->folder, COPY, path)) {
        enum pd_status removed = pd_host_tree_remove(path);
        (void)removed; /* what stays takes room, and the next attempt removes it */
    }
    return status;
}

/* -- The folder -------------------------------------------------------------------------------- */

static enum pd_status hold(const struct pd_recover_config *config, struct pd_disk **root_out,
                           char *text)
{
    char path[PATH_SIZE];
    char ready[PATH_SIZE];
    if (!path_of(config->folder, PD_SERVER_IDENTITY_NAME, path) ||
        !path_of(config->folder, PD_SERVER_SWITCH_PREFIX PD_SERVER_IDENTITY_NAME, ready)) {
        say(text, "the path of '%s' is too long", config->folder);
        return PD_ERR_INVALID;
    }
    if (access(path, F_OK) != 0 && access(ready, F_OK) != 0) {
        say(text, "'%s' is no node's folder: there is no " PD_SERVER_IDENTITY_NAME " in it",
            config->folder);
        return PD_ERR_UNKNOWN;
    }
    enum pd_status status = pd_host_disk_open(config->folder, true, root_out);
    if (status == PD_ERR_EXISTS) {
        say(text,
            "a node runs in '%s': stop it first. While it runs, `pando cluster snapshot` "
            "saves what it has",
            config->folder);
    } else if (status != PD_OK) {
        say(text, "cannot use the folder '%s': %s", config->folder, strerror(errno));
    }
    return status;
}

enum pd_status pd_server_recover(const struct pd_recover_config *config,
                                 struct pd_recover_report *report_out,
                                 char text[PD_RESTORE_TEXT_MAX])
{
    struct pd_disk *root = NULL;
    struct pd_server_identity identity;
    struct pd_members_file members = {0};
    char why[128];
    *report_out = (struct pd_recover_report){0};
    text[0] = '\0';
    enum pd_status status = hold(config, &root, text);
    if (status != PD_OK) {
        return status;
    }
    report_out->was_pending = pd_disk_has(root, PD_SERVER_SWITCH_PREFIX PD_SERVER_IDENTITY_NAME);
    status = pd_server_switch_finish(root);
    if (status == PD_OK && !report_out->was_pending) {
        status = pd_server_identity_get(root, &identity);
        enum pd_status read = pd_members_file_read(root, why, sizeof why, &members);
        status = status == PD_OK && read != PD_ERR_UNKNOWN ? read : status;
    }
    if (status != PD_OK) {
        say(text, "the files of '%s' that say who it is cannot be read: %s", config->folder,
            pd_status_text(status));
    } else if (!report_out->was_pending) {
        report_out->old_cluster_id = identity.cluster_id;
        report_out->node_id = identity.node_id;
        status = recover(config, root, &identity, &members, report_out, text);
    }
    pd_members_file_deinit(&members);
    root->ops->close_disk(root);
    if (status != PD_OK && text[0] == '\0') {
        say(text, "cannot recover '%s': %s", config->folder, pd_status_text(status));
    }
    return status;
}
