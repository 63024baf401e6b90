/* Whatever a client sends where TLS is spoken, before and inside of it: the session ends with a
 * status, keeps to its rooms, and says nothing of the client's that the client did not say. The
 * first byte chooses; with bit 0 a handshake is made first, and the rest is what follows. */
#include <stdlib.h>

#include "base/assert.h"
#include "gateway/tls_world.h"

#define ROOM ((size_t)1024 * 1024)
#define TURNS 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_party authority;
static struct tls_party server;
static uint8_t plain_bytes[ROOM];
static uint8_t wire_bytes[ROOM];

static struct pd_tls_credentials *credentials(bool wants_client)
{
    static struct pd_tls_credentials *made[2];
    if (made[wants_client] == NULL) {
        if (server.key == NULL) {
            tls_party_make(&authority, TLS_AUTHORITY, "authority", TLS_DAY, NULL);
            tls_party_make(&server, TLS_SERVER, "server", TLS_DAY, &authority);
        }
        made[wants_client] = tls_server(&server, wants_client ? &authority : NULL);
    }
    return made[wants_client];
}

/* In pieces that the bytes choose. */
static enum pd_status give(struct pd_tls *tls, const uint8_t *data, size_t size,
                           struct pd_tls_room *plain, struct pd_tls_room *wire)
{
    enum pd_status status = PD_OK;
    for (size_t at = 0; at < size && status == PD_OK;) {
        size_t piece = data[at] % 4 == 0 ? 1 + data[at] : size - at;
        piece = piece < size - at ? piece : size - at;
        plain->size = 0;
        wire->size = 0;
        status = pd_tls_receive(tls, (struct pd_span){data + at, piece}, plain, wire);
        pd_assert(plain->size <= piece + PD_TLS_AHEAD_BYTES);
        at += piece;
    }
    return status;
}

static void shake(struct pd_tls *tls, struct pd_tls_room *plain, struct pd_tls_room *wire,
                  bool is_old)
{
    const struct tls_client_config config = {.priority =
                                                 is_old ? "NORMAL:-VERS-ALL:+VERS-TLS1.2" : NULL};
    struct tls_client client;
    tls_client_init(&client, &config);
    for (int turn = 0; turn < TURNS && !pd_tls_is_open(tls); turn++) {
        (void)gnutls_handshake(client.session);
        wire->size = 0;
        enum pd_status status = pd_tls_receive(
            tls,
            (struct pd_span){client.out.bytes + client.out.at, client.out.size - client.out.at},
            plain, wire);
        pd_assert(status == PD_OK);
        client.out.at = client.out.size;
        tls_queue_add(&client.in, wire->bytes, wire->size);
    }
    pd_assert(pd_tls_is_open(tls));
    tls_client_deinit(&client);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct pd_tls_room plain = {plain_bytes, 0, ROOM};
    struct pd_tls_room wire = {wire_bytes, 0, ROOM};
    bool is_inside = (data[0] & 1u) != 0;
    struct pd_tls *tls = pd_tls_open(credentials(!is_inside && (data[0] & 2u) != 0));
    if (is_inside) {
        shake(tls, &plain, &wire, (data[0] & 2u) != 0);
    }
    enum pd_status status = give(tls, data + 1, size - 1, &plain, &wire);
    /* Nobody but the client of the handshake has its keys. */
    pd_assert(plain.size == 0);
    pd_assert(pd_tls_is_open(tls) == is_inside);
    if (status == PD_OK && is_inside) {
        wire.size = 0;
        status = pd_tls_send(tls, (struct pd_span){data, size}, &wire);
        pd_assert(status == PD_OK);
        pd_assert(wire.size > size);
    }
    wire.size = 0;
    pd_tls_say_end(tls, &wire);
    pd_tls_close(tls);
    return 0;
}
