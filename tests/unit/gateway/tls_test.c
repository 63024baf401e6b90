/* TLS as the gateway speaks it, with GnuTLS as the client on the other side: no sockets. */
#include "gateway/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gateway/tls_world.h"
#include "support/effort.h"
#include "support/seed.h"

#define ROOM ((size_t)1024 * 1024)
#define TLS12 "NORMAL:-VERS-ALL:+VERS-TLS1.2"
#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static struct tls_party authority;
static struct tls_party stranger; /* an authority, too, that nobody asked */
static struct tls_party server;
static struct tls_party friend;

/* -- Both sides -------------------------------------------------------------------------------- */

struct pair {
    struct tls_client client;
    struct pd_tls *tls;
    struct pd_tls_room plain; /* what the client said */
    struct pd_tls_room wire;
    enum pd_status status; /* the server's last */
    int error;             /* the client's last that is not for later; 0: none */
};

static void pair_open(struct pair *pair, const struct tls_client_config *config,
                      const struct tls_party *authority_wanted)
{
    struct pd_tls_credentials *credentials = tls_server(&server, authority_wanted);
    memset(pair, 0, sizeof *pair);
    tls_client_init(&pair->client, config);
    pair->tls = pd_tls_open(credentials);
    assert_non_null(pair->tls);
    pd_tls_credentials_release(credentials); /* the session holds them */
    pair->plain = (struct pd_tls_room){malloc(ROOM), 0, ROOM};
    pair->wire = (struct pd_tls_room){malloc(ROOM), 0, ROOM};
    assert_non_null(pair->plain.bytes);
    assert_non_null(pair->wire.bytes);
}

static void pair_close(struct pair *pair)
{
    pd_tls_close(pair->tls);
    tls_client_deinit(&pair->client);
    free(pair->plain.bytes);
    free(pair->wire.bytes);
}

/* What the server wants to say reaches the client. */
static void carry_back(struct pair *pair)
{
    tls_queue_add(&pair->client.in, pair->wire.bytes, pair->wire.size);
    pair->wire.size = 0;
}

/* What the client said, in pieces of so many bytes. */
static void carry(struct pair *pair, size_t piece)
{
    struct tls_queue *out = &pair->client.out;
    while (out->at < out->size && pair->status == PD_OK) {
        size_t size = piece < out->size - out->at ? piece : out->size - out->at;
        pair->status = pd_tls_receive(pair->tls, (struct pd_span){out->bytes + out->at, size},
                                      &pair->plain, &pair->wire);
        out->at += size;
    }
    carry_back(pair);
}

static void client_shakes(struct pair *pair)
{
    int result = gnutls_handshake(pair->client.session);
    if (result == 0) {
        pair->client.is_open = true;
    } else if (result != GNUTLS_E_AGAIN) {
        pair->error = result;
    }
}

/* Until both are done, or one has failed. */
static void shake(struct pair *pair, size_t piece)
{
    for (int turn = 0; turn < 8 && pair->status == PD_OK && pair->error == 0; turn++) {
        if (!pair->client.is_open) {
            client_shakes(pair);
        }
        carry(pair, piece);
    }
}

/* The server's alert; -1: there is none. */
static int client_hears(struct pair *pair)
{
    uint8_t byte = 0;
    int result = pair->client.is_open ? (int)gnutls_record_recv(pair->client.session, &byte, 1)
                                      : gnutls_handshake(pair->client.session);
    return result == GNUTLS_E_FATAL_ALERT_RECEIVED || result == GNUTLS_E_WARNING_ALERT_RECEIVED
               ? (int)gnutls_alert_get(pair->client.session)
               : -1;
}

static void client_says(struct pair *pair, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = gnutls_record_send(pair->client.session, bytes, size);
        assert_true(sent > 0);
        bytes += sent;
        size -= (size_t)sent;
    }
}

static void server_says(struct pair *pair, const uint8_t *bytes, size_t size)
{
    assert_int_equal(pd_tls_send(pair->tls, (struct pd_span){bytes, size}, &pair->wire), PD_OK);
    carry_back(pair);
}

static void client_is_told(struct pair *pair, const uint8_t *bytes, size_t size)
{
    uint8_t got[4096];
    size_t at = 0;
    while (at < size) {
        ssize_t result = gnutls_record_recv(pair->client.session, got, sizeof got);
        assert_true(result > 0);
        assert_true((size_t)result <= size - at);
        assert_memory_equal(got, bytes + at, (size_t)result);
        at += (size_t)result;
    }
    assert_int_equal(gnutls_record_recv(pair->client.session, got, sizeof got), GNUTLS_E_AGAIN);
}

/* -- Handshakes -------------------------------------------------------------------------------- */

static void it_speaks_what_both_speak(void **state)
{
    static const struct {
        const char *alpn[TLS_ALPN_MAX];
        enum pd_tls_alpn chosen;
        bool is_refused;
    } offers[] = {
        {{NULL}, PD_TLS_ALPN_NONE, false},
        {{"h2"}, PD_TLS_ALPN_HTTP2, false},
        {{"grpc-exp", "h2"}, PD_TLS_ALPN_HTTP2, false},
        {{"http/1.1"}, PD_TLS_ALPN_HTTP1, false},
        {{"h2", "http/1.1"}, PD_TLS_ALPN_HTTP1, false},
        {{"http/1.1", "h2"}, PD_TLS_ALPN_HTTP1, false},
        {{"spdy/3"}, PD_TLS_ALPN_NONE, true},
    };
    static const char *const versions[] = {TLS12, TLS13, "NORMAL"};
    static const size_t pieces[] = {1, 7, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof offers / sizeof offers[0]; i++) {
        for (size_t version = 0; version < 3; version++) {
            struct tls_client_config config = {.priority = versions[version]};
            struct pair pair;
            memcpy(config.alpn, offers[i].alpn, sizeof config.alpn);
            pair_open(&pair, &config, NULL);
            assert_false(pd_tls_is_open(pair.tls));
            shake(&pair, pieces[(i + version) % 3]);
            assert_int_equal(pair.status, offers[i].is_refused ? PD_ERR_INVALID : PD_OK);
            assert_int_equal(pd_tls_is_open(pair.tls), !offers[i].is_refused);
            assert_int_equal(pd_tls_alpn(pair.tls), offers[i].chosen);
            pair_close(&pair);
        }
    }
}

static void old_versions_are_refused(void **state)
{
    (void)state;
    const struct tls_client_config config = {.priority = "NORMAL:-VERS-ALL:+VERS-TLS1.1"};
    struct pair pair;
    pair_open(&pair, &config, NULL);
    shake(&pair, 100);
    assert_int_equal(pair.status, PD_ERR_INVALID);
    client_shakes(&pair);
    assert_int_equal(pair.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
    assert_int_equal(gnutls_alert_get(pair.client.session), GNUTLS_A_PROTOCOL_VERSION);
    pair_close(&pair);
}

/* -- Certificates of clients ------------------------------------------------------------------- */

static void only_trusted_clients_are_let_in(void **state)
{
    struct tls_party ended;
    struct tls_party foreign;
    struct tls_party no_client;
    struct tls_party alone;
    (void)state;
    tls_party_make(&ended, TLS_CLIENT, "ended", -TLS_DAY, &authority);
    tls_party_make(&foreign, TLS_CLIENT, "foreign", TLS_DAY, &stranger);
    tls_party_make(&no_client, TLS_SERVER, "no client", TLS_DAY, &authority);
    tls_party_make(&alone, TLS_CLIENT, "alone", TLS_DAY, NULL);
    const struct {
        const struct tls_party *party;
        const char *why; /* NULL: it is let in */
    } clients[] = {{&friend, NULL},
                   {NULL, "ertificate"}, /* GnuTLS's words for each version */
                   {&ended, "its certificate has ended"},
                   {&foreign, "nobody who is trusted"},
                   {&alone, "nobody who is trusted"},
                   {&no_client, "not for clients"}};
    static const char *const versions[] = {TLS12, TLS13};
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        for (size_t version = 0; version < 2; version++) {
            const struct tls_client_config config = {.priority = versions[version],
                                                     .party = clients[i].party};
            struct pair pair;
            pair_open(&pair, &config, &authority);
            shake(&pair, 11);
            assert_int_equal(pair.status, clients[i].why == NULL ? PD_OK : PD_ERR_DENIED);
            assert_int_equal(pd_tls_is_open(pair.tls), clients[i].why == NULL);
            if (pair.status != PD_OK) {
                assert_non_null(strstr(pd_tls_error(pair.tls), clients[i].why));
                assert_true(client_hears(&pair) > 0);
            }
            pair_close(&pair);
        }
    }
    tls_party_free(&ended);
    tls_party_free(&foreign);
    tls_party_free(&no_client);
    tls_party_free(&alone);
}

/* -- Bytes ------------------------------------------------------------------------------------- */

static void what_is_said_arrives(void **state)
{
    static const char *const versions[] = {TLS12, TLS13};
    static const size_t records[] = {0, 512};
    static uint8_t bytes[256 * 1024];
    struct pd_random random = test_random("tls bytes");
    (void)state;
    pd_random_fill(&random, bytes, sizeof bytes);
    for (size_t i = 0; i < 4; i++) {
        const struct tls_client_config config = {.priority = versions[i % 2],
                                                 .record_size = records[i / 2]};
        struct pair pair;
        pair_open(&pair, &config, NULL);
        shake(&pair, 999);
        assert_true(pd_tls_is_open(pair.tls));
        client_says(&pair, bytes, sizeof bytes);
        carry(&pair, 1 + i * 4000);
        assert_int_equal(pair.status, PD_OK);
        assert_int_equal(pair.plain.size, sizeof bytes);
        assert_memory_equal(pair.plain.bytes, bytes, sizeof bytes);
        server_says(&pair, bytes, sizeof bytes);
        client_is_told(&pair, bytes, sizeof bytes);
        pair_close(&pair);
    }
}

static void many_records_are_read_at_once(void **state)
{
    (void)state;
    const uint32_t count = PD_TEST_EFFORT(10000, 1000);
    const struct tls_client_config config = {.priority = TLS13};
    struct pair pair;
    pair_open(&pair, &config, NULL);
    shake(&pair, 999);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t byte = (uint8_t)i;
        client_says(&pair, &byte, 1);
    }
    carry(&pair, 200000);
    assert_int_equal(pair.status, PD_OK);
    assert_int_equal(pair.plain.size, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(pair.plain.bytes[i], (uint8_t)i);
    }
    pair_close(&pair);
}

static void each_side_tells_its_end(void **state)
{
    static const char *const versions[] = {TLS12, TLS13};
    static const uint8_t word[] = "last words";
    uint8_t byte = 0;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct tls_client_config config = {.priority = versions[i]};
        struct pair pair;
        pair_open(&pair, &config, NULL);
        pd_tls_say_end(pair.tls, &pair.wire); /* nobody is there yet */
        assert_int_equal(pair.wire.size, 0);
        shake(&pair, 999);
        client_says(&pair, word, sizeof word);
        assert_int_equal(gnutls_bye(pair.client.session, GNUTLS_SHUT_WR), 0);
        carry(&pair, 100000);
        assert_int_equal(pair.status, PD_ERR_CLOSED);
        assert_int_equal(pair.plain.size, sizeof word);
        assert_memory_equal(pair.plain.bytes, word, sizeof word);
        pd_tls_say_end(pair.tls, &pair.wire);
        carry_back(&pair);
        assert_int_equal(gnutls_record_recv(pair.client.session, &byte, 1), 0);
        pair_close(&pair);
    }
}

/* -- Bad peers --------------------------------------------------------------------------------- */

static void nobody_renegotiates(void **state)
{
    (void)state;
    const struct tls_client_config config = {.priority = TLS12};
    struct pair pair;
    pair_open(&pair, &config, NULL);
    shake(&pair, 999);
    assert_true(pd_tls_is_open(pair.tls));
    assert_int_equal(gnutls_handshake(pair.client.session), GNUTLS_E_AGAIN);
    carry(&pair, 999);
    assert_int_equal(pair.status, PD_ERR_INVALID);
    assert_int_equal(gnutls_handshake(pair.client.session), GNUTLS_E_WARNING_ALERT_RECEIVED);
    assert_int_equal(gnutls_alert_get(pair.client.session), GNUTLS_A_NO_RENEGOTIATION);
    pair_close(&pair);
}

/* A bit of each of a handshake's and a record's bytes is turned, one after the other. */
static void what_was_tampered_with_is_refused(void **state)
{
    (void)state;
    const struct tls_client_config config = {.priority = TLS13};
    struct pair pair;
    static const uint8_t word[] = "word";
    for (size_t at = 0; at < 5 + sizeof word + 1 + 16; at++) {
        pair_open(&pair, &config, NULL);
        shake(&pair, 999);
        client_says(&pair, word, sizeof word);
        struct tls_queue *out = &pair.client.out;
        assert_int_equal(out->size - out->at, 5 + sizeof word + 1 + 16);
        out->bytes[out->at + at] ^= 0x40;
        carry(&pair, 3);
        assert_int_equal(pair.plain.size, 0);
        /* A longer record is still waited for. */
        assert_true(pair.status == PD_ERR_INVALID || (at == 3 || at == 4));
        pair_close(&pair);
    }
}

/* A head of a record that is longer than any may be. */
static void a_record_too_long_is_refused(void **state)
{
    static const char *const versions[] = {TLS12, TLS13};
    static const uint8_t head[] = {0x17, 3, 3, 0x50, 0};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct tls_client_config config = {.priority = versions[i]};
        struct pair pair;
        pair_open(&pair, &config, NULL);
        shake(&pair, 999);
        assert_true(pd_tls_is_open(pair.tls));
        tls_queue_add(&pair.client.out, head, sizeof head);
        carry(&pair, sizeof head);
        assert_int_equal(pair.status, PD_ERR_INVALID);
        assert_int_equal(client_hears(&pair), GNUTLS_A_RECORD_OVERFLOW);
        pair_close(&pair);
    }
}

static void what_is_cut_off_is_waited_for(void **state)
{
    const struct tls_client_config config = {.priority = TLS13};
    struct pair pair;
    (void)state;
    pair_open(&pair, &config, NULL);
    client_shakes(&pair);
    size_t whole = pair.client.out.size;
    pair.client.out.size = whole - 1;
    carry(&pair, 5);
    assert_int_equal(pair.status, PD_OK);
    assert_false(pd_tls_is_open(pair.tls));
    assert_int_equal(pair.client.in.size, 0);
    pair.client.out.size = whole;
    shake(&pair, 999);
    assert_true(pd_tls_is_open(pair.tls));
    pair_close(&pair);
}

static void garbage_is_refused(void **state)
{
    (void)state;
    const struct tls_client_config config = {.priority = TLS13};
    const uint32_t rounds = PD_TEST_EFFORT(2000, 200);
    struct pd_random random = test_random("tls garbage");
    for (uint32_t round = 0; round < rounds; round++) {
        uint8_t bytes[600] = {0x16, 3, 1, 1, 0xf0, 1, 0, 1, 0xec, 3, 3};
        size_t kept = pd_random_below(&random, 12);
        struct pair pair;
        pd_random_fill(&random, bytes + kept, sizeof bytes - kept);
        pair_open(&pair, &config, NULL);
        tls_queue_add(&pair.client.out, bytes, sizeof bytes);
        carry(&pair, 1 + pd_random_below(&random, sizeof bytes));
        assert_false(pd_tls_is_open(pair.tls));
        assert_int_equal(pair.plain.size, 0);
        pair_close(&pair);
    }
}

/* A handshake message in records of a byte each: never whole, never wrong. */
static void an_endless_handshake_is_ended(void **state)
{
    (void)state;
    const struct tls_client_config config = {.priority = TLS13};
    struct pair pair;
    pair_open(&pair, &config, NULL);
    for (uint32_t i = 0; i < 40000; i++) {
        const uint8_t head[] = {1, 0, 0x9c, 0x40, 3, 3}; /* 40,000 bytes of a hello */
        const uint8_t record[] = {0x16, 3, 1, 0, 1, i < sizeof head ? head[i] : 0};
        tls_queue_add(&pair.client.out, record, sizeof record);
    }
    carry(&pair, 6);
    assert_int_equal(pair.status, PD_ERR_FULL);
    assert_true(pair.client.out.at <= PD_TLS_HANDSHAKE_BYTES + 6);
    pair_close(&pair);
}

/* -- Credentials ------------------------------------------------------------------------------- */

static void refused(struct pd_span certificate, struct pd_span key, struct pd_span authorities,
                    const char *why)
{
    char text[PD_TLS_TEXT_MAX];
    struct pd_tls_credentials *credentials = NULL;
    const struct pd_tls_files files = {certificate, key, authorities};
    assert_int_equal(pd_tls_credentials_make(&files, text, &credentials), PD_ERR_INVALID);
    assert_non_null(strstr(text, why));
    assert_null(credentials);
}

static void bad_files_are_told(void **state)
{
    const struct pd_span none = {NULL, 0};
    const struct pd_span garbage = {(const uint8_t *)"-----BEGIN NONSENSE-----\n", 25};
    struct pd_span certificate = tls_span(server.certificate_pem);
    struct pd_span key = tls_span(server.key_pem);
    struct pd_span half = {certificate.bytes, certificate.size / 2};
    (void)state;
    refused(none, key, none, "the certificate file");
    refused(garbage, key, none, "the certificate file");
    refused(half, key, none, "the certificate file");
    refused(certificate, garbage, none, "the certificate or its key");
    static const char secret[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n";
    const struct pd_span locked = {(const uint8_t *)secret, sizeof secret - 1};
    refused(certificate, locked, none, "openssl pkey");
    refused(certificate, tls_span(friend.key_pem), none, "the key is not the certificate's");
    refused(certificate, key, garbage, "trusted authorities");
    struct pd_tls_credentials *credentials = tls_server(&server, NULL);
    assert_int_equal(pd_tls_credentials_end_s(credentials),
                     gnutls_x509_crt_get_expiration_time(server.certificate));
    pd_tls_credentials_hold(credentials);
    pd_tls_credentials_release(credentials);
    pd_tls_credentials_release(credentials);
}

/* One letter of a file is another, each in turn: refused, or what it says is good all the same.
 * Nothing stays behind, which LeakSanitizer sees: what GnuTLS's function for a chain and its key
 * makes of a damaged certificate it never frees. A file is looked at whenever it was changed. */
static void damaged_files_leave_nothing_behind(void **state)
{
    (void)state;
    const struct pd_span whole[] = {tls_span(server.certificate_pem), tls_span(server.key_pem),
                                    tls_span(authority.certificate_pem)};
    uint32_t refused_count = 0;
    for (size_t file = 0; file < 3; file++) {
        for (size_t at = 0; at < whole[file].size; at += 3) {
            struct pd_span spans[] = {whole[0], whole[1], whole[2]};
            uint8_t *damaged = test_malloc(whole[file].size);
            memcpy(damaged, whole[file].bytes, whole[file].size);
            damaged[at] = damaged[at] == 'q' ? 'Q' : 'q';
            spans[file].bytes = damaged;
            char text[PD_TLS_TEXT_MAX];
            struct pd_tls_credentials *credentials = NULL;
            const struct pd_tls_files files = {spans[0], spans[1], spans[2]};
            refused_count += pd_tls_credentials_make(&files, text, &credentials) != PD_OK;
            pd_tls_credentials_release(credentials);
            test_free(damaged);
        }
    }
    assert_true(refused_count > 100);
}

/* -- Everything -------------------------------------------------------------------------------- */

static int make_parties(void **state)
{
    (void)state;
    tls_party_make(&authority, TLS_AUTHORITY, "authority", 10 * TLS_DAY, NULL);
    tls_party_make(&stranger, TLS_AUTHORITY, "stranger", 10 * TLS_DAY, NULL);
    tls_party_make(&server, TLS_SERVER, "server", 5 * TLS_DAY, &authority);
    tls_party_make(&friend, TLS_CLIENT, "friend", 5 * TLS_DAY, &authority);
    return 0;
}

static int free_parties(void **state)
{
    (void)state;
    tls_party_free(&authority);
    tls_party_free(&stranger);
    tls_party_free(&server);
    tls_party_free(&friend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_speaks_what_both_speak),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(only_trusted_clients_are_let_in),
        cmocka_unit_test(what_is_said_arrives),
        cmocka_unit_test(many_records_are_read_at_once),
        cmocka_unit_test(each_side_tells_its_end),
        cmocka_unit_test(nobody_renegotiates),
        cmocka_unit_test(what_was_tampered_with_is_refused),
        cmocka_unit_test(a_record_too_long_is_refused),
        cmocka_unit_test(what_is_cut_off_is_waited_for),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(an_endless_handshake_is_ended),
        cmocka_unit_test(bad_files_are_told),
        cmocka_unit_test(damaged_files_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, make_parties, free_parties);
}
