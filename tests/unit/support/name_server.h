/* name_server - a name server of a test's own, by UDP and TCP at one port of the loopback, on a
 * thread. What it answers is in the first label of a name, up to a hyphen:
 *
 *   ttl-N        192.0.2.7 with that TTL; no IPv6
 *   six          2001:db8::7; no IPv4
 *   both         both
 *   alias-N      CNAME with TTL N to real.test, that 192.0.2.7 with TTL 300
 *   held         as ttl-300, once it may
 *   silent       nothing
 *   none, fail   NXDOMAIN, SERVFAIL
 *   spoof        other ids, other questions, nothing and noise, by dozens; at last as ttl-300
 *   loop         CNAMEs in a circle
 *   pointer      a compressed name that points to itself
 *   wrong        the address of another name
 *   junk         many records are promised, none is there
 *   big          truncated; by TCP 4,000 addresses
 *   cut          truncated; by TCP a part of the answer, and the end
 *   drip         truncated; by TCP one byte of the answer, and silence
 *   noise-N      as both, or big by TCP, with bytes changed by that seed, not those of the id
 *   at           beneath inner.test as ttl-300; elsewhere NXDOMAIN */
#ifndef PD_TEST_SUPPORT_NAME_SERVER_H
#define PD_TEST_SUPPORT_NAME_SERVER_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME_SERVER_HEADER 12u
#define NAME_SERVER_TCP_MAX 16u
#define NAME_SERVER_SPOOFS 24 /* so many that the system keeps them all */
#define NAME_SERVER_HELD_MAX 256u
#define NAME_SERVER_A 1u
#define NAME_SERVER_CNAME 5u
#define NAME_SERVER_AAAA 28u

struct name_server_message {
    size_t size;
    uint8_t bytes[65537];
};

struct name_server {
    int udp;
    int tcp;
    int stop; /* an eventfd: also when held names may be answered */
    uint16_t port;
    pthread_t thread;
    char folder[64];
    char resolv_conf[96];
    struct pollfd connections[NAME_SERVER_TCP_MAX]; /* the thread's, like these: */
    uint32_t connection_count;
    struct name_server_message question;
    struct name_server_message answer;
    struct {
        struct sockaddr_in from;
        size_t size;
        uint8_t bytes[512];
    } held[NAME_SERVER_HELD_MAX];
    pthread_mutex_t lock; /* of the rest */
    pthread_cond_t is_asked;
    uint32_t asked;
    uint32_t held_count;
    bool may_answer;
    bool is_stopping;
};

static inline void name_server_put(struct name_server_message *to, const void *bytes, size_t size)
{
    if (to->size + size > sizeof to->bytes) {
        abort(); /* on a thread without a test */
    }
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
}

static inline void name_server_put_u16(struct name_server_message *to, unsigned value)
{
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    name_server_put(to, bytes, 2);
}

/* "a.test" as labels; how long they are. */
static inline size_t name_server_labels(const char *name, uint8_t labels[256])
{
    size_t size = 0;
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        labels[size++] = (uint8_t)label;
        memcpy(labels + size, name, label);
        size += label;
        name += label + (name[label] == '.' ? 1 : 0);
    }
    labels[size++] = 0;
    return size;
}

/* A record, of `owner` or, NULL, of whom was asked for. */
static inline void name_server_put_record(struct name_server_message *to, const char *owner,
                                          unsigned type, uint32_t ttl, const void *data,
                                          size_t size)
{
    if (owner == NULL) {
        name_server_put_u16(to, 0xc000u | NAME_SERVER_HEADER);
    } else {
        uint8_t labels[256];
        name_server_put(to, labels, name_server_labels(owner, labels));
    }
    name_server_put_u16(to, type);
    name_server_put_u16(to, 1);
    name_server_put_u16(to, ttl >> 16);
    name_server_put_u16(to, ttl & 0xffff);
    name_server_put_u16(to, (unsigned)size);
    name_server_put(to, data, size);
    unsigned count = (unsigned)to->bytes[6] << 8 | to->bytes[7];
    count++;
    to->bytes[6] = (uint8_t)(count >> 8);
    to->bytes[7] = (uint8_t)count;
}

static inline void name_server_put_address(struct name_server_message *to, const char *owner,
                                           uint32_t ttl, uint8_t last)
{
    const uint8_t ip[4] = {192, 0, 2, last};
    name_server_put_record(to, owner, NAME_SERVER_A, ttl, ip, sizeof ip);
}

static inline void name_server_put_alias(struct name_server_message *to, const char *owner,
                                         uint32_t ttl, const char *target)
{
    uint8_t labels[256];
    size_t size = name_server_labels(target, labels);
    name_server_put_record(to, owner, NAME_SERVER_CNAME, ttl, labels, size);
}

/* What was asked for: the name as text, where its labels end, its type. */
static inline bool name_server_read(const struct name_server_message *question, char name[256],
                                    size_t *end_out, unsigned *type_out)
{
    size_t at = NAME_SERVER_HEADER;
    size_t size = 0;
    while (at < question->size && question->bytes[at] != 0) {
        size_t label = question->bytes[at++];
        if (label > 63 || at + label > question->size || size + label + 1 > 254) {
            return false;
        }
        memcpy(name + size, question->bytes + at, label);
        size += label;
        name[size++] = '.';
        at += label;
    }
    if (size == 0 || at + 5 > question->size) {
        return false;
    }
    name[size - 1] = '\0';
    *type_out = (unsigned)question->bytes[at + 1] << 8 | question->bytes[at + 2];
    *end_out = at + 5;
    return true;
}

static inline bool name_server_is(const char *name, const char *kind)
{
    size_t size = strlen(kind);
    return strncmp(name, kind, size) == 0 && strchr("-.0123456789", name[size]) != NULL;
}

static inline uint32_t name_server_number(const char *name)
{
    const char *at = strchr(name, '-');
    return at == NULL ? 300 : (uint32_t)strtoul(at + 1, NULL, 10);
}

/* The records of `answer`, which is the question so far. */
static inline void name_server_fill(struct name_server_message *answer, const char *name,
                                    unsigned type, bool is_tcp)
{
    static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    bool is_v4 = type == NAME_SERVER_A;
    bool is_inner = strstr(name, ".inner.test") != NULL;
    if (name_server_is(name, "noise")) {
        name = is_tcp ? "big." : name_server_number(name) % 5 == 0 ? "cut." : "both.";
    }
    if (name_server_is(name, "none") || (name_server_is(name, "at") && !is_inner)) {
        answer->bytes[3] |= 3;
    } else if (name_server_is(name, "fail")) {
        answer->bytes[3] |= 2;
    } else if (name_server_is(name, "loop")) {
        name_server_put_alias(answer, NULL, 9, "round.test");
        name_server_put_alias(answer, "round.test", 9, name);
        name_server_put_alias(answer, name, 9, "round.test");
    } else if (name_server_is(name, "pointer")) {
        uint8_t self[2] = {(uint8_t)(0xc0u | (answer->size + 12) >> 8),
                           (uint8_t)(answer->size + 12)};
        name_server_put_record(answer, NULL, NAME_SERVER_CNAME, 9, self, sizeof self);
    } else if (name_server_is(name, "junk")) {
        answer->bytes[6] = 0xff;
        answer->bytes[7] = 0xff;
    } else if (name_server_is(name, "wrong") && is_v4) {
        name_server_put_address(answer, "other.test", 300, 66);
    } else if ((name_server_is(name, "big") || name_server_is(name, "cut") ||
                name_server_is(name, "drip")) &&
               !is_tcp) {
        answer->bytes[2] |= 2; /* truncated */
    } else if (name_server_is(name, "alias") && is_v4) {
        name_server_put_alias(answer, NULL, name_server_number(name), "real.test");
        name_server_put_address(answer, "real.test", 300, 7);
    } else if ((name_server_is(name, "six") || name_server_is(name, "both")) && !is_v4) {
        name_server_put_record(answer, NULL, NAME_SERVER_AAAA, 60, six, sizeof six);
    } else if (is_v4 && !name_server_is(name, "six")) {
        uint32_t count = name_server_is(name, "big") ? 4000 : 1;
        for (uint32_t i = 0; i < count; i++) {
            name_server_put_address(answer, NULL, name_server_number(name), (uint8_t)(7 + i));
        }
    }
}

/* Some bytes behind the id become others; sometimes the end is missing. */
static inline void name_server_garble(struct name_server_message *answer, uint32_t seed)
{
    uint32_t random = seed * 2654435761u + 1;
    uint32_t count = 1 + seed % 9;
    for (uint32_t i = 0; i < count; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        answer->bytes[2 + random % (answer->size - 2)] = (uint8_t)(random >> 11);
    }
    answer->size = seed % 4 == 3 ? 2 + random % (answer->size - 2) : answer->size;
}

static inline bool name_server_answer(const struct name_server_message *question,
                                      struct name_server_message *answer, char name[256],
                                      bool is_tcp)
{
    unsigned type = 0;
    size_t end = 0;
    if (!name_server_read(question, name, &end, &type)) {
        return false;
    }
    memcpy(answer->bytes, question->bytes, end);
    answer->size = end;
    answer->bytes[2] |= 0x80; /* an answer */
    memset(answer->bytes + 6, 0, 6);
    name_server_fill(answer, name, type, is_tcp);
    if (name_server_is(name, "noise")) {
        name_server_garble(answer, name_server_number(name));
    }
    return true;
}

static inline void name_server_send(const struct name_server *server,
                                    const struct name_server_message *answer,
                                    const struct sockaddr_in *to)
{
    (void)sendto(server->udp, answer->bytes, answer->size, 0, (const struct sockaddr *)to,
                 sizeof *to);
}

/* What is not the answer, and then it. */
static inline void name_server_spoof(struct name_server *server, const struct sockaddr_in *to)
{
    struct name_server_message *answer = &server->answer;
    size_t size = answer->size;
    uint8_t last = answer->bytes[size - 1];
    for (int i = 0; i < NAME_SERVER_SPOOFS; i++) {
        answer->bytes[size - 1] = 66;
        answer->bytes[i % 2] ^= 0x55; /* the id */
        name_server_send(server, answer, to);
        answer->bytes[i % 2] ^= 0x55;
        answer->bytes[NAME_SERVER_HEADER + 1] ^= 1; /* the name */
        name_server_send(server, answer, to);
        answer->bytes[NAME_SERVER_HEADER + 1] ^= 1;
    }
    for (answer->size = 0; answer->size < NAME_SERVER_HEADER; answer->size++) {
        name_server_send(server, answer, to);
    }
    answer->size = size;
    answer->bytes[size - 1] = last;
    name_server_send(server, answer, to);
}

static inline void name_server_count(struct name_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->asked++;
    (void)pthread_cond_broadcast(&server->is_asked);
    (void)pthread_mutex_unlock(&server->lock);
}

/* Whether it is held back; then it is kept. */
static inline bool name_server_hold(struct name_server *server, const char *name,
                                    const struct sockaddr_in *from)
{
    bool is_held = false;
    (void)pthread_mutex_lock(&server->lock);
    if (name_server_is(name, "held") && !server->may_answer &&
        server->held_count < NAME_SERVER_HELD_MAX) {
        server->held[server->held_count].from = *from;
        server->held[server->held_count].size = server->question.size;
        memcpy(server->held[server->held_count++].bytes, server->question.bytes,
               server->question.size);
        is_held = true;
    }
    (void)pthread_mutex_unlock(&server->lock);
    return is_held;
}

static inline void name_server_serve_udp(struct name_server *server)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char name[256];
    ssize_t count = recvfrom(server->udp, server->question.bytes, 512, MSG_DONTWAIT,
                             (struct sockaddr *)&from, &size);
    server->question.size = count < 0 ? 0 : (size_t)count;
    if (!name_server_answer(&server->question, &server->answer, name, false)) {
        return;
    }
    if (name_server_is(name, "spoof")) {
        name_server_spoof(server, &from);
    } else if (!name_server_hold(server, name, &from) && !name_server_is(name, "silent")) {
        name_server_send(server, &server->answer, &from);
    }
    name_server_count(server);
}

static inline bool name_server_receive(int connection, uint8_t *to, size_t size)
{
    return recv(connection, to, size, MSG_WAITALL) == (ssize_t)size;
}

/* False: the connection is over. */
static inline bool name_server_serve_tcp(struct name_server *server, int connection)
{
    uint8_t prefix[2];
    char name[256];
    if (!name_server_receive(connection, prefix, 2)) {
        return false;
    }
    server->question.size = (size_t)prefix[0] << 8 | prefix[1];
    if (!name_server_receive(connection, server->question.bytes, server->question.size) ||
        !name_server_answer(&server->question, &server->answer, name, true)) {
        return false;
    }
    name_server_count(server);
    size_t size = server->answer.size;
    prefix[0] = (uint8_t)(size >> 8);
    prefix[1] = (uint8_t)size;
    bool is_cut = name_server_is(name, "cut");
    bool is_drip = name_server_is(name, "drip");
    size = is_cut ? size / 2 : is_drip ? 1 : size;
    return send(connection, prefix, 2, MSG_NOSIGNAL) == 2 &&
           send(connection, server->answer.bytes, size, MSG_NOSIGNAL) == (ssize_t)size && !is_cut;
}

/* What was held back and may be answered now. */
static inline void name_server_release_held(struct name_server *server)
{
    char name[256];
    uint64_t signals = 0;
    (void)!read(server->stop, &signals, sizeof signals);
    (void)pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->held_count && server->may_answer; i++) {
        server->question.size = server->held[i].size;
        memcpy(server->question.bytes, server->held[i].bytes, server->held[i].size);
        if (name_server_answer(&server->question, &server->answer, name, false)) {
            name_server_send(server, &server->answer, &server->held[i].from);
        }
    }
    server->held_count = server->may_answer ? 0 : server->held_count;
    (void)pthread_mutex_unlock(&server->lock);
}

static inline void name_server_serve_connections(struct name_server *server,
                                                 const struct pollfd *polled, uint32_t count)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < server->connection_count; i++) {
        struct pollfd connection = server->connections[i];
        if (i < count && polled[i].revents != 0 && !name_server_serve_tcp(server, connection.fd)) {
            (void)close(connection.fd);
        } else {
            server->connections[left++] = connection;
        }
    }
    server->connection_count = left;
}

static inline bool name_server_is_stopping(struct name_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    bool is_stopping = server->is_stopping;
    (void)pthread_mutex_unlock(&server->lock);
    return is_stopping;
}

static inline void *name_server_main(void *argument)
{
    struct name_server *server = argument;
    while (!name_server_is_stopping(server)) {
        struct pollfd polled[3 + NAME_SERVER_TCP_MAX] = {
            {.fd = server->stop, .events = POLLIN},
            {.fd = server->udp, .events = POLLIN},
            {.fd = server->connection_count < NAME_SERVER_TCP_MAX ? server->tcp : -1,
             .events = POLLIN}};
        uint32_t count = server->connection_count;
        memcpy(polled + 3, server->connections, count * sizeof polled[0]);
        (void)poll(polled, 3 + count, -1);
        name_server_serve_connections(server, polled + 3, count);
        if (polled[0].revents != 0) {
            name_server_release_held(server);
        }
        if (polled[1].revents != 0) {
            name_server_serve_udp(server);
        }
        if (polled[2].revents != 0) {
            server->connections[server->connection_count++] =
                (struct pollfd){.fd = accept(server->tcp, NULL, NULL), .events = POLLIN};
        }
    }
    return NULL;
}

/* Both at one port that is free for both. */
static inline void name_server_bind(struct name_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    for (;;) {
        address.sin_port = 0;
        server->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        server->tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(server->udp >= 0 && server->tcp >= 0);
        assert_int_equal(bind(server->tcp, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(getsockname(server->tcp, (struct sockaddr *)&address, &size), 0);
        if (bind(server->udp, (struct sockaddr *)&address, sizeof address) == 0) {
            break;
        }
        (void)close(server->udp);
        (void)close(server->tcp);
    }
    assert_int_equal(listen(server->tcp, 16), 0);
    server->port = ntohs(address.sin_port);
}

static inline void name_server_write_conf(const struct name_server *server, const char *text)
{
    FILE *file = fopen(server->resolv_conf, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static inline struct name_server *name_server_open(void)
{
    struct name_server *server = calloc(1, sizeof *server);
    assert_non_null(server);
    (void)snprintf(server->folder, sizeof server->folder, "/tmp/pando-names.XXXXXX");
    assert_non_null(mkdtemp(server->folder));
    (void)snprintf(server->resolv_conf, sizeof server->resolv_conf, "%s/resolv.conf",
                   server->folder);
    name_server_write_conf(server, "nameserver 127.0.0.1\nsearch inner.test\n");
    name_server_bind(server);
    server->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(server->stop >= 0);
    assert_int_equal(pthread_mutex_init(&server->lock, NULL), 0);
    assert_int_equal(pthread_cond_init(&server->is_asked, NULL), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, name_server_main, server), 0);
    return server;
}

static inline void name_server_signal(const struct name_server *server)
{
    uint64_t one = 1;
    assert_int_equal(write(server->stop, &one, sizeof one), sizeof one);
}

/* Until so many questions have come, A and AAAA each. */
static inline void name_server_await(struct name_server *server, uint32_t asked)
{
    (void)pthread_mutex_lock(&server->lock);
    while (server->asked < asked) {
        (void)pthread_cond_wait(&server->is_asked, &server->lock);
    }
    (void)pthread_mutex_unlock(&server->lock);
}

static inline uint32_t name_server_asked(struct name_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    uint32_t asked = server->asked;
    (void)pthread_mutex_unlock(&server->lock);
    return asked;
}

/* Held names may be answered from now on. */
static inline void name_server_let_go(struct name_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->may_answer = true;
    (void)pthread_mutex_unlock(&server->lock);
    name_server_signal(server);
}

static inline void name_server_close(struct name_server *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->is_stopping = true;
    (void)pthread_mutex_unlock(&server->lock);
    name_server_signal(server);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    for (uint32_t i = 0; i < server->connection_count; i++) {
        (void)close(server->connections[i].fd);
    }
    (void)close(server->udp);
    (void)close(server->tcp);
    (void)close(server->stop);
    (void)pthread_cond_destroy(&server->is_asked);
    (void)pthread_mutex_destroy(&server->lock);
    (void)unlink(server->resolv_conf);
    (void)rmdir(server->folder);
    free(server);
}

#endif
