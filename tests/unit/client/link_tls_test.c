/* Files that are not what they should be: told before anybody is spoken to, and nothing of them is
 * kept, for a client tries again and again. */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "client/link_tls.h"
#include "gateway/tls_world.h"
#include "support/remove_tree.h"

#define TRIES 32u
#define GROWTH_MAX ((size_t)64 * 1024)
#define PATH_SIZE 512

static char top[PATH_SIZE];
static char certificate[PATH_SIZE + 8];
static char key[PATH_SIZE + 8];
static char authority[PATH_SIZE + 8];
static struct tls_party party;
static struct tls_party other;

static void write_file(const char *path, gnutls_datum_t bytes)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.size, file), bytes.size);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof top, "%s/pando-link-tls-XXXXXX",
                   getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(top) == NULL) {
        return -1;
    }
    (void)snprintf(certificate, sizeof certificate, "%s/cert", top);
    (void)snprintf(key, sizeof key, "%s/key", top);
    (void)snprintf(authority, sizeof authority, "%s/ca", top);
    tls_party_make(&party, TLS_CLIENT, "client", TLS_DAY, NULL);
    tls_party_make(&other, TLS_CLIENT, "other", TLS_DAY, NULL);
    write_file(certificate, party.certificate_pem);
    write_file(key, party.key_pem);
    write_file(authority, other.certificate_pem);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tls_party_free(&party);
    tls_party_free(&other);
    return remove_tree(top);
}

/* The first half, or all of it with a byte in the middle that no text of base64 has. */
static void damage(const char *path, gnutls_datum_t bytes, bool cuts)
{
    gnutls_datum_t damaged = {.data = gnutls_malloc(bytes.size), .size = bytes.size};
    assert_non_null(damaged.data);
    memcpy(damaged.data, bytes.data, bytes.size);
    damaged.data[bytes.size / 2] = '!';
    damaged.size = cuts ? bytes.size / 2 : bytes.size;
    write_file(path, damaged);
    gnutls_free(damaged.data);
}

/* Every time; and what is allocated does not grow with the times. Where the sanitizers count, it is
 * theirs to say so when the test ends. */
static void is_refused(const char *words)
{
    const struct pd_link_config config = {
        .ca_file = authority, .cert_file = certificate, .key_file = key};
    size_t first = 0;
    for (unsigned i = 0; i < TRIES; i++) {
        struct pd_link link;
        pd_link_init(&link);
        enum pd_status status = pd_link_tls_open(&link, &config, "localhost", pd_link_now_ms());
        assert_non_null(strstr(link.text, words));
        assert_int_equal(status, PD_ERR_INVALID);
        assert_null(link.tls);
        pd_link_close(&link);
        first = i == 0 ? mallinfo2().uordblks : first; /* the library's own tables are there now */
    }
    size_t last = mallinfo2().uordblks;
    assert_true(last < first + GROWTH_MAX);
}

static void a_damaged_certificate(void **state)
{
    (void)state;
    for (int cuts = 0; cuts < 2; cuts++) {
        damage(certificate, party.certificate_pem, cuts != 0);
        is_refused(certificate);
    }
}

static void a_damaged_key(void **state)
{
    (void)state;
    for (int cuts = 0; cuts < 2; cuts++) {
        damage(key, party.key_pem, cuts != 0);
        is_refused(certificate);
    }
}

static void a_damaged_authority(void **state)
{
    (void)state;
    for (int cuts = 0; cuts < 2; cuts++) {
        damage(authority, other.certificate_pem, cuts != 0);
        is_refused(authority);
    }
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_damaged_certificate),
        CASE(a_damaged_key),
        CASE(a_damaged_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
