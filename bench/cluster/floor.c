/* gateway-floor: the etcd API with nothing behind it. Every write and every read of a key is
 * answered at once, with the same bytes that a node would send, from nowhere: no core, no log, no
 * store, no other thread. What etcd's benchmark reaches against it is what the load and gRPC
 * themselves allow on this machine.
 *
 *     gateway-floor PORT        until it is ended by a signal */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gateway/gateway.h"

#define ANSWERS_MAX 65536u
#define VALUE_SIZE 256u
#define BODY_MAX 1024u

struct floor {
    struct pd_backend backend; /* first: the gateway gives it back */
    struct pd_backend_events events;
    struct {
        uint64_t correlation;
        bool is_write;
    } due[ANSWERS_MAX];
    uint32_t due_count;
    int64_t revision;
};

static struct floor *floor_of(struct pd_backend *backend)
{
    return (struct floor *)(void *)backend;
}

static uint64_t now_ns(const struct pd_backend *backend)
{
    struct timespec now;
    (void)backend;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void attach(struct pd_backend *backend, const struct pd_backend_events *events)
{
    floor_of(backend)->events = *events;
}

static enum pd_status submit(struct pd_backend *backend, uint64_t correlation,
                             const struct pd_backend_request *request)
{
    struct floor *floor = floor_of(backend);
    if (floor->due_count == ANSWERS_MAX) {
        return PD_ERR_FULL;
    }
    floor->due[floor->due_count].correlation = correlation;
    floor->due[floor->due_count++].is_write = request->kind == PD_BACKEND_WRITE;
    return PD_OK;
}

static void write_answer(struct floor *floor, bool is_write, struct pd_kv_writer *writer)
{
    static const uint8_t value[VALUE_SIZE];
    floor->revision += is_write;
    pd_kv_answer_put_head(writer, &(struct pd_kv_answer_head){
                                      .revision = floor->revision,
                                      .kind = is_write ? PD_KV_ANSWER_PUT : PD_KV_ANSWER_RANGE});
    if (!is_write) {
        pd_kv_answer_put_record(writer, &(struct pd_kv_record){.key = {(const uint8_t *)"AA", 2},
                                                               .value = {value, sizeof value},
                                                               .create_revision = 2,
                                                               .mod_revision = 2,
                                                               .version = 1});
    }
    pd_kv_answer_put_end(writer);
    if (!is_write) {
        pd_kv_answer_put_number(writer, 0); /* no more */
        pd_kv_answer_put_number(writer, 1);
    }
}

/* What is asked for meanwhile is answered with the rest. */
static void submitted(struct pd_backend *backend)
{
    struct floor *floor = floor_of(backend);
    for (uint32_t at = 0; at < floor->due_count; at++) {
        uint8_t body[BODY_MAX];
        struct pd_kv_writer writer = {.bytes = body, .bytes_max = sizeof body};
        write_answer(floor, floor->due[at].is_write, &writer);
        const struct pd_backend_answer answer = {
            .outcome = PD_BACKEND_OK, .leader = 1, .term = 1, .body = {body, writer.size}};
        floor->events.answered(floor->events.state, floor->due[at].correlation, &answer);
    }
    floor->due_count = 0;
}

static void drain(struct pd_backend *backend)
{
    (void)backend;
}

static void cancel(struct pd_backend *backend, uint64_t correlation, enum pd_backend_kind kind)
{
    (void)backend;
    (void)correlation;
    (void)kind;
}

static void credit(struct pd_backend *backend, uint64_t correlation, uint32_t bytes, bool progress)
{
    (void)backend;
    (void)correlation;
    (void)bytes;
    (void)progress;
}

static uint64_t deadline_ns(const struct pd_backend *backend)
{
    (void)backend;
    return UINT64_MAX;
}

static void expire(struct pd_backend *backend, uint64_t now)
{
    (void)backend;
    (void)now;
}

static void detach(struct pd_backend *backend)
{
    (void)backend;
}

static const struct pd_backend_ops ops = {.attach = attach,
                                          .submit = submit,
                                          .submitted = submitted,
                                          .cancel = cancel,
                                          .credit = credit,
                                          .drain = drain,
                                          .deadline_ns = deadline_ns,
                                          .expire = expire,
                                          .detach = detach};

int main(int argc, char **argv)
{
    static struct floor floor = {
        .backend = {.ops = &ops, .cluster_id = 1, .member_id = 1, .now_ns = now_ns}, .revision = 2};
    struct pd_gateway_config config = pd_gateway_config_default();
    struct pd_gateway *gateway = NULL;
    char text[PD_GATEWAY_TEXT_MAX];
    char *end = NULL;
    unsigned long port = argc == 2 ? strtoul(argv[1], &end, 10) : 0;
    if (port == 0 || port > UINT16_MAX || *end != '\0') {
        fprintf(stderr, "usage: gateway-floor PORT\n");
        return 2;
    }
    config.address = "127.0.0.1";
    config.port = (uint16_t)port;
    config.service.backend = &floor.backend;
    if (pd_gateway_open(&config, text, &gateway) != PD_OK) {
        fprintf(stderr, "gateway-floor: %s\n", text);
        return 1;
    }
    pd_gateway_run(gateway);
    pd_gateway_close(gateway);
    return 0;
}
