/* lunatic::networking::tls_bind with certificates and keys that are cut short, have other bytes, or
 * are followed by a part of themselves: a listener or words, and nothing is left of them, as the
 * leak check sees. */
#include "base/host_certificates.h"
#include "base/random.h"
#include "host/certificates.h"
#include "net_world.h"
#include "support/effort.h"
#include "support/seed.h"

#define CERTIFICATE_AT 30000u
#define KEY_AT 40000u

static struct pd_pem certificate, key;

/* Up to three bytes are others; then it may be shorter, or longer by some of its own. */
static void damage(struct pd_pem *pem, struct pd_random *random)
{
    for (uint64_t changes = pd_random_below(random, 4); changes > 0; changes--) {
        pem->bytes[pd_random_below(random, pem->size)] = (uint8_t)pd_random_below(random, 128);
    }
    if (pd_random_below(random, 4) == 0) {
        pem->size = pd_random_below(random, pem->size);
    } else if (pd_random_below(random, 4) == 0) {
        size_t more = pd_random_below(random, pem->size);
        assert_true(pem->size + more < sizeof pem->bytes);
        memcpy(pem->bytes + pem->size, pem->bytes, more);
        pem->size += more;
    }
}

static uint64_t bind_with(struct actor *actor, const struct pd_pem *chain,
                          const struct pd_pem *its_key)
{
    net_put_local(actor, 4);
    memcpy(actor_memory(actor, CERTIFICATE_AT), chain->bytes, chain->size);
    memcpy(actor_memory(actor, KEY_AT), its_key->bytes, its_key->size);
    return CALL(actor, NET, "tls_bind", 4, IP_AT, 0, 0, 0, OUT_AT, CERTIFICATE_AT, chain->size,
                KEY_AT, its_key->size);
}

static void damaged_certificates_leave_nothing(void **state)
{
    struct net_fixture *f = *state;
    struct pd_random random = test_random("damage");
    uint32_t refused = 0;
    uint32_t rounds = PD_TEST_EFFORT(2000, 600);
    for (uint32_t i = 0; i < rounds; i++) {
        struct pd_pem odd = i % 3 == 0 ? key : certificate;
        damage(&odd, &random);
        if (bind_with(&f->actor, i % 3 == 0 ? &certificate : &odd, i % 3 == 0 ? &odd : &key) == 0) {
            (void)CALL(&f->actor, NET, "drop_tls_listener", net_out(&f->actor));
        } else {
            (void)net_error(f, &f->actor);
            refused++;
        }
    }
    assert_true(refused > rounds / 4 && refused < rounds);
    assert_int_equal(pd_real_sockets_count(f->sockets), 0);
}

/* GnuTLS 3.7.9 never frees what it made of these by its own way of reading a chain and a key. */
static void what_is_cut_short_leaves_nothing(void **state)
{
    struct net_fixture *f = *state;
    for (size_t size = 0; size < certificate.size; size += 7) {
        struct pd_pem cut = certificate;
        cut.size = size;
        if (bind_with(&f->actor, &cut, &key) == 0) { /* the last line alone is not whole */
            (void)CALL(&f->actor, NET, "drop_tls_listener", net_out(&f->actor));
        } else {
            assert_says(net_error(f, &f->actor), "the certificate and its key: ");
        }
    }
}

static int make_certificate(void **state)
{
    (void)state;
    char why[PD_CERTIFICATE_WHY_SIZE];
    return pd_real_certificates()->make_root(&certificate, &key, why) == PD_OK ? 0 : -1;
}

int main(void)
{
#define NET_TEST(test) cmocka_unit_test_setup_teardown(test, net_setup, net_teardown)
    const struct CMUnitTest tests[] = {
        NET_TEST(damaged_certificates_leave_nothing),
        NET_TEST(what_is_cut_short_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, make_certificate, NULL);
}
