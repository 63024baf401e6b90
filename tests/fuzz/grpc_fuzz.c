/* HTTP/2 and gRPC from a peer that means no good. Input that begins with an even byte goes to the
 * server as it is, behind HTTP/2's preface; else it tells an HTTP/2 client which streams to open,
 * what to send on them and when to reset them, so that the bytes get past the header tables. */
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "gateway/grpc.h"

#define PENDING_MAX 64u
#define STREAMS_MAX 64u

struct body {
    const uint8_t *bytes;
    size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct pd_backend backend;
static struct pd_service *service;
static struct pd_grpc_shared shared;
static uint64_t pending[PENDING_MAX];
static uint32_t pending_count;
static struct body bodies[STREAMS_MAX];

static uint64_t now_ns(const struct pd_backend *unused)
{
    (void)unused;
    return 1;
}

static enum pd_status submit(struct pd_backend *unused, uint64_t correlation,
                             const struct pd_backend_request *request)
{
    (void)unused;
    (void)request;
    if (pending_count == PENDING_MAX) {
        return PD_ERR_FULL;
    }
    pending[pending_count++] = correlation;
    return PD_OK;
}

static void cancel(struct pd_backend *unused, uint64_t correlation, enum pd_backend_kind kind)
{
    (void)unused;
    (void)correlation;
    (void)kind;
}

static void credit(struct pd_backend *unused, uint64_t correlation, uint32_t bytes, bool progress)
{
    (void)unused;
    (void)correlation;
    (void)bytes;
    (void)progress;
}

static const struct pd_backend_ops backend_ops = {
    .submit = submit, .cancel = cancel, .credit = credit};

static void wants_output(void *connection)
{
    (void)connection;
}

/* All that waits is told that there is no leader. */
static void answer_all(void)
{
    const struct pd_backend_answer answer = {.outcome = PD_BACKEND_NO_LEADER};
    while (pending_count > 0) {
        pd_service_answered(service, pending[--pending_count], &answer);
    }
}

static void drop_output(struct pd_grpc *grpc)
{
    while (pd_grpc_protocol.output(grpc).size > 0) {
    }
}

static void raw(struct pd_grpc *grpc, const uint8_t *bytes, size_t size)
{
    static const uint8_t preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    enum pd_status status =
        pd_grpc_protocol.receive(grpc, (struct pd_span){preface, sizeof preface - 1}, 1);
    size_t at = 0;
    while (at < size && status == PD_OK) {
        size_t part = 1 + bytes[at] % 64u;
        part = part < size - at ? part : size - at;
        status = pd_grpc_protocol.receive(grpc, (struct pd_span){bytes + at, part}, 1);
        at += part;
        drop_output(grpc);
    }
    answer_all();
    drop_output(grpc);
}

/* -- With a client ----------------------------------------------------------------------------- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct body *body = source->ptr;
    (void)session;
    (void)id;
    (void)user;
    size_t part = body->size < room ? body->size : room;
    if (part > 0) {
        memcpy(to, body->bytes, part);
    }
    body->bytes += part;
    body->size -= part;
    if (body->size == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)part;
}

static nghttp2_nv pair(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = strlen(value)};
}

static void open_stream(nghttp2_session *client, uint8_t which, struct body *body)
{
    uint32_t count = 0;
    while (pd_service_method_at(count) != NULL) {
        count++;
    }
    const struct pd_service_method *method = pd_service_method_at(which % (count + 1));
    /* The header in the middle is of the input, and may be none that HTTP has. */
    size_t name_size = body->size > 0 && which % 2 == 0 ? body->bytes[0] % 16u : 0;
    name_size = name_size + 1 < body->size ? name_size : 0;
    size_t value_size = name_size == 0 ? 0 : body->size - name_size - 1;
    value_size = value_size < 32 ? value_size : 32;
    const nghttp2_nv from_input = {.name = (uint8_t *)(uintptr_t)body->bytes + 1,
                                   .value = (uint8_t *)(uintptr_t)body->bytes + 1 + name_size,
                                   .namelen = name_size,
                                   .valuelen = value_size};
    const nghttp2_nv pairs[] = {
        pair(":method", which == 255 ? "GET" : "POST"),
        pair(":scheme", "http"),
        name_size > 0 ? from_input : pair(":authority", "http://localhost"),
        pair(":path", method == NULL ? "/x" : method->path),
        pair("content-type", which == 254 ? "text/plain" : "application/grpc"),
        pair("grpc-timeout", which % 5 == 0 ? "1S" : "oops"),
    };
    nghttp2_data_provider provider = {.source.ptr = body, .read_callback = read_body};
    (void)nghttp2_submit_request(client, NULL, pairs, which % 3 == 0 ? 6 : 5, &provider, NULL);
}

static bool send_all(nghttp2_session *client, struct pd_grpc *grpc, size_t step)
{
    const uint8_t *bytes = NULL;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(client, &bytes)) > 0) {
        for (size_t at = 0; at < (size_t)size; at += step) {
            size_t part = (size_t)size - at < step ? (size_t)size - at : step;
            if (pd_grpc_protocol.receive(grpc, (struct pd_span){bytes + at, part}, 1) != PD_OK) {
                return false;
            }
        }
        struct pd_span out;
        while ((out = pd_grpc_protocol.output(grpc)).size > 0) {
            if (nghttp2_session_mem_recv(client, out.bytes, out.size) < 0) {
                return false;
            }
        }
    }
    return size == 0;
}

static void with_client(struct pd_grpc *grpc, const uint8_t *bytes, size_t size)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session *client = NULL;
    int result = nghttp2_session_callbacks_new(&callbacks);
    pd_assert(result == 0);
    result = nghttp2_session_client_new(&client, callbacks, NULL);
    pd_assert(result == 0);
    nghttp2_session_callbacks_del(callbacks);
    (void)nghttp2_submit_settings(client, NGHTTP2_FLAG_NONE, NULL, 0);
    size_t at = 0;
    uint32_t streams = 0;
    bool is_good = true;
    while (at + 4 <= size && is_good && streams < STREAMS_MAX) {
        uint8_t what = bytes[at];
        uint8_t which = bytes[at + 1];
        size_t length = (size_t)bytes[at + 2] | (size_t)(bytes[at + 3] & 3u) << 8;
        at += 4;
        length = length < size - at ? length : size - at;
        if (what % 4 != 0) {
            bodies[streams] = (struct body){bytes + at, length};
            open_stream(client, which, &bodies[streams++]);
            at += length;
        } else {
            (void)nghttp2_submit_rst_stream(client, NGHTTP2_FLAG_NONE, (int32_t)which,
                                            NGHTTP2_CANCEL);
        }
        is_good = send_all(client, grpc, 1 + what);
        if (what % 7 == 0) {
            answer_all();
        }
        pd_grpc_protocol.expire(grpc, what % 11 == 0 ? UINT64_C(2000000000) : 1);
    }
    answer_all();
    (void)send_all(client, grpc, 1000);
    nghttp2_session_del(client);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct pd_service_config services = pd_service_config_default();
    backend = (struct pd_backend){.ops = &backend_ops, .now_ns = now_ns};
    services.backend = &backend;
    services.waits_max = 100;
    services.arena_max = (size_t)4 << 20;
    shared = (struct pd_grpc_shared){.config = pd_grpc_config_default()};
    shared.config.streams_max = 16;
    shared.config.input_bytes_max = 100000;
    shared.config.header_bytes_max = 2000;
    shared.config.message_bytes_max = 2000;
    pending_count = 0;
    enum pd_status status = pd_service_open(&services, &service);
    pd_assert(status == PD_OK);
    shared.service = service;
    const struct pd_protocol_owner owner = {.wants_output = wants_output};
    struct pd_grpc *grpc = pd_grpc_open(&shared, &owner);
    pd_assert(grpc != NULL);
    if (size > 0 && bytes[0] % 2 == 0) {
        raw(grpc, bytes + 1, size - 1);
    } else if (size > 0) {
        with_client(grpc, bytes + 1, size - 1);
    }
    pd_grpc_protocol.close(grpc);
    pd_assert(shared.input_bytes == 0);
    pd_service_close(service);
    return 0;
}
