/* One end of TLS, for tests/e2e/guest_tls.sh.
 *
 *   tls_peer get HOST PORT PATH TIMEOUT_MS   HTTP/1.0; prints how many bytes came, and their sum
 *   tls_peer serve CERTIFICATE KEY           GET /N is answered with N bytes, a process a client
 *
 * The sum is that of all bytes, each times its place plus 1, modulo 2^32. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pando/pando.h>

#define REQUEST_MAX 4096u
#define PIECE 65536u
#define SERVE_MS 30000u

static char request[REQUEST_MAX + 1];
static char piece[PIECE];

static int complain(const char *what, enum pando_result result, uint64_t error)
{
    char text[1025] = "timed out";
    if (result == PANDO_ERROR) {
        (void)pando_error_take(error, text, sizeof text);
    }
    printf("%s: %s\n", what, text);
    return 1;
}

/* All of it, in as many writes as it takes. */
static enum pando_result write_all(uint64_t stream, const char *bytes, uint32_t size,
                                   uint64_t *error_out)
{
    for (uint32_t at = 0; at < size;) {
        uint64_t count = 0;
        struct pando_part part = {.bytes = bytes + at, .size = size - at};
        enum pando_result result = pando_tls_write_parts(stream, &part, 1, &count);
        if (result != PANDO_OK) {
            *error_out = count;
            return result;
        }
        at += (uint32_t)count;
    }
    return PANDO_OK;
}

static int get(char **arguments)
{
    uint64_t stream = 0;
    uint64_t timeout_ms = strtoull(arguments[3], NULL, 10);
    enum pando_result result = pando_tls_connect(
        arguments[0], (uint16_t)strtoul(arguments[1], NULL, 10), NULL, timeout_ms, &stream);
    if (result != PANDO_OK) {
        return complain("connect", result, stream);
    }
    pando_tls_set_timeouts(stream, timeout_ms, timeout_ms);
    int size = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\n\r\n", arguments[2]);
    uint64_t error = 0;
    result = write_all(stream, request, (uint32_t)size, &error);
    if (result != PANDO_OK) {
        return complain("write", result, error);
    }
    uint64_t whole = 0;
    uint32_t sum = 0;
    for (;;) {
        uint64_t count = 0;
        result = pando_tls_read(stream, piece, sizeof piece, &count);
        if (result != PANDO_OK) {
            printf("after %" PRIu64 " bytes, ", whole);
            return complain("read", result, count);
        }
        if (count == 0) {
            break;
        }
        for (uint64_t i = 0; i < count; i++) {
            sum += (uint32_t)(whole + i + 1) * (uint8_t)piece[i];
        }
        whole += count;
    }
    printf("%" PRIu64 " bytes, sum %" PRIu32 "\n", whole, sum);
    return 0;
}

/* The bytes that were asked for: each the low one of its place. */
static void answer(uint64_t stream, uint64_t size)
{
    uint64_t error = 0;
    char head[128];
    int head_size = snprintf(
        head, sizeof head,
        "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\nConnection: close\r\n\r\n", size);
    enum pando_result result = write_all(stream, head, (uint32_t)head_size, &error);
    for (uint64_t at = 0; at < size && result == PANDO_OK;) {
        uint32_t part = size - at < sizeof piece ? (uint32_t)(size - at) : (uint32_t)sizeof piece;
        for (uint32_t i = 0; i < part; i++) {
            piece[i] = (char)(uint8_t)(at + i);
        }
        result = write_all(stream, piece, part, &error);
        at += part;
    }
    if (result == PANDO_ERROR) {
        pando_error_drop(error);
    }
}

PANDO_EXPORT("client") void client(void);
void client(void)
{
    if (pando_receive(PANDO_FOREVER) != PANDO_DATA) {
        return;
    }
    uint64_t stream = pando_message_take_tls(0);
    uint32_t size = 0;
    pando_tls_set_timeouts(stream, SERVE_MS, SERVE_MS);
    while (size < REQUEST_MAX) {
        uint64_t count = 0;
        if (pando_tls_read(stream, request + size, REQUEST_MAX - size, &count) != PANDO_OK ||
            count == 0) {
            return; /* it is closed with the process, its error dropped with it */
        }
        size += (uint32_t)count;
        request[size] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL) {
            break;
        }
    }
    if (strncmp(request, "GET /", 5) == 0) {
        answer(stream, strtoull(request + 5, NULL, 10));
    }
    pando_tls_close(stream); /* the last of it is sent after this */
}

static int serve(char **arguments)
{
    struct pando_address at = pando_address_local(0);
    uint64_t listener = 0;
    enum pando_result result = pando_tls_listen(&at, arguments[0], arguments[1], &listener);
    uint64_t error = listener;
    if (result == PANDO_OK) {
        result = pando_tls_local_address(listener, &at, &error);
    }
    if (result != PANDO_OK) {
        return complain("listen", result, error);
    }
    printf("listening on 127.0.0.1:%u\n", at.port);
    fflush(stdout);
    for (;;) {
        uint64_t stream = 0;
        uint64_t pid = 0;
        result = pando_tls_accept(listener, &stream);
        if (result != PANDO_OK) {
            (void)complain("accept", result, stream);
            pando_sleep(20);
            continue;
        }
        if (pando_spawn("client", NULL, 0, &pid) != PANDO_OK) {
            pando_tls_close(stream);
            continue;
        }
        pando_message_create(0, 0);
        (void)pando_message_push_tls(stream);
        pando_send(pid);
    }
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 6 && strcmp(arguments[1], "get") == 0) {
        return get(arguments + 2);
    }
    return argument_count == 4 && strcmp(arguments[1], "serve") == 0 ? serve(arguments + 2) : 2;
}
