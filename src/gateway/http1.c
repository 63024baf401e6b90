#include "gateway/http1.h"

#include <string.h>

#include "base/alloc.h"

struct pd_http1 {
    struct pd_protocol_owner owner;
    bool is_answered;
    bool is_given;
};

static const char answer[] = "HTTP/1.1 501 Not Implemented\r\n"
                             "Content-Type: text/plain\r\n"
                             "Content-Length: 75\r\n"
                             "Connection: close\r\n"
                             "\r\n"
                             "This port speaks gRPC (etcd v3): use etcdctl, or a client library of "
                             "etcd.\n";

static enum pd_status receive(void *state, struct pd_span bytes, uint64_t now_ns)
{
    struct pd_http1 *http = state;
    (void)bytes;
    (void)now_ns;
    if (!http->is_answered) {
        http->is_answered = true;
        http->owner.wants_output(http->owner.connection);
    }
    return PD_OK;
}

static struct pd_span output(void *state)
{
    struct pd_http1 *http = state;
    if (!http->is_answered || http->is_given) {
        return (struct pd_span){NULL, 0};
    }
    http->is_given = true;
    return (struct pd_span){(const uint8_t *)answer, sizeof answer - 1};
}

static bool has_ended(const void *state)
{
    const struct pd_http1 *http = state;
    return http->is_given;
}

static uint64_t deadline_ns(const void *state)
{
    (void)state;
    return UINT64_MAX;
}

static void expire(void *state, uint64_t now_ns)
{
    (void)state;
    (void)now_ns;
}

static void close_state(void *state)
{
    pd_free(state);
}

const struct pd_protocol pd_http1_protocol = {
    .receive = receive,
    .output = output,
    .has_ended = has_ended,
    .deadline_ns = deadline_ns,
    .expire = expire,
    .close = close_state,
};

struct pd_http1 *pd_http1_open(const struct pd_protocol_owner *owner)
{
    struct pd_http1 *http = pd_alloc_zeroed(1, sizeof *http);
    if (http != NULL) {
        http->owner = *owner;
    }
    return http;
}
