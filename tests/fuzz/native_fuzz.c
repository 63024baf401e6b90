/* Any bytes at the client port behind the native preface, in any pieces, between answers of any
 * size: the backend is given the frames that are in them, each whole, once and in order; the peer
 * is given the answers, and no more is kept than the bounds say. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/list.h"
#include "gateway/native.h"
#include "node/gateway_peers.h"
#include "node/replica_request.h"

#define FRAME_MAX 300u
#define INPUT_MAX 600u
#define OUTPUT_SOFT 2000u
#define OUTPUT_MAX ((size_t)1 << 15)
#define FRAME_NS 1000u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

struct input {
    const uint8_t *bytes;
    size_t size;
};

static struct pd_backend backend;
static struct pd_backend_peer *peer;
static const uint8_t *stream; /* what the peer has sent, and how far it was given on */
static size_t sent;
static size_t given;
static uint8_t expected[OUTPUT_MAX]; /* what the peer is to be told, and how far it was */
static size_t expected_size;
static size_t told;
static uint8_t last[FRAME_MAX];

static uint64_t backend_now_ns(const struct pd_backend *unused)
{
    (void)unused;
    return 1;
}

static enum pd_status peer_open(struct pd_backend *unused, struct pd_backend_peer *opened)
{
    (void)unused;
    peer = opened;
    return PD_OK;
}

/* What may be asked at this port is told from any bytes. */
static void judge(struct pd_span bytes)
{
    struct pd_replica_request_head head;
    if (pd_gateway_peers_may_ask(bytes)) {
        enum pd_status status = pd_replica_request_decode(bytes, &head);
        pd_assert(status == PD_OK);
        pd_assert(head.kind != PD_REPLICA_REQUEST_ADD_LEARNER &&
                  head.kind != PD_REPLICA_REQUEST_REMOVE &&
                  head.kind != PD_REPLICA_REQUEST_SNAPSHOT);
    }
}

static void peer_submit(struct pd_backend *unused, struct pd_backend_peer *from,
                        uint64_t correlation, struct pd_span bytes)
{
    (void)unused;
    pd_assert(from == peer && bytes.size <= FRAME_MAX);
    pd_assert(sent - given >= 12 + bytes.size);
    pd_assert(pd_get_u32(stream + given) == bytes.size);
    pd_assert(pd_get_u64(stream + given + 4) == correlation);
    pd_assert(bytes.size == 0 || memcmp(stream + given + 12, bytes.bytes, bytes.size) == 0);
    given += 12 + bytes.size;
    judge(bytes);
}

static void peer_close(struct pd_backend *unused, struct pd_backend_peer *closed)
{
    (void)unused;
    pd_assert(closed == peer);
    peer = NULL;
}

static const struct pd_backend_ops backend_ops = {
    .peer_open = peer_open, .peer_submit = peer_submit, .peer_close = peer_close};

static void wants_output(void *connection)
{
    ++*(uint64_t *)connection;
}

static uint8_t take(struct input *input)
{
    if (input->size == 0) {
        return 0;
    }
    input->size--;
    return *input->bytes++;
}

static void answer(struct input *input)
{
    size_t size = (size_t)take(input) * (take(input) % 4u);
    if (expected_size + 12 + size > OUTPUT_MAX) {
        return;
    }
    uint64_t correlation = take(input);
    size = size < sizeof last ? size : sizeof last;
    pd_put_u32(expected + expected_size, (uint32_t)size);
    pd_put_u64(expected + expected_size + 4, correlation);
    memcpy(expected + expected_size + 12, last, size);
    expected_size += 12 + size;
    peer->answered(peer, correlation, (struct pd_span){last, size});
}

static void read_output(struct pd_native *native)
{
    struct pd_span bytes = pd_native_protocol.output(native);
    pd_assert(bytes.size <= expected_size - told);
    pd_assert(bytes.size == 0 || memcmp(bytes.bytes, expected + told, bytes.size) == 0);
    told += bytes.size;
}

/* false: the connection is to end. */
static bool receive(struct pd_native *native, struct input *input, struct pd_native_shared *shared)
{
    size_t size = 1 + take(input);
    size = size < input->size ? size : input->size;
    struct pd_span bytes = {input->bytes, size};
    /* The stream is what the connection was given: the script's own bytes are in between. */
    uint8_t *grown = realloc((void *)(uintptr_t)stream, sent + size + 1);
    pd_assert(grown != NULL);
    if (size > 0) {
        memcpy(grown + sent, bytes.bytes, size);
    }
    stream = grown;
    sent += size;
    input->bytes += size;
    input->size -= size;
    enum pd_status status = pd_native_protocol.receive(native, bytes, 1);
    bool is_part = sent - given < 12 || sent - given - 12 < pd_get_u32(stream + given);
    bool is_bad = sent - given >= 12 && pd_get_u32(stream + given) > FRAME_MAX;
    pd_assert(is_bad == (status == PD_ERR_INVALID));
    pd_assert(is_bad || is_part);
    pd_assert(shared->input_bytes == sent - given);
    pd_assert(status != PD_OK || shared->input_bytes <= INPUT_MAX);
    uint64_t deadline_ns = pd_native_protocol.deadline_ns(native);
    pd_assert((deadline_ns == UINT64_MAX) == (sent == given));
    return status == PD_OK;
}

static void run(struct input *input, struct pd_native_shared *shared)
{
    uint64_t wanted = 0;
    const struct pd_protocol_owner owner = {wants_output, &wanted};
    struct pd_native *native = pd_native_open(shared, &owner);
    pd_assert(native != NULL);
    bool goes_on = true;
    while (goes_on && input->size > 0) {
        uint8_t what = take(input) % 8u;
        if (what < 4) {
            goes_on = receive(native, input, shared);
        } else if (what < 6) {
            answer(input);
        } else {
            read_output(native);
        }
        pd_assert(pd_native_protocol.is_full(native) == (expected_size - told > OUTPUT_SOFT) ||
                  what >= 6);
        goes_on = goes_on && !pd_native_protocol.has_ended(native);
    }
    pd_native_protocol.close(native);
    pd_assert(peer == NULL && shared->input_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    struct pd_service *service = NULL;
    struct pd_service_config config = pd_service_config_default();
    backend = (struct pd_backend){.ops = &backend_ops, .now_ns = backend_now_ns};
    config.backend = &backend;
    enum pd_status status = pd_service_open(&config, &service);
    pd_assert(status == PD_OK);
    struct pd_native_shared shared = {.config = {.frame_bytes_max = FRAME_MAX,
                                                 .input_bytes_max = INPUT_MAX,
                                                 .output_bytes_soft = OUTPUT_SOFT,
                                                 .frame_ns = FRAME_NS},
                                      .service = service,
                                      .backend = &backend};
    sent = 0;
    given = 0;
    expected_size = 0;
    told = 0;
    run(&input, &shared);
    free((void *)(uintptr_t)stream);
    stream = NULL;
    pd_service_close(service);
    return 0;
}
