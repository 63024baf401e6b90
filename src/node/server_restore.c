#include "node/server_restore.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/disk.h"
#include "host/tree.h"
#include "node/server_internal.h"
#include "raft/wire.h"
#include "store/rocks.h"

#define PATH_SIZE 4096u
#define WRITES_MAX 4096u /* rows of one batch */

struct restoring {
    const struct pd_restore_config *config;
    char *text;
    struct pd_store *store;
    struct pd_kv_raise raise;
    bool has_head;
    struct pd_raft_conf conf;
    uint8_t conf_bytes[PD_RAFT_WIRE_CONF_SIZE_MAX];
    size_t conf_size;
    struct pd_store_write *writes;
    uint32_t write_count;
};

static void say(char *text, const char *format, ...) PD_PRINTF(2, 3);

static void say(char *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, PD_RESTORE_TEXT_MAX, format, arguments);
    va_end(arguments);
}

static enum pd_status path_of(const struct pd_restore_config *config, const char *name,
                              char path[PATH_SIZE])
{
    return (size_t)snprintf(path, PATH_SIZE, "%s/%s", config->folder, name) < PATH_SIZE
               ? PD_OK
               : PD_ERR_INVALID;
}

/* -- The store --------------------------------------------------------------------------------- */

static enum pd_status flush_writes(struct restoring *restoring, uint64_t index)
{
    struct pd_store *store = restoring->store;
    enum pd_status status =
        restoring->write_count == 0
            ? PD_OK
            : store->ops->apply(store, restoring->writes, restoring->write_count, index);
    restoring->write_count = 0;
    return status;
}

/* As for a transfer's rows, the store counts as empty until its index is written. */
static enum pd_status visit_rows(struct restoring *restoring, const struct pd_snapshot_chunk *chunk)
{
    struct pd_span key;
    struct pd_span value;
    size_t at = 0;
    enum pd_status status = PD_OK;
    while (status == PD_OK && pd_snapshot_row(chunk, &at, &key, &value)) {
        bool stays = false;
        status = pd_kv_raise_row(&restoring->raise, key, value, &stays);
        if (status == PD_OK && stays) {
            restoring->writes[restoring->write_count++] =
                (struct pd_store_write){PD_STORE_PUT, key, value};
            if (restoring->write_count == WRITES_MAX) {
                status = flush_writes(restoring, 0);
            }
        }
    }
    return status == PD_OK ? flush_writes(restoring, 0) : status; /* the rows are borrowed */
}

static enum pd_status visit(void *state, const struct pd_snapshot_chunk *chunk)
{
    struct restoring *restoring = state;
    switch (chunk->kind) {
    case PD_SNAPSHOT_HEAD:
        restoring->has_head = true;
        return pd_kv_raise_init(&restoring->raise, &restoring->config->raise, chunk->head.meta);
    case PD_SNAPSHOT_ROWS:
        return visit_rows(restoring, chunk);
    case PD_SNAPSHOT_END:
        break;
    }
    return PD_OK;
}

static enum pd_status end_store(struct restoring *restoring)
{
    uint8_t meta[PD_KV_META_SIZE];
    enum pd_status status = pd_kv_raise_end(&restoring->raise, meta);
    if (status != PD_OK) {
        say(restoring->text, "its records are not what their hash says: the node that wrote it had "
                             "a damaged store");
        return status;
    }
    restoring->writes[0] =
        (struct pd_store_write){PD_STORE_PUT, {(const uint8_t *)"m", 1}, {meta, sizeof meta}};
    restoring->writes[1] = (struct pd_store_write){
        PD_STORE_PUT, {(const uint8_t *)"r", 1}, {restoring->conf_bytes, restoring->conf_size}};
    restoring->write_count = 2;
    status = flush_writes(restoring, restoring->raise.to.index);
    return status == PD_OK ? restoring->store->ops->flush(restoring->store) : status;
}

static enum pd_status build_store(struct restoring *restoring,
                                  const struct pd_backup_source *source,
                                  struct pd_backup_about *about_out)
{
    char path[PATH_SIZE];
    char why[PD_STORE_ROCKS_TEXT_MAX] = "";
    char wrong[PD_BACKUP_TEXT_MAX] = "";
    struct pd_store_rocks_config config = pd_store_rocks_config_default();
    config.group_size = pd_kv_row_group_size;
    enum pd_status status = path_of(restoring->config, PD_SERVER_SWITCH_STORE, path);
    if (status == PD_OK) {
        status = pd_store_rocks_open(path, &config, why, &restoring->store);
    }
    if (status != PD_OK) {
        say(restoring->text, "cannot make the store '%s': %s", path,
            why[0] != '\0' ? why : pd_status_text(status));
        return status == PD_ERR_CORRUPT ? PD_ERR_IO : status;
    }
    status = pd_backup_file_read(source, visit, restoring, about_out, wrong);
    if (status == PD_OK) {
        status = end_store(restoring);
    } else if (status == PD_ERR_RANGE) {
        say(restoring->text, "its revision is too large to be raised by that much");
    } else {
        say(restoring->text, "%s", wrong);
    }
    restoring->store->ops->close(restoring->store);
    return status;
}

/* -- The log ----------------------------------------------------------------------------------- */

static enum pd_status nothing_is_there(void *state, const struct pd_wal_record *record)
{
    (void)state;
    (void)record;
    return PD_ERR_CORRUPT;
}

/* It begins right behind the state: as when a snapshot has taken the place of a log. */
static enum pd_status begin_log(struct restoring *restoring, struct pd_wal *wal)
{
    uint32_t group = pd_replica_config_default().raft.group_id;
    const struct pd_wal_record records[] = {
        {.type = PD_WAL_HARD_STATE,
         .group_id = group,
         .index = restoring->raise.to.index,
         .term = restoring->raise.to.term},
        {.type = PD_WAL_SNAPSHOT,
         .group_id = group,
         .index = restoring->raise.to.index,
         .term = restoring->raise.to.term,
         .payload = {restoring->conf_bytes, restoring->conf_size}},
    };
    enum pd_status status = pd_wal_write(wal, records, sizeof records / sizeof records[0]);
    return status == PD_OK ? pd_wal_sync(wal) : status;
}

static enum pd_status build_log(struct restoring *restoring, uint64_t identity,
                                uint64_t segment_bytes)
{
    char path[PATH_SIZE];
    struct pd_disk *disk = NULL;
    struct pd_wal *wal = NULL;
    struct pd_wal_report report = {.text = ""};
    struct pd_wal_config config = pd_wal_config_default();
    config.identity = identity;
    config.segment_bytes = segment_bytes;
    config.reserve_bytes = 0;
    enum pd_status status = path_of(restoring->config, PD_SERVER_SWITCH_LOG, path);
    status = status == PD_OK ? pd_host_disk_open(path, true, &disk) : status;
    if (status == PD_OK) {
        status = pd_wal_open(disk, &config, nothing_is_there, NULL, &report, &wal);
        status = status == PD_OK ? begin_log(restoring, wal) : status;
        pd_wal_close(wal);
        disk->ops->close_disk(disk);
    }
    if (status != PD_OK) {
        say(restoring->text, "cannot make the log '%s': %s", path,
            report.text[0] != '\0' ? report.text : pd_status_text(status));
    }
    return status;
}

/* -- All of it --------------------------------------------------------------------------------- */

enum pd_status pd_server_restore_clear(const char *folder)
{
    static const char *const names[] = {PD_SERVER_SWITCH_LOG, PD_SERVER_SWITCH_STORE,
                                        PD_SERVER_SWITCH_MEMBERS};
    enum pd_status status = PD_OK;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == PD_OK; i++) {
        char path[PATH_SIZE];
        status = (size_t)snprintf(path, sizeof path, "%s/%s", folder, names[i]) < sizeof path
                     ? pd_host_tree_remove(path)
                     : PD_ERR_INVALID;
    }
    return status;
}

static enum pd_status put_members(const struct pd_restore_config *config)
{
    if (config->members == NULL) {
        return PD_OK;
    }
    config->members->start = PD_MEMBERS_START_BEGUN;
    return pd_members_file_write_as(config->root, PD_SERVER_SWITCH_MEMBERS, config->members);
}

static enum pd_status build(struct restoring *restoring, const struct pd_backup_source *source,
                            struct pd_restore_report *report)
{
    const struct pd_restore_config *config = restoring->config;
    uint64_t random[2];
    struct pd_host *host = config->host;
    host->ops->entropy(host, (uint8_t *)random, sizeof random);
    report->cluster_id = random[0];
    const struct pd_server_identity identity = {
        .cluster_id = random[0],
        .node_id = config->node_id,
        .log_identity = random[1],
        .segment_bytes = config->segment_bytes != 0 ? config->segment_bytes
                                                    : pd_wal_config_default().segment_bytes,
        .has_begun = true};
    enum pd_status status = build_store(restoring, source, &report->about);
    if (status != PD_OK) {
        return status;
    }
    report->to = restoring->raise.to;
    status = build_log(restoring, identity.log_identity, identity.segment_bytes);
    if (status != PD_OK) {
        return status;
    }
    if (config->members != NULL) {
        config->members->cluster_id = identity.cluster_id;
    }
    status = put_members(config);
    status = status == PD_OK ? pd_server_switch(config->root, &identity) : status;
    if (status != PD_OK) {
        say(restoring->text, "cannot put the new state in its place in '%s': %s", config->folder,
            errno != 0 ? strerror(errno) : pd_status_text(status));
    }
    return status;
}

enum pd_status pd_server_restore(const struct pd_restore_config *config,
                                 const struct pd_backup_source *source,
                                 struct pd_restore_report *report_out,
                                 char text[PD_RESTORE_TEXT_MAX])
{
    struct restoring restoring = {.config = config, .text = text};
    text[0] = '\0';
    *report_out = (struct pd_restore_report){0};
    restoring.conf.voters[0] = config->node_id;
    restoring.conf.voter_count = 1;
    restoring.conf_size = pd_raft_wire_conf_put(restoring.conf_bytes, &restoring.conf);
    restoring.writes = pd_alloc_zeroed(WRITES_MAX, sizeof *restoring.writes);
    enum pd_status status =
        restoring.writes == NULL ? PD_ERR_NO_MEMORY : pd_server_restore_clear(config->folder);
    if (status == PD_OK) {
        status = build(&restoring, source, report_out);
    } else {
        say(text, "cannot clear what an earlier attempt left in '%s': %s", config->folder,
            strerror(errno));
    }
    if (restoring.has_head) {
        pd_kv_raise_deinit(&restoring.raise);
    }
    if (status == PD_ERR_CORRUPT || status == PD_ERR_RANGE) {
        enum pd_status cleared = pd_server_restore_clear(config->folder);
        (void)cleared; /* the next attempt clears it */
    }
    pd_free(restoring.writes);
    return status;
}
