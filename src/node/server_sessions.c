/* What clients from outside take of sessions: session_shares.h, with this node's state. */
#include <string.h>

#include "base/assert.h"
#include "kv/codec.h"
#include "node/server_internal.h"

static uint64_t answers_of(const void *state, uint64_t id)
{
    return pd_kv_session_answers_bytes(state, id);
}

/* false: there is no state yet, or no more. */
static bool look(const struct pd_server *server, struct pd_session_view *view_out)
{
    struct pd_kv_status kv;
    if (server->has_failed || server->is_stopping || !pd_replica_has_state(server->replica)) {
        return false;
    }
    pd_kv_status(pd_replica_kv(server->replica), &kv);
    *view_out =
        (struct pd_session_view){.now_ns = server->now_ns,
                                 .session_count = kv.session_count,
                                 .sessions_max = server->config.replica.kv.sessions_max,
                                 .answers_bytes = kv.answers_bytes,
                                 .answers_bytes_max = server->config.replica.kv.answers_bytes_max,
                                 .answers_of = answers_of,
                                 .state = pd_replica_kv(server->replica)};
    return true;
}

static void refuse(struct pd_server *server, const struct pd_server_request *request,
                   enum pd_session_verdict verdict)
{
    static const char text[] = "clients keep as many sessions, or answers in them, as they may: "
                               "try again";
    uint8_t room[PD_REPLICA_ANSWER_HEAD_SIZE + sizeof text + 64];
    struct pd_kv_writer writer = {.bytes = room + PD_REPLICA_ANSWER_HEAD_SIZE, .bytes_max = 64};
    struct pd_replica_answer_head head = {.outcome = PD_REPLICA_BUSY,
                                          .leader = pd_replica_leader(server->replica)};
    size_t size = sizeof text - 1;
    if (verdict == PD_SESSION_TOO_MANY) {
        head.outcome = PD_REPLICA_OK;
        pd_kv_answer_put_head(
            &writer,
            &(struct pd_kv_answer_head){.error = PD_KV_ERR_SESSIONS_FULL,
                                        .revision = pd_kv_revision(pd_replica_kv(server->replica)),
                                        .kind = PD_KV_ANSWER_NONE});
        size = writer.size;
    } else {
        memcpy(writer.bytes, text, size);
    }
    pd_replica_answer_put_head(room, &head);
    pd_server_answer(server, request->client_id, request->correlation,
                     (struct pd_span){room, PD_REPLICA_ANSWER_HEAD_SIZE + size});
}

bool pd_server_sessions_refuse(struct pd_server *server, struct pd_server_place *place,
                               struct pd_server_request *request)
{
    struct pd_session_view view;
    if (place == NULL || !place->client->is_outside || !look(server, &view)) {
        return false;
    }
    enum pd_session_verdict verdict =
        pd_session_shares_ask(&server->shares, &place->share, request->correlation, request->bytes,
                              &request->size, &view);
    if (verdict != PD_SESSION_PASSES) {
        refuse(server, request, verdict);
    }
    return verdict != PD_SESSION_PASSES;
}

/* Nobody waits for its answer. */
static void close_session(void *state, uint64_t id)
{
    struct pd_server *server = state;
    uint8_t room[PD_REPLICA_REQUEST_HEAD_SIZE + 64];
    struct pd_kv_writer writer = {.bytes = room + PD_REPLICA_REQUEST_HEAD_SIZE, .bytes_max = 64};
    pd_kv_command_encode(&writer,
                         &(struct pd_kv_command){.kind = PD_KV_SESSION_CLOSE, .id = (int64_t)id});
    pd_assert(!writer.is_full);
    pd_replica_request_put_head(
        room, &(struct pd_replica_request_head){.kind = PD_REPLICA_REQUEST_WRITE});
    size_t size = PD_REPLICA_REQUEST_HEAD_SIZE + writer.size;
    if (pd_replica_leads(server->replica)) {
        pd_replica_request(server->replica, 0, PD_FORWARD_CLIENT_SELF, UINT64_MAX, room, size);
    } else {
        (void)pd_forwards_own(&server->peers.forwards, room, size);
    }
}

void pd_server_sessions_tick(struct pd_server *server)
{
    struct pd_session_view view;
    if (look(server, &view) && pd_replica_leader(server->replica) != 0) {
        pd_session_shares_look(&server->shares, &view, close_session, server);
    }
}
