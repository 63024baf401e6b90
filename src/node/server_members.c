#include "node/server_members.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

#define NAME PD_SERVER_MEMBERS_NAME

/* -- Reading ----------------------------------------------------------------------------------- */

enum pd_status pd_server_members_read(struct pd_server *server)
{
    struct pd_members_file *known = &server->peers.known;
    char why[128];
    enum pd_status status = pd_members_file_read_as(server->root, NAME, why, sizeof why, known);
    if (status == PD_ERR_NO_MEMORY) {
        return status;
    }
    if (status == PD_OK && known->cluster_id != server->identity.cluster_id) {
        pd_members_file_deinit(known);
        (void)snprintf(why, sizeof why, "it is of another cluster");
        status = PD_ERR_CORRUPT;
    } else if (status == PD_OK && known->index == 0) {
        pd_members_file_deinit(known);
        (void)snprintf(why, sizeof why, "it does not say as of which entry it is");
        status = PD_ERR_CORRUPT;
    }
    if (status != PD_OK && status != PD_ERR_UNKNOWN) {
        char text[PD_SERVER_TEXT_MAX];
        pd_server_say(text, "'%s/" NAME "' is passed over (%s), and will be written anew",
                      server->folder, status == PD_ERR_CORRUPT ? why : pd_status_text(status));
        pd_server_note(server, text);
    }
    return PD_OK;
}

/* -- Writing ----------------------------------------------------------------------------------- */

static size_t encode(uint8_t room[PD_KV_MEMBER_BYTES_MAX], const struct pd_kv_member *member)
{
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = PD_KV_MEMBER_BYTES_MAX};
    pd_kv_member_encode(&writer, member);
    pd_assert(!writer.is_full); /* it was decoded */
    return writer.size;
}

static bool is_same(const struct pd_members_file *a, const struct pd_members_file *b)
{
    uint8_t one[PD_KV_MEMBER_BYTES_MAX];
    uint8_t other[PD_KV_MEMBER_BYTES_MAX];
    bool is_equal = a->count == b->count && a->cluster_id == b->cluster_id;
    for (uint32_t i = 0; i < a->count && is_equal; i++) {
        size_t size = encode(one, &a->members[i]);
        is_equal = a->members[i].node == b->members[i].node &&
                   encode(other, &b->members[i]) == size && memcmp(one, other, size) == 0;
    }
    return is_equal;
}

/* Texts stay the store's. Workers hold no state that could be asked for. */
static void collect(struct pd_server *server, struct pd_members_file *file)
{
    const struct pd_kv *kv = pd_replica_kv(server->replica);
    struct pd_kv_member member = {0};
    file->index = pd_kv_applied_index(kv);
    file->cluster_id = server->identity.cluster_id;
    file->start = PD_MEMBERS_START_BEGUN;
    while (file->count < PD_MEMBERS_FILE_MAX && pd_kv_member_next(kv, member.node, &member)) {
        if (member.role != PD_KV_MEMBER_WORKER) {
            struct pd_kv_member *row = &file->members[file->count++];
            *row = member;
            row->version = 0; /* it changes often, and is nothing that a dialer needs */
            row->program = (struct pd_span){NULL, 0};
        }
    }
}

static size_t texts_size(const struct pd_members_file *file)
{
    return (size_t)file->count * PD_KV_MEMBER_BYTES_MAX; /* each text is in its row's bytes */
}

void pd_server_members_follow(struct pd_server *server)
{
    struct pd_server_peers *peers = &server->peers;
    /* A state that is being taken over names some of the members: it stays due meanwhile. */
    bool may_be =
        peers->known_is_due && !peers->known_is_written && pd_replica_has_state(server->replica);
    struct pd_members_file *fresh = may_be ? pd_alloc_zeroed(1, sizeof *fresh) : NULL;
    if (fresh == NULL) {
        return; /* or with the next turn */
    }
    peers->known_is_due = false;
    collect(server, fresh);
    if (fresh->count > 0 && fresh->index > 0 && !is_same(fresh, &peers->known) &&
        (fresh->texts = pd_alloc(texts_size(fresh))) != NULL) {
        pd_members_file_own(fresh, texts_size(fresh));
        pd_members_file_deinit(&peers->known);
        peers->known = *fresh;
        peers->known_is_written = true;
        pd_server_push(server->host, &server->writer.queue, &server->writer.members.message);
    }
    pd_free(fresh);
}

enum pd_status pd_server_members_write(struct pd_server *server)
{
    return pd_members_file_write_as(server->root, NAME, &server->peers.known);
}

void pd_server_members_written(struct pd_server *server, enum pd_status status)
{
    server->peers.known_is_written = false;
    if (status != PD_OK) {
        char text[PD_SERVER_TEXT_MAX];
        pd_server_say(text, "cannot write '%s/" NAME "': %s", server->folder,
                      pd_status_text(status));
        pd_server_note(server, text);
    }
}
