#include "cli/cluster_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/disk_has.h"
#include "cli/command.h"
#include "cli/dialer.h"
#include "host/disk.h"
#include "host/real.h"
#include "host/resolve.h"
#include "host/tree.h"
#include "node/members.h"
#include "node/server_peers_net.h"
#include "node/server_recover.h"

#define MIB (UINT64_C(1) << 20)
#define HASH_TEXT (2 * PD_SEAL_HASH_SIZE + 1)
#define NUMBER 1u /* of the snapshot, among those of this connection */
/* Stands in a folder as long as it is restored: what is beside it is nobody's. */
#define MARK "restored-unfinished"
#define SECOND_NS UINT64_C(1000000000)
#define RAISE_EPOCH_S UINT64_C(1700000000) /* 2023-11-14 */
#define RAISE_BY_SECOND UINT64_C(10000)

/* -- Files ------------------------------------------------------------------------------------- */

static enum pd_status read_some(void *state, uint8_t *bytes, size_t size, size_t *size_out)
{
    int file = *(const int *)state;
    size_t got = 0;
    while (got < size) {
        ssize_t count = read(file, bytes + got, size - got);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return PD_ERR_IO;
        }
        if (count == 0) {
            break;
        }
        got += (size_t)count;
    }
    *size_out = got;
    return PD_OK;
}

/* PD_EXIT_CODE_OK: every byte of the file is as it was written. */
static int verify(const char *path, struct pd_backup_about *about_out)
{
    char text[PD_BACKUP_TEXT_MAX];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return pd_command_failed("cannot read '%s': %s", path, strerror(errno));
    }
    const struct pd_backup_source source = {.read = read_some, .state = &file};
    enum pd_status status = pd_backup_file_read(&source, NULL, NULL, about_out, text);
    int code = PD_EXIT_CODE_OK;
    if (status == PD_ERR_IO) {
        code = pd_command_failed("cannot read '%s': %s", path, strerror(errno));
    } else if (status != PD_OK) {
        code = pd_command_failed("'%s' cannot be used: %s", path, text);
    }
    (void)close(file);
    return code;
}

static void hash_text(const uint8_t hash[PD_SEAL_HASH_SIZE], char text[HASH_TEXT])
{
    for (size_t i = 0; i < PD_SEAL_HASH_SIZE; i++) {
        (void)snprintf(text + 2 * i, 3, "%02x", hash[i]);
    }
}

/* -- Snapshot ---------------------------------------------------------------------------------- */

static bool write_all(int file, struct pd_span bytes)
{
    while (bytes.size > 0) {
        ssize_t count = write(file, bytes.bytes, bytes.size);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            return false;
        }
        bytes = (struct pd_span){bytes.bytes + count, bytes.size - (size_t)count};
    }
    return true;
}

/* The next chunk, of the client's until it is called again. */
static int next_chunk(struct pd_node_client *client, uint64_t sequence, struct pd_span *chunk_out,
                      bool *is_last_out)
{
    const struct pd_replica_request_head request = {
        .kind = PD_REPLICA_REQUEST_SNAPSHOT, .number = NUMBER, .sequence = sequence};
    struct pd_replica_answer_head answer;
    struct pd_snapshot_peek peek;
    if (pd_node_client_call(client, &request, &answer) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    if (answer.outcome != PD_REPLICA_OK) {
        bool has_text = answer.body.size > 0 && answer.body.size < PD_NODE_TEXT_MAX;
        return has_text ? pd_command_failed("the node gives no snapshot: %.*s",
                                            (int)answer.body.size, (const char *)answer.body.bytes)
                        : pd_command_failed("the node gives no snapshot: %s",
                                            pd_replica_outcome_text(answer.outcome));
    }
    if (pd_snapshot_peek(answer.body, &peek) != PD_OK) {
        return pd_command_failed("the node's answer cannot be read: is it of another version?");
    }
    *chunk_out = answer.body;
    *is_last_out = peek.kind == PD_SNAPSHOT_END;
    return PD_EXIT_CODE_OK;
}

static int save(struct pd_node_client *client, int file, const char *path)
{
    struct pd_seal seal;
    bool is_last = false;
    bool is_written = true;
    pd_seal_init(&seal);
    for (uint64_t i = 0; !is_last && is_written; i++) {
        struct pd_span chunk = {NULL, 0};
        int code = next_chunk(client, i, &chunk, &is_last);
        if (code != PD_EXIT_CODE_OK) {
            return code;
        }
        pd_seal_add(&seal, chunk);
        is_written = write_all(file, chunk);
    }
    uint8_t tail[PD_SEAL_TAIL_MAX];
    size_t size = pd_seal_end(&seal, tail);
    is_written = is_written && write_all(file, (struct pd_span){tail, size}) && fsync(file) == 0;
    return is_written ? PD_EXIT_CODE_OK
                      : pd_command_failed("cannot write '%s': %s", path, strerror(errno));
}

static bool sync_folder_of(const char *path)
{
    char *copy = pd_alloc_text(path, strlen(path));
    int folder = copy == NULL ? -1 : open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0) {
        (void)close(folder);
    }
    pd_free(copy);
    return is_synced;
}

/* Under its own name, at once and whole. Another file of that name is only replaced if asked to. */
static int give_name(const struct pd_cluster_backup *backup, const char *part)
{
    int result =
        renameat2(AT_FDCWD, part, AT_FDCWD, backup->file, backup->is_forced ? 0 : RENAME_NOREPLACE);
    if (result != 0 && errno == EINVAL && access(backup->file, F_OK) != 0) {
        result = rename(part, backup->file); /* the file system cannot promise more */
    }
    if (result != 0 || !sync_folder_of(backup->file)) {
        return pd_command_failed("cannot name the snapshot '%s': %s", backup->file,
                                 strerror(errno));
    }
    return PD_EXIT_CODE_OK;
}

static void print_saved(const struct pd_cluster_backup *backup, const struct pd_backup_about *about)
{
    char hash[HASH_TEXT];
    char cluster[17];
    hash_text(about->hash, hash);
    (void)snprintf(cluster, sizeof cluster, "%016" PRIx64, about->id.cluster_id);
    if (!backup->is_json) {
        (void)printf("saved     %s\ncluster   %s\nrevision  %" PRId64 "\nindex     %" PRIu64
                     "\nkeys      %" PRIu64 "\nbytes     %" PRIu64 "\nsha256    %s\n",
                     backup->file, cluster, about->state.revision, about->state.index,
                     about->state.key_count, about->bytes, hash);
        return;
    }
    json_t *object = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:s}", "file", backup->file, "cluster", cluster, "revision",
        (json_int_t)about->state.revision, "index", (json_int_t)about->state.index, "keys",
        (json_int_t)about->state.key_count, "bytes", (json_int_t)about->bytes, "sha256", hash);
    char *text = object == NULL ? NULL : json_dumps(object, JSON_COMPACT);
    (void)printf("%s\n", text == NULL ? "{}" : text); /* the path may be no text */
    free(text);
    json_decref(object);
}

int pd_cluster_snapshot(const struct pd_cluster_backup *backup, struct pd_node_client *client)
{
    char part[PD_NODE_PATH_MAX];
    struct pd_backup_about about = {0};
    if ((size_t)snprintf(part, sizeof part, "%s.part-%ld", backup->file, (long)getpid()) >=
        sizeof part) {
        return pd_command_failed("the path of the file is too long");
    }
    if (!backup->is_forced && access(backup->file, F_OK) == 0) {
        return pd_command_failed("'%s' is there already: choose another name, or replace it with "
                                 "--force",
                                 backup->file);
    }
    int file = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0) {
        return pd_command_failed("cannot write '%s': %s", part, strerror(errno));
    }
    int code = save(client, file, part);
    (void)close(file);
    code = code == PD_EXIT_CODE_OK ? verify(part, &about) : code;
    code = code == PD_EXIT_CODE_OK ? give_name(backup, part) : code;
    if (code != PD_EXIT_CODE_OK) {
        (void)unlink(part);
        return code;
    }
    print_saved(backup, &about);
    return PD_EXIT_CODE_OK;
}

/* -- Restore ----------------------------------------------------------------------------------- */

/* By how much, and more for each second that has passed: a snapshot that is restored twice does not
 * give the same tokens twice. */
static struct pd_kv_raise_config raise_of(const struct pd_cluster_backup *backup,
                                          struct pd_host *host)
{
    struct pd_kv_raise_config raise = pd_kv_raise_config_default();
    uint64_t wall_s = host->ops->wall_ns(host) / SECOND_NS;
    uint64_t late_s = wall_s > RAISE_EPOCH_S ? wall_s - RAISE_EPOCH_S : 0;
    raise.revisions += late_s * RAISE_BY_SECOND;
    raise.indices += late_s * RAISE_BY_SECOND;
    raise.terms += late_s / 10;
    if (backup->bump != 0) {
        raise.revisions = backup->bump;
        raise.indices = backup->bump;
    }
    return raise;
}

static void print_restored(const struct pd_cluster_backup *backup,
                           const struct pd_restore_report *report)
{
    if (backup->is_json) {
        (void)printf("{\"cluster\":\"%016" PRIx64 "\",\"revision\":%" PRId64
                     ",\"compacted_revision\":%" PRId64 ",\"index\":%" PRIu64 ",\"keys\":%" PRIu64
                     ",\"keys_ended\":%" PRIu64 "}\n",
                     report->cluster_id, report->to.revision, report->to.revision, report->to.index,
                     report->to.key_count, report->about.state.key_count - report->to.key_count);
        return;
    }
    (void)printf("cluster   %016" PRIx64 ", new\n"
                 "revision  %" PRId64 ", raised from %" PRId64 "; all before it is compacted\n"
                 "keys      %" PRIu64 "; %" PRIu64 " ended with their leases\n"
                 "try       pando start --data %s\n",
                 report->cluster_id, report->to.revision, report->about.state.revision,
                 report->to.key_count, report->about.state.key_count - report->to.key_count,
                 backup->folder);
}

static bool may_stay(const char *name)
{
    static const char *const names[] = {"lost+found", "node.json.new"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return strncmp(name, PD_SERVER_KEY_NAME, strlen(PD_SERVER_KEY_NAME)) == 0 ||
           (strncmp(name, PD_SERVER_SWITCH_PREFIX, sizeof PD_SERVER_SWITCH_PREFIX - 1) == 0 &&
            strcmp(name, PD_SERVER_SWITCH_PREFIX PD_SERVER_IDENTITY_NAME) != 0);
}

static bool may_stay_alone(const char *name)
{
    return strcmp(name, "lost+found") == 0;
}

/* Empty; or what an earlier restore left that was cut short. */
static bool is_free(const char *folder)
{
    char mark[PD_NODE_PATH_MAX];
    bool was_cut_short = (size_t)snprintf(mark, sizeof mark, "%s/" MARK, folder) < sizeof mark &&
                         access(mark, F_OK) == 0;
    return pd_host_tree_is_free(folder, was_cut_short ? may_stay : may_stay_alone);
}

static bool put_mark(struct pd_disk *root)
{
    struct pd_disk_file file;
    if (pd_disk_has(root, MARK)) {
        return true;
    }
    if (root->ops->create(root, MARK, &file) != PD_OK) {
        return false;
    }
    root->ops->close(root, file);
    return root->ops->sync_names(root) == PD_OK;
}

/* What cluster.json is to say of the new cluster's only member, so that `pando start` need not be
 * told. The texts stay the caller's. false: the node can have no such name, or address. */
static bool describe(const struct pd_cluster_backup *backup, const uint8_t *key,
                     struct pd_members_file *members)
{
    struct pd_kv_member *member = &members->members[0];
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member back = {0};
    *member = (struct pd_kv_member){.node = pd_members_node_of(key), .peer_count = 1};
    memcpy(member->key, key, sizeof member->key);
    member->peers[0] =
        (struct pd_span){(const uint8_t *)backup->listen_peer, strlen(backup->listen_peer)};
    if (backup->name != NULL) {
        member->name = (struct pd_span){(const uint8_t *)backup->name, strlen(backup->name)};
    }
    members->count = 1;
    pd_kv_member_encode(&writer, member);
    return !writer.is_full &&
           pd_kv_member_decode((struct pd_span){room, writer.size}, &back) == PD_OK;
}

static int restore_into(const struct pd_cluster_backup *backup, struct pd_host *host,
                        struct pd_disk *root, int file)
{
    static struct pd_server_peers_net peers; /* too large for a frame, as the next one */
    static struct pd_members_file members;
    struct pd_server_peers_config identity = {0};
    char text[PD_RESTORE_TEXT_MAX];
    uint8_t key[PD_TRANSPORT_KEY_SIZE];
    pd_server_peers_net_use(&peers, host, &identity);
    struct pd_restore_report report;
    const struct pd_backup_source source = {.read = read_some, .state = &file};
    struct pd_restore_config config = {
        .host = host, .folder = backup->folder, .root = root, .raise = raise_of(backup, host)};
    if (!put_mark(root)) {
        return pd_command_failed("cannot write into '%s': %s", backup->folder, strerror(errno));
    }
    if (identity.identify(identity.state, backup->folder, true, key, text, sizeof text) != PD_OK) {
        return pd_command_failed("%s", text);
    }
    config.node_id = pd_members_node_of(key);
    config.segment_bytes = backup->log_segment;
    if (backup->listen_peer != NULL) {
        bool is_good = describe(backup, key, &members);
        pd_assert(is_good); /* it was before anything was made */
        config.members = &members;
    }
    if (pd_server_restore(&config, &source, &report, text) != PD_OK) {
        return pd_command_failed("'%s' is not restored: %s", backup->file, text);
    }
    (void)root->ops->remove(root, MARK); /* beside a node that is whole it says nothing */
    print_restored(backup, &report);
    return PD_EXIT_CODE_OK;
}

/* Before anything is made. */
static int judge_node(const struct pd_cluster_backup *backup)
{
    static struct pd_members_file members; /* too large for a frame */
    const uint8_t any_key[PD_KV_MEMBER_KEY_SIZE] = {0};
    char host[PD_RESOLVE_HOST_MAX];
    uint16_t port = 0;
    if (backup->name != NULL && backup->listen_peer == NULL) {
        return pd_command_failed("--name is for a node that others reach: say where, by "
                                 "--listen-peer; a node alone is given its name by `pando start`");
    }
    if (backup->log_segment % MIB != 0) {
        return pd_command_failed("--log-segment takes whole MiB");
    }
    if (backup->listen_peer == NULL) {
        return PD_EXIT_CODE_OK;
    }
    if (!pd_host_split_place(backup->listen_peer, host, &port) || port == 0) {
        return pd_command_failed("--listen-peer takes HOST:PORT, a name or an address in numbers");
    }
    return describe(backup, any_key, &members)
               ? PD_EXIT_CODE_OK
               : pd_command_failed("a node's name has at most %u letters without spaces, an "
                                   "address %u",
                                   PD_KV_MEMBER_NAME_MAX, PD_KV_MEMBER_ADDRESS_MAX);
}

int pd_cluster_restore(const struct pd_cluster_backup *backup)
{
    struct pd_backup_about about = {0};
    struct pd_real_host *real = NULL;
    struct pd_disk *root = NULL;
    int code = judge_node(backup);
    code = code == PD_EXIT_CODE_OK ? verify(backup->file, &about) : code;
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    if (!is_free(backup->folder)) {
        return pd_command_failed("'%s' is not empty: a snapshot is restored into an empty or a new "
                                 "folder",
                                 backup->folder);
    }
    int file = open(backup->file, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return pd_command_failed("cannot read '%s': %s", backup->file, strerror(errno));
    }
    enum pd_status status = pd_host_disk_open(backup->folder, true, &root);
    if (status != PD_OK) {
        code = pd_command_failed("cannot use the folder '%s': %s", backup->folder,
                                 status == PD_ERR_EXISTS ? "another process holds it"
                                                         : strerror(errno));
    } else if (pd_real_host_create(1, 4, &real) != PD_OK) {
        code = pd_command_failed("no memory or threads");
    } else {
        code = restore_into(backup, pd_real_host_interface(real), root, file);
        pd_real_host_destroy(real);
    }
    if (root != NULL) {
        root->ops->close_disk(root);
    }
    (void)close(file);
    return code;
}

/* -- Recover ----------------------------------------------------------------------------------- */

static bool answers(void *state, const struct pd_kv_member *member)
{
    bool is_there = false;
    for (uint32_t i = 0; i < member->peer_count && !is_there; i++) {
        char text[PD_KV_MEMBER_ADDRESS_MAX + 1];
        char unknown[PD_RESOLVE_TEXT_MAX];
        struct pd_transport_address address;
        int size = snprintf(text, sizeof text, "%.*s", (int)member->peers[i].size,
                            (const char *)member->peers[i].bytes);
        is_there = size > 0 && (size_t)size < sizeof text &&
                   pd_host_resolve(text, &address, unknown) == PD_OK &&
                   pd_dialer_dial(state, member->key, &address);
    }
    (void)fprintf(stderr, "pando: member %016" PRIx64 " %s\n", member->node,
                  is_there ? "answers" : "does not answer");
    return is_there;
}

static void print_recovered(const struct pd_cluster_backup *backup,
                            const struct pd_recover_report *report)
{
    if (!backup->is_json) {
        (void)printf("kept      every entry of this node's log up to %" PRIu64 " of term %" PRIu64
                     "\n"
                     "before    cluster %016" PRIx64 ", %" PRIu32 " voters, of which %" PRIu32
                     " others answer\n",
                     report->last_index, report->last_term, report->old_cluster_id, report->voters,
                     report->answering);
    }
    print_restored(backup, &report->restored);
}

static int recover(const struct pd_cluster_backup *backup, struct pd_host *host)
{
    static struct pd_dialer dialer;
    char text[PD_RESTORE_TEXT_MAX];
    char why[PD_DIALER_TEXT_MAX];
    struct pd_recover_report report;
    if (pd_dialer_open(&dialer, host, why) != PD_OK) {
        return pd_command_failed("the other members cannot be asked: %s", why);
    }
    const struct pd_recover_config config = {.host = host,
                                             .folder = backup->folder,
                                             .raise = raise_of(backup, host),
                                             .answers = answers,
                                             .state = &dialer};
    enum pd_status status = pd_server_recover(&config, &report, text);
    pd_dialer_close(&dialer);
    if (status != PD_OK) {
        return pd_command_failed("%s", text);
    }
    if (report.was_pending) {
        (void)printf("an earlier restore or recover was cut short in its last step: it is ended "
                     "now\ntry       pando start --data %s\n",
                     backup->folder);
    } else {
        print_recovered(backup, &report);
    }
    return PD_EXIT_CODE_OK;
}

int pd_cluster_recover(const struct pd_cluster_backup *backup)
{
    struct pd_real_host *real = NULL;
    if (pd_real_host_create(1, 16, &real) != PD_OK) {
        return pd_command_failed("no memory or threads");
    }
    int code = recover(backup, pd_real_host_interface(real));
    pd_real_host_destroy(real);
    return code;
}
