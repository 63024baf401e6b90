/* The files of TLS: which are refused, and what happens when they change. */
#include "node/gateway_certificates.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/tls_world.h"
#include "host/real.h"

#define WAIT_S 120
#define PATH_SIZE 256

static struct pd_real_host *real;
static char folder[PATH_SIZE];
static char certificate[PATH_SIZE];
static char key[PATH_SIZE];
static char authorities[PATH_SIZE];

/* What was told, by the thread that looks. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told = PTHREAD_COND_INITIALIZER;
static uint32_t note_count;
static char last_note[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
static uint32_t change_count;
static uint64_t changed_end_s;

static void note(void *state, const char *text)
{
    (void)state;
    pthread_mutex_lock(&lock);
    note_count++;
    (void)snprintf(last_note, sizeof last_note, "%s", text);
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&lock);
}

static void changed(void *state, struct pd_tls_credentials *credentials)
{
    (void)state;
    pthread_mutex_lock(&lock);
    change_count++;
    changed_end_s = pd_tls_credentials_end_s(credentials);
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&lock);
    pd_tls_credentials_release(credentials);
}

/* Until so many have come. */
static void wait_for(const uint32_t *count, uint32_t wanted)
{
    struct timespec deadline;
    (void)clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += WAIT_S;
    pthread_mutex_lock(&lock);
    int result = 0;
    while (*count < wanted && result == 0) {
        result = pthread_cond_timedwait(&told, &lock, &deadline);
    }
    assert_int_equal(*count, wanted);
    pthread_mutex_unlock(&lock);
}

/* What was told is read as it is written: under the lock. That a file was changed in between orders
 * nothing. */
static bool said(const char *words)
{
    pthread_mutex_lock(&lock);
    bool is_said = strstr(last_note, words) != NULL;
    pthread_mutex_unlock(&lock);
    return is_said;
}

static uint64_t now_is(const uint64_t *value)
{
    pthread_mutex_lock(&lock);
    uint64_t is = *value;
    pthread_mutex_unlock(&lock);
    return is;
}

/* -- Files ------------------------------------------------------------------------------------- */

/* Whole or not at all, as whoever replaces one should. */
static void put(const char *path, gnutls_datum_t pem, mode_t mode)
{
    char early[PATH_SIZE + 8];
    (void)snprintf(early, sizeof early, "%s.new", path);
    int file = open(early, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, pem.data, pem.size), pem.size);
    assert_int_equal(fchmod(file, mode), 0);
    assert_int_equal(close(file), 0);
    assert_int_equal(rename(early, path), 0);
}

static struct pd_gateway_certificates_config config_of(const char *authorities_path)
{
    return (struct pd_gateway_certificates_config){
        .host = pd_real_host_interface(real),
        .files = {certificate, key, authorities_path},
        .look_ns = 1000000,
        .changed = changed,
        .note = note,
    };
}

static void is_refused(const char *authorities_path, const char *why)
{
    const struct pd_gateway_certificates_config config = config_of(authorities_path);
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    struct pd_tls_credentials *credentials = NULL;
    struct pd_gateway_certificates *certificates = NULL;
    assert_int_equal(pd_gateway_certificates_open(&config, text, &credentials, &certificates),
                     PD_ERR_INVALID);
    assert_non_null(strstr(text, why));
    assert_null(credentials);
    assert_null(certificates);
}

static struct pd_gateway_certificates *opened(uint64_t *end_s_out)
{
    const struct pd_gateway_certificates_config config = config_of(NULL);
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    struct pd_tls_credentials *credentials = NULL;
    struct pd_gateway_certificates *certificates = NULL;
    assert_int_equal(pd_gateway_certificates_open(&config, text, &credentials, &certificates),
                     PD_OK);
    *end_s_out = pd_tls_credentials_end_s(credentials);
    pd_tls_credentials_release(credentials);
    return certificates;
}

static void bad_files_are_refused(void **state)
{
    struct tls_party party;
    struct tls_party other;
    (void)state;
    tls_party_make(&party, TLS_SERVER, "party", 100 * TLS_DAY, NULL);
    tls_party_make(&other, TLS_SERVER, "other", 100 * TLS_DAY, NULL);
    put(certificate, party.certificate_pem, 0644);
    is_refused(NULL, "cannot read '");
    static const mode_t wrong[] = {0604, 0644, 0602, 0601, 0620};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put(key, party.key_pem, wrong[i]);
        is_refused(NULL, "chmod 600 ");
    }
    put(key, party.key_pem, 0640); /* a group's that reads keys */
    is_refused(authorities, "cannot read '");
    put(authorities, party.key_pem, 0600);
    is_refused(authorities, "trusted authorities");
    is_refused(folder, "is no file of 1 byte to 1 MiB");
    assert_int_equal(truncate(authorities, 0), 0);
    is_refused(authorities, "is no file of 1 byte to 1 MiB");
    assert_int_equal(truncate(authorities, PD_GATEWAY_CERTIFICATES_FILE_MAX + 1), 0);
    is_refused(authorities, "is no file of 1 byte to 1 MiB");
    put(key, other.key_pem, 0600);
    is_refused(NULL, "the key is not the certificate's");
    assert_int_equal(note_count, 0);
    tls_party_free(&party);
    tls_party_free(&other);
}

static void an_end_that_is_near_is_told(void **state)
{
    static const struct {
        time_t until;
        const char *words;
    } cases[] = {{100 * TLS_DAY, NULL},
                 {29 * TLS_DAY + TLS_DAY / 2, "ends in 29 days: replace it"},
                 {-TLS_DAY, "has ended"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls_party party;
        uint64_t end_s = 0;
        tls_party_make(&party, TLS_SERVER, "party", cases[i].until, NULL);
        put(certificate, party.certificate_pem, 0644);
        put(key, party.key_pem, 0600);
        note_count = 0;
        pd_gateway_certificates_close(opened(&end_s));
        assert_int_equal(end_s, gnutls_x509_crt_get_expiration_time(party.certificate));
        assert_int_equal(note_count, cases[i].words != NULL);
        assert_true(cases[i].words == NULL || strstr(last_note, cases[i].words) != NULL);
        tls_party_free(&party);
    }
}

/* The certificate comes before its key: told once, not used; then the key comes. */
static void what_changes_is_read_again(void **state)
{
    struct tls_party before;
    struct tls_party after;
    uint64_t end_s = 0;
    (void)state;
    tls_party_make(&before, TLS_SERVER, "before", 100 * TLS_DAY, NULL);
    tls_party_make(&after, TLS_SERVER, "after", 200 * TLS_DAY, NULL);
    put(certificate, before.certificate_pem, 0644);
    put(key, before.key_pem, 0600);
    note_count = 0;
    struct pd_gateway_certificates *certificates = opened(&end_s);
    assert_int_equal(pd_gateway_certificates_start(certificates), PD_OK);
    put(certificate, after.certificate_pem, 0644);
    wait_for(&note_count, 1);
    assert_true(said("is not used, the one before goes on"));
    assert_true(said("the key is not the certificate's"));
    wait_for(&change_count, 0);
    put(key, after.key_pem, 0600);
    wait_for(&change_count, 1);
    assert_int_equal(now_is(&changed_end_s),
                     gnutls_x509_crt_get_expiration_time(after.certificate));
    wait_for(&note_count, 2); /* the bad one was told once, the good one is */
    assert_true(said("was read again"));
    assert_int_equal(unlink(certificate), 0);
    wait_for(&note_count, 3);
    assert_true(said("cannot read '"));
    pd_gateway_certificates_close(certificates);
    assert_int_equal(note_count, 3);
    assert_int_equal(change_count, 1);
    tls_party_free(&before);
    tls_party_free(&after);
}

/* -- Everything -------------------------------------------------------------------------------- */

static int make_folder(void **state)
{
    const char *parent = getenv("TMPDIR");
    (void)state;
    (void)snprintf(folder, sizeof folder, "%s/certificates-XXXXXX",
                   parent == NULL ? "/tmp" : parent);
    assert_non_null(mkdtemp(folder));
    (void)snprintf(certificate, sizeof certificate, "%.200s/a.pem", folder);
    (void)snprintf(key, sizeof key, "%.200s/a.key", folder);
    (void)snprintf(authorities, sizeof authorities, "%.200s/ca.pem", folder);
    return pd_real_host_create(1, 16, &real) == PD_OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(certificate);
    (void)unlink(key);
    (void)unlink(authorities);
    pd_real_host_destroy(real);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(an_end_that_is_near_is_told),
        cmocka_unit_test(what_changes_is_read_again),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
