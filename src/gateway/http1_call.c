/* The API as JSON: POST /v3/..., with the paths, names and errors that etcd's JSON gateway has.
 *
 * A streaming call takes its messages as JSON values, one behind the other, as soon as each is
 * whole; its responses are lines {"result":...}, an error is one {"error":...} behind them. */
#include <string.h>

#include "base/assert.h"
#include "gateway/http1_internal.h"
#include "gateway/json.h"
#include "gateway/json_reader.h"

/* Where etcd has them. */
static const struct {
    const char *path;
    const char *method;
} routes[] = {
    {"/v3/kv/range", "/etcdserverpb.KV/Range"},
    {"/v3/kv/put", "/etcdserverpb.KV/Put"},
    {"/v3/kv/deleterange", "/etcdserverpb.KV/DeleteRange"},
    {"/v3/kv/txn", "/etcdserverpb.KV/Txn"},
    {"/v3/kv/compaction", "/etcdserverpb.KV/Compact"},
    {"/v3/watch", "/etcdserverpb.Watch/Watch"},
    {"/v3/lease/grant", "/etcdserverpb.Lease/LeaseGrant"},
    {"/v3/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"},
    {"/v3/kv/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"},
    {"/v3/lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive"},
    {"/v3/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"},
    {"/v3/kv/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"},
    {"/v3/lease/leases", "/etcdserverpb.Lease/LeaseLeases"},
    {"/v3/kv/lease/leases", "/etcdserverpb.Lease/LeaseLeases"},
    {"/v3/cluster/member/add", "/etcdserverpb.Cluster/MemberAdd"},
    {"/v3/cluster/member/remove", "/etcdserverpb.Cluster/MemberRemove"},
    {"/v3/cluster/member/update", "/etcdserverpb.Cluster/MemberUpdate"},
    {"/v3/cluster/member/list", "/etcdserverpb.Cluster/MemberList"},
    {"/v3/cluster/member/promote", "/etcdserverpb.Cluster/MemberPromote"},
    {"/v3/maintenance/alarm", "/etcdserverpb.Maintenance/Alarm"},
    {"/v3/maintenance/status", "/etcdserverpb.Maintenance/Status"},
    {"/v3/maintenance/defragment", "/etcdserverpb.Maintenance/Defragment"},
    {"/v3/maintenance/hash", "/etcdserverpb.Maintenance/Hash"},
    {"/v3/maintenance/hashkv", "/etcdserverpb.Maintenance/HashKV"},
    {"/v3/maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot"},
    {"/v3/maintenance/transfer-leadership", "/etcdserverpb.Maintenance/MoveLeader"},
    {"/v3/maintenance/downgrade", "/etcdserverpb.Maintenance/Downgrade"},
    {"/v3/lock/lock", "/v3lockpb.Lock/Lock"},
    {"/v3/lock/unlock", "/v3lockpb.Lock/Unlock"},
    {"/v3/election/campaign", "/v3electionpb.Election/Campaign"},
    {"/v3/election/proclaim", "/v3electionpb.Election/Proclaim"},
    {"/v3/election/leader", "/v3electionpb.Election/Leader"},
    {"/v3/election/observe", "/v3electionpb.Election/Observe"},
    {"/v3/election/resign", "/v3electionpb.Election/Resign"},
    {"/v3/auth/status", "/etcdserverpb.Auth/AuthStatus"},
    {"/v3/auth/enable", "/etcdserverpb.Auth/AuthEnable"},
    {"/v3/auth/disable", "/etcdserverpb.Auth/AuthDisable"},
    {"/v3/auth/authenticate", "/etcdserverpb.Auth/Authenticate"},
    {"/v3/auth/user/add", "/etcdserverpb.Auth/UserAdd"},
    {"/v3/auth/user/get", "/etcdserverpb.Auth/UserGet"},
    {"/v3/auth/user/list", "/etcdserverpb.Auth/UserList"},
    {"/v3/auth/user/delete", "/etcdserverpb.Auth/UserDelete"},
    {"/v3/auth/user/changepw", "/etcdserverpb.Auth/UserChangePassword"},
    {"/v3/auth/user/grant", "/etcdserverpb.Auth/UserGrantRole"},
    {"/v3/auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole"},
    {"/v3/auth/role/add", "/etcdserverpb.Auth/RoleAdd"},
    {"/v3/auth/role/get", "/etcdserverpb.Auth/RoleGet"},
    {"/v3/auth/role/list", "/etcdserverpb.Auth/RoleList"},
    {"/v3/auth/role/delete", "/etcdserverpb.Auth/RoleDelete"},
    {"/v3/auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission"},
    {"/v3/auth/role/revoke", "/etcdserverpb.Auth/RoleRevokePermission"},
};

#define ROUTE_COUNT (sizeof routes / sizeof routes[0])

static struct pd_span span_of(const char *words)
{
    return (struct pd_span){(const uint8_t *)words, strlen(words)};
}

const struct pd_service_method *pd_http1_route(struct pd_span path)
{
    /* As etcd has them still: "/v3beta/" for "/v3/". */
    static const char beta[] = "/v3beta/";
    char room[64];
    size_t rest = path.size < sizeof beta ? 0 : path.size - (sizeof beta - 1);
    if (rest > 0 && rest <= sizeof room - 4 && memcmp(path.bytes, beta, sizeof beta - 1) == 0) {
        memcpy(room, "/v3/", 4);
        memcpy(room + 4, path.bytes + sizeof beta - 1, rest);
        path = (struct pd_span){(const uint8_t *)room, 4 + rest};
    }
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strlen(routes[i].path) == path.size &&
            memcmp(routes[i].path, path.bytes, path.size) == 0) {
            return pd_service_find(span_of(routes[i].method));
        }
    }
    return NULL;
}

const char *pd_http1_route_at(uint32_t index, struct pd_span *method_path_out)
{
    if (index >= ROUTE_COUNT) {
        return NULL;
    }
    *method_path_out = span_of(routes[index].method);
    return routes[index].path;
}

static bool is_stream(const struct pd_http1 *http)
{
    return http->method->client_streams || http->method->server_streams;
}

/* -- Responses --------------------------------------------------------------------------------- */

static bool on_response(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct pd_http1 *http = pd_service_context(call);
    struct pd_text *answer = &http->answer;
    pd_text_reset(answer);
    if (!is_stream(http)) {
        pd_json_encode(message, answer);
        return true;
    }
    pd_text_puts(answer, "{\"result\":");
    pd_json_encode(message, answer);
    pd_text_puts(answer, "}\n");
    if (answer->has_failed) {
        http->ends = true; /* an answer that cannot be told must not look like none */
        return false;
    }
    pd_http1_stream(http, 200, pd_text_span(answer));
    http->is_held = http->output.size - http->output_at > http->shared->config.output_bytes_soft;
    return !http->is_held;
}

static void stream_ended(struct pd_http1 *http, enum pd_service_code code, const char *text)
{
    struct pd_text *answer = &http->answer;
    pd_text_reset(answer);
    if (code != PD_CODE_OK) {
        pd_text_format(answer, "{\"error\":{\"code\":%d,\"message\":", (int)code);
        pd_json_encode_string(text, answer);
        pd_text_puts(answer, "}}\n");
    }
    pd_http1_stream(http, pd_http1_status_of(code), pd_text_span(answer));
    pd_http1_stream_end(http);
}

static void on_ended(struct pd_service_call *call, enum pd_service_code code, const char *text)
{
    struct pd_http1 *http = pd_service_context(call);
    http->call = NULL;
    http->is_held = false;
    if (http->phase != PD_HTTP1_ANSWERING) {
        pd_http1_cut(http); /* what the client still sends belongs to nothing */
    }
    if (is_stream(http)) {
        stream_ended(http, code, text);
    } else if (code != PD_CODE_OK) {
        pd_http1_answer_code(http, pd_http1_status_of(code), "", code, text);
    } else if (!pd_http1_has_room(http)) {
        pd_http1_answer_code(http, 429, "", PD_CODE_RESOURCE_EXHAUSTED,
                             "etcdserver: too many requests");
    } else if (http->answer.has_failed) {
        pd_http1_answer_code(http, 429, "", PD_CODE_RESOURCE_EXHAUSTED,
                             "etcdserver: answer is too large");
    } else {
        pd_http1_answer(http, 200, PD_HTTP1_JSON, "", pd_text_span(&http->answer));
    }
}

static void on_roomy(struct pd_service_call *call)
{
    struct pd_http1 *http = pd_service_context(call);
    http->is_roomy = true; /* not from within the service's own work */
    http->owner.wants_output(http->owner.connection);
}

static const struct pd_service_carrier carrier = {
    .response = on_response, .ended = on_ended, .roomy = on_roomy};

/* -- Requests ---------------------------------------------------------------------------------- */

/* Before the call has said anything, or instead of it. */
static void fail(struct pd_http1 *http, enum pd_service_code code, const char *text)
{
    if (http->call != NULL) {
        struct pd_service_call *call = http->call;
        http->call = NULL;
        http->is_held = false;
        pd_service_cancel(call);
    }
    if (http->phase != PD_HTTP1_ANSWERING) {
        pd_http1_cut(http);
    }
    if (is_stream(http)) {
        stream_ended(http, code, text);
    } else {
        pd_http1_answer_code(http, pd_http1_status_of(code), "", code, text);
    }
}

void pd_http1_call_begin(struct pd_http1 *http)
{
    http->call =
        pd_service_begin(http->shared->service, http->method, &carrier, http, &http->client);
    if (http->call == NULL) {
        fail(http, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return;
    }
    struct pd_span wants_leader = pd_http1_header(http, PD_HTTP1_HEADER_HASLEADER);
    if (wants_leader.size == 4 && memcmp(wants_leader.bytes, "true", 4) == 0) {
        (void)pd_service_require_leader(http->call); /* else it is answered */
    }
}

/* One message's JSON. */
static void give(struct pd_http1 *http, struct pd_span json)
{
    char words[PD_JSON_WORDS_MAX];
    ProtobufCMessage *message = NULL;
    struct pd_arena *arena = pd_service_arena(http->shared->service);
    enum pd_status status = pd_json_decode(http->method->request, json, arena, &message, words);
    http->has_called = true;
    if (status == PD_OK) {
        pd_service_request(http->call, message);
    } else {
        fail(http, status == PD_ERR_INVALID ? PD_CODE_INVALID_ARGUMENT : PD_CODE_RESOURCE_EXHAUSTED,
             words);
    }
}

/* How far the value that begins at the body's front goes; 0: not whole yet. Only an object is a
 * message; whatever else comes is handed to the decoder, which says so. */
static size_t find_value(struct pd_http1 *http)
{
    const struct pd_text *body = &http->body;
    for (; http->value.at < body->size; http->value.at++) {
        uint8_t byte = body->bytes[http->value.at];
        if (http->value.is_in_string) {
            bool ends = byte == '"' && !http->value.is_escaped;
            http->value.is_escaped = byte == '\\' && !http->value.is_escaped;
            http->value.is_in_string = !ends;
        } else if (byte == '"') {
            http->value.is_in_string = true;
        } else if (byte == '{' || byte == '[') {
            http->value.depth++;
        } else if (byte == '}' || byte == ']') {
            http->value.depth -= http->value.depth > 0;
            if (http->value.depth == 0) {
                return http->value.at + 1;
            }
        }
    }
    return 0;
}

static void drop_front(struct pd_http1 *http, size_t size)
{
    struct pd_text *body = &http->body;
    if (size > 0) {
        memmove(body->bytes, body->bytes + size, body->size - size);
        body->size -= size;
        http->value.at -= size;
    }
}

void pd_http1_call_take(struct pd_http1 *http)
{
    size_t taken = 0;
    size_t end = 0;
    while (http->call != NULL && !pd_service_is_full(http->call) && (end = find_value(http)) > 0) {
        give(http, (struct pd_span){http->body.bytes + taken, end - taken});
        taken = end;
        http->value.at = end;
    }
    drop_front(http, taken); /* once: there may be a hundred thousand of them */
    if (http->call == NULL) {
        pd_text_reset(&http->body); /* who has ended takes anything, and looks at none */
    }
}

static void half_close(struct pd_http1 *http)
{
    if (http->call != NULL && !http->is_half_closed) {
        http->is_half_closed = true;
        pd_service_half_close(http->call);
    }
}

/* Of a streaming call: everything that came was taken, or is not a value. */
static void end_stream(struct pd_http1 *http)
{
    if (!http->method->client_streams && !http->has_called) {
        give(http, pd_text_span(&http->body));
        pd_text_reset(&http->body);
    }
    pd_http1_call_take(http);
    if (http->call == NULL || pd_service_is_full(http->call)) {
        return; /* ended, or goes on when there is room */
    }
    if (!pd_json_is_blank(pd_text_span(&http->body))) {
        give(http, pd_text_span(&http->body)); /* it is no whole value: the decoder says why */
        pd_text_reset(&http->body);
    }
    half_close(http);
}

void pd_http1_call_end(struct pd_http1 *http)
{
    pd_assert(http->phase == PD_HTTP1_ANSWERING);
    if (http->call == NULL) {
        return;
    }
    if (is_stream(http)) {
        end_stream(http);
        return;
    }
    if (!http->has_called) {
        give(http, pd_text_span(&http->body));
        pd_text_reset(&http->body);
    }
    half_close(http);
}
