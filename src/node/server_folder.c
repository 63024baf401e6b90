/* A node's folder: who it belongs to, and its store. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/disk_has.h"
#include "host/disk.h"
#include "host/folder.h"
#include "node/json_fields.h"
#include "node/members.h"
#include "node/server_internal.h"
#include "node/server_members.h"

#define NAME PD_SERVER_IDENTITY_NAME
#define NEW_NAME "node.json.new"
#define CONDEMNED_NAME PD_SERVER_CONDEMNED_NAME
#define FORMAT 1
#define TEXT_MAX 512u
#define NAMES_MAX 256u
#define ASIDE_MAX 1000u

/* -- node.json --------------------------------------------------------------------------------- */

/* False: not what identity_write writes. */
static bool parse(const char *bytes, size_t size, struct pd_server_identity *identity)
{
    json_t *object = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL);
    const json_t *begun = json_object_get(object, "has_begun");
    bool is_good = object != NULL && json_is_boolean(begun) &&
                   json_integer_value(json_object_get(object, "format")) == FORMAT &&
                   pd_json_hex(object, "cluster", &identity->cluster_id) &&
                   pd_json_hex(object, "node", &identity->node_id) &&
                   pd_json_hex(object, "log", &identity->log_identity) && identity->node_id != 0;
    identity->has_begun = json_is_true(begun);
    identity->segment_bytes = (uint64_t)json_integer_value(json_object_get(object, "segment"));
    json_decref(object);
    return is_good;
}

enum pd_status pd_server_identity_put(struct pd_disk *root, const char *name,
                                      const struct pd_server_identity *identity)
{
    char text[TEXT_MAX];
    int size = snprintf(text, sizeof text,
                        "{\n  \"format\": %d,\n  \"cluster\": \"%016" PRIx64
                        "\",\n  \"node\": \"%016" PRIx64 "\",\n  \"log\": \"%016" PRIx64
                        "\",\n  \"segment\": %" PRIu64 ",\n  \"has_begun\": %s\n}\n",
                        FORMAT, identity->cluster_id, identity->node_id, identity->log_identity,
                        identity->segment_bytes, identity->has_begun ? "true" : "false");
    struct pd_disk_file file;
    enum pd_status status = root->ops->remove(root, NEW_NAME);
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        return status;
    }
    status = root->ops->create(root, NEW_NAME, &file);
    if (status != PD_OK) {
        return status;
    }
    status = root->ops->write(root, file, 0, (const uint8_t *)text, (size_t)size);
    status = status == PD_OK ? root->ops->sync(root, file) : status;
    root->ops->close(root, file);
    status = status == PD_OK ? root->ops->rename(root, NEW_NAME, name) : status;
    return status == PD_OK ? root->ops->sync_names(root) : status;
}

enum pd_status pd_server_identity_write(struct pd_server *server,
                                        const struct pd_server_identity *identity)
{
    return pd_server_identity_put(server->root, NAME, identity);
}

enum pd_status pd_server_identity_get(struct pd_disk *root, struct pd_server_identity *identity_out)
{
    struct pd_disk_file file;
    uint64_t whole = 0;
    enum pd_status status = root->ops->open(root, NAME, &file, &whole);
    if (status != PD_OK) {
        return status;
    }
    char bytes[TEXT_MAX];
    size_t size = 0;
    status = root->ops->read(root, file, 0, (uint8_t *)bytes, sizeof bytes, &size);
    root->ops->close(root, file);
    bool is_good = status == PD_OK && whole < TEXT_MAX && parse(bytes, size, identity_out);
    return status == PD_OK && !is_good ? PD_ERR_CORRUPT : status;
}

/* PD_ERR_UNKNOWN: there is none. */
static enum pd_status read_identity(struct pd_server *server, struct pd_server_identity *identity,
                                    char *text)
{
    enum pd_status status = pd_server_identity_get(server->root, identity);
    if (status == PD_ERR_CORRUPT) {
        pd_server_say(text,
                      "'%s/" NAME
                      "' is not what this version writes: it is damaged, or of a newer version. "
                      "Restore it from a copy; nothing was changed",
                      server->folder);
    } else if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        pd_server_say(text, "cannot read '%s/" NAME "': %s", server->folder, strerror(errno));
    }
    return status;
}

/* -- The folder -------------------------------------------------------------------------------- */

/* What a folder may hold that is to become a node's. */
static bool may_stand_before(const char *name)
{
    static const char *const names[] = {NEW_NAME,
                                        "lost+found",
                                        PD_MEMBERS_FILE_NAME,
                                        PD_MEMBERS_FILE_NEW_NAME,
                                        PD_SERVER_MEMBERS_NAME,
                                        PD_SERVER_KEY_NAME};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    /* A key that was not finished: host/key_file.c. */
    static const char early[] = PD_SERVER_KEY_NAME ".new-";
    return strncmp(name, early, sizeof early - 1) == 0;
}

enum pd_status pd_server_folder_judge(struct pd_disk *root, const char *folder, char *text)
{
    struct pd_disk_name *names = pd_alloc_zeroed(NAMES_MAX, sizeof *names);
    if (names == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    uint32_t count = 0;
    enum pd_status status = root->ops->list(root, names, NAMES_MAX, &count);
    for (uint32_t i = 0; i < count && status == PD_OK; i++) {
        if (!may_stand_before(names[i].text)) {
            pd_server_say(text,
                          "'%s' holds '%s' and no " NAME
                          ": it is not a node's folder. Choose an empty or a "
                          "new one",
                          folder, names[i].text);
            status = PD_ERR_DENIED;
        }
    }
    if (status == PD_ERR_RANGE) {
        pd_server_say(
            text, "'%s' is full of files that are not a node's. Choose an empty or a new folder",
            folder);
        status = PD_ERR_DENIED;
    } else if (status != PD_OK && status != PD_ERR_DENIED) {
        pd_server_say(text, "cannot read the folder '%s': %s", folder, strerror(errno));
    }
    pd_free(names);
    return status;
}

static enum pd_status hold(struct pd_server *server, char *text)
{
    enum pd_status status = pd_host_disk_open(server->folder, true, &server->root);
    if (status == PD_ERR_EXISTS) {
        pd_server_say(text,
                      "'%s' is in use by another node; stop it first, or choose another folder",
                      server->folder);
    } else if (status == PD_ERR_UNKNOWN) {
        pd_server_say(text, "cannot make the folder '%s': the one above it does not exist",
                      server->folder);
    } else if (status != PD_OK) {
        pd_server_say(text, "cannot use the folder '%s': %s%s", server->folder, strerror(errno),
                      pd_host_folder_remedy(errno));
    }
    return status;
}

enum pd_status pd_server_folder_open(struct pd_server *server,
                                     struct pd_server_identity *identity_out, char *text)
{
    enum pd_status status = hold(server, text);
    if (status != PD_OK) {
        return status;
    }
    status = pd_server_switch_finish(server->root);
    if (status != PD_OK) {
        pd_server_say(
            text,
            "'%s' was being restored or recovered, and what is ready cannot be put in its place: "
            "%s",
            server->folder, strerror(errno));
        return status;
    }
    status = read_identity(server, identity_out, text);
    if (status == PD_OK) {
        status = pd_server_peers_identify(server, false, text);
        if (status == PD_OK && identity_out->has_begun) {
            status =
                pd_server_peers_begun(server); /* a copy of the file may have taken its place */
        }
        return status;
    }
    if (status != PD_ERR_UNKNOWN) {
        return status;
    }
    status = pd_server_folder_judge(server->root, server->folder, text);
    status = status == PD_OK ? pd_server_peers_identify(server, true, text) : status;
    if (status != PD_OK) {
        return status;
    }
    const struct pd_server_peers *peers = &server->peers;
    bool has_key = server->config.peers.identify != NULL;
    uint64_t random[2];
    server->host->ops->entropy(server->host, (uint8_t *)random, sizeof random);
    uint64_t cluster_id = peers->file.count > 0 ? peers->file.cluster_id : random[0];
    *identity_out =
        (struct pd_server_identity){.cluster_id = cluster_id,
                                    .node_id = has_key ? pd_members_node_of(peers->key) : 1,
                                    .log_identity = random[1],
                                    .segment_bytes = server->config.wal.segment_bytes,
                                    .has_begun = false};
    status = pd_server_identity_write(server, identity_out);
    if (status != PD_OK) {
        pd_server_say(text, "cannot write '%s/" NAME "': %s", server->folder, strerror(errno));
    }
    return status;
}

/* -- The store --------------------------------------------------------------------------------- */

/* The store's folder gets another name, and stays there for who wants to look into it. */
static enum pd_status put_aside(struct pd_server *server)
{
    struct pd_disk *root = server->root;
    enum pd_status status = PD_ERR_IO;
    for (uint32_t i = 1; i < ASIDE_MAX && status != PD_OK; i++) {
        char name[PD_DISK_NAME_MAX + 1];
        (void)snprintf(name, sizeof name, "store.damaged-%" PRIu32, i);
        status = root->ops->rename(root, "store", name); /* refused when that is there */
        if (status == PD_ERR_UNKNOWN) {
            return PD_OK; /* there is no store: nothing is in the way */
        }
    }
    return status == PD_OK ? root->ops->sync_names(root) : status;
}

void pd_server_store_condemn(struct pd_server *server)
{
    struct pd_disk *root = server->root;
    struct pd_disk_file file;
    if (root->ops->create(root, CONDEMNED_NAME, &file) == PD_OK) {
        root->ops->close(root, file);
        (void)root->ops->sync_names(root); /* not durable: it is found damaged once more */
    }
}

static bool is_condemned(struct pd_server *server)
{
    return pd_disk_has(server->root, CONDEMNED_NAME);
}

static enum pd_status open_rocks(struct pd_server *server, char *text)
{
    char path[PD_SERVER_TEXT_MAX];
    if ((size_t)snprintf(path, sizeof path, "%s/store", server->folder) >= sizeof path) {
        (void)snprintf(text, PD_STORE_ROCKS_TEXT_MAX, "its path is too long");
        return PD_ERR_INVALID;
    }
    enum pd_status status = pd_store_rocks_open(path, &server->config.store, text, &server->store);
    if (status == PD_OK && pd_host_disk_open(path, true, &server->writer.disk) != PD_OK) {
        (void)snprintf(text, PD_STORE_ROCKS_TEXT_MAX, "%s", strerror(errno));
        return PD_ERR_DENIED;
    }
    return status;
}

enum pd_status pd_server_store_open(struct pd_server *server, bool *is_lost_out, char *text)
{
    char why[PD_STORE_ROCKS_TEXT_MAX] = "";
    *is_lost_out = is_condemned(server);
    enum pd_status status = *is_lost_out ? PD_ERR_CORRUPT : open_rocks(server, why);
    if (status == PD_ERR_CORRUPT || status == PD_ERR_IO) {
        /* RocksDB calls many a damage an I/O error. If it is the disk, the new store fails too. */
        *is_lost_out = true;
        status = put_aside(server);
        if (status == PD_OK) {
            char again[PD_STORE_ROCKS_TEXT_MAX] = "";
            status = open_rocks(server, again);
            if (status != PD_OK) {
                (void)snprintf(why, sizeof why, "%s", again);
            }
        }
        if (status == PD_OK) {
            (void)server->root->ops->remove(server->root, CONDEMNED_NAME);
        }
    }
    if (status != PD_OK) {
        pd_server_say(text, "cannot open the store '%s/store': %s", server->folder,
                      why[0] != '\0' ? why : pd_status_text(status));
    }
    return status;
}
