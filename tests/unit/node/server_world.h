/* server_world - a server with its real threads, files and clock in a folder of its own, and a
 * client of it that waits for each answer. */
#ifndef PD_TEST_SERVER_WORLD_H
#define PD_TEST_SERVER_WORLD_H

#include "node/server.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "host/real.h"
#include "support/remove_tree.h"

#define SECOND_NS UINT64_C(1000000000)
#define PATH_SIZE 512
#define ANSWER_MAX 4096

static struct pd_real_host *real;
static struct pd_host *host;
static char folder[PATH_SIZE];

static inline int set_up(void **state)
{
    (void)state;
    assert_int_equal(pd_real_host_create(1, 16, &real), PD_OK);
    host = pd_real_host_interface(real);
    (void)snprintf(folder, sizeof folder, "%s/pando-server-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    (void)remove_tree(folder);
    pd_real_host_destroy(real);
    return 0;
}

static inline const char *inside(const char *name)
{
    static char path[PATH_SIZE + 64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline void write_file(const char *name, const char *text)
{
    FILE *file = fopen(inside(name), "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline struct pd_server_config small_config(void)
{
    struct pd_server_config config = pd_server_config_default();
    config.folder = folder;
    config.host = host;
    config.wal.segment_bytes = 16u << 20;
    config.disk_low_bytes = 0;
    config.replica.kv.overlay_bytes = 64u << 20;
    config.replica.kv.cache_bytes = 1u << 20;
    return config;
}

static inline struct pd_server *open_with(const struct pd_server_config *config)
{
    char text[PD_SERVER_TEXT_MAX];
    struct pd_server *server = NULL;
    enum pd_status status = pd_server_open(config, text, &server);
    if (status != PD_OK) {
        print_error("%s: %s\n", pd_status_text(status), text);
    }
    assert_int_equal(status, PD_OK);
    assert_string_equal(text, "");
    assert_true(pd_server_wait_ready(server, pd_host_now_ns(host) + 60 * SECOND_NS));
    return server;
}

static inline struct pd_server *open_server(void)
{
    struct pd_server_config config = small_config();
    return open_with(&config);
}

/* Opening fails with this status, and the words hold `wanted`. */
static inline void refuses(enum pd_status wanted_status, const char *wanted)
{
    struct pd_server_config config = small_config();
    char text[PD_SERVER_TEXT_MAX];
    struct pd_server *server = NULL;
    enum pd_status status = pd_server_open(&config, text, &server);
    if (status != wanted_status || strstr(text, wanted) == NULL) {
        print_error("%d instead of %d: '%s' instead of '%s'\n", status, wanted_status, text,
                    wanted);
    }
    assert_int_equal(status, wanted_status);
    assert_non_null(strstr(text, wanted));
    assert_null(server);
}

/* -- A client that waits ----------------------------------------------------------------------- */

struct caller {
    struct pd_server_client client;
    struct pd_server *server;
    struct pd_event event; /* an answer has come */
    struct pd_event gone;  /* the core is done with it */
    uint64_t correlation;
    uint64_t answers; /* the core's, looked at when the event has come */
    atomic_bool is_closed;
    size_t size;
    uint8_t bytes[ANSWER_MAX];
};

static inline void on_answer(struct pd_server_client *client, uint64_t correlation,
                             struct pd_span bytes)
{
    struct caller *caller = pd_container_of(client, struct caller, client);
    assert_int_equal(correlation, caller->correlation);
    assert_true(bytes.size <= sizeof caller->bytes);
    memcpy(caller->bytes, bytes.bytes, bytes.size);
    caller->size = bytes.size;
    caller->answers++;
    host->ops->event_set(host, &caller->event);
}

static inline void on_closed(struct pd_server_client *client)
{
    struct caller *caller = pd_container_of(client, struct caller, client);
    assert_false(atomic_load(&caller->is_closed));
    atomic_store(&caller->is_closed, true);
    host->ops->event_set(host, &caller->gone);
}

static inline void open_caller(struct pd_server *server, struct caller *caller)
{
    memset(caller, 0, sizeof *caller);
    caller->client.answer = on_answer;
    caller->client.closed = on_closed;
    caller->server = server;
    assert_int_equal(pd_server_client_open(server, &caller->client), PD_OK);
}

static inline void wait_for(struct pd_event *event)
{
    assert_true(host->ops->event_wait(host, event, pd_host_now_ns(host) + 60 * SECOND_NS));
}

static inline void close_caller(struct caller *caller)
{
    pd_server_client_close(caller->server, &caller->client);
    wait_for(&caller->gone);
}

static inline enum pd_status submit(struct caller *caller,
                                    const struct pd_replica_request_head *head)
{
    uint8_t bytes[ANSWER_MAX];
    assert_true(PD_REPLICA_REQUEST_HEAD_SIZE + head->body.size <= sizeof bytes);
    pd_replica_request_put_head(bytes, head);
    if (head->body.size > 0) {
        memcpy(bytes + PD_REPLICA_REQUEST_HEAD_SIZE, head->body.bytes, head->body.size);
    }
    caller->correlation++;
    return pd_server_submit(
        caller->server, &caller->client, caller->correlation,
        (struct pd_span){bytes, PD_REPLICA_REQUEST_HEAD_SIZE + head->body.size});
}

static inline struct pd_replica_answer_head call(struct caller *caller,
                                                 enum pd_replica_request_kind kind,
                                                 struct pd_span body)
{
    struct pd_replica_request_head head = {.kind = kind, .body = body};
    struct pd_replica_answer_head answer;
    assert_int_equal(submit(caller, &head), PD_OK);
    wait_for(&caller->event);
    assert_int_equal(
        pd_replica_answer_decode((struct pd_span){caller->bytes, caller->size}, &answer), PD_OK);
    return answer;
}

static inline struct pd_span span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

static inline enum pd_replica_outcome try_put(struct caller *caller, const char *key,
                                              const char *value, int64_t lease)
{
    uint8_t room[ANSWER_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_encode_put(&writer,
                     &(struct pd_kv_put){.key = span(key), .value = span(value), .lease = lease});
    return call(caller, PD_REPLICA_REQUEST_WRITE, (struct pd_span){room, writer.size}).outcome;
}

static inline void put(struct caller *caller, const char *key, const char *value)
{
    assert_int_equal(try_put(caller, key, value, 0), PD_REPLICA_OK);
}

static inline void del(struct caller *caller, const char *key)
{
    uint8_t room[ANSWER_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    pd_kv_encode_delete(&writer, &(struct pd_kv_delete){.key = span(key)});
    struct pd_replica_answer_head answer =
        call(caller, PD_REPLICA_REQUEST_WRITE, (struct pd_span){room, writer.size});
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
}

/* NULL: there is no such key. Good until the next call. */
static inline const char *get(struct caller *caller, const char *key)
{
    static char value[ANSWER_MAX];
    uint8_t room[ANSWER_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_reader reader;
    struct pd_kv_answer_head head;
    struct pd_kv_record record;
    pd_kv_encode_range(&writer, &(struct pd_kv_range){.key = span(key)});
    struct pd_replica_answer_head answer =
        call(caller, PD_REPLICA_REQUEST_READ, (struct pd_span){room, writer.size});
    assert_int_equal(answer.outcome, PD_REPLICA_OK);
    pd_kv_reader_init(&reader, answer.body);
    pd_kv_answer_head(&reader, &head);
    assert_int_equal(head.error, PD_KV_OK);
    if (!pd_kv_answer_record(&reader, &record)) {
        return NULL;
    }
    (void)snprintf(value, sizeof value, "%.*s", (int)record.value.size,
                   (const char *)record.value.bytes);
    return value;
}

#endif
