/* lunatic::distributed's certificates: whom they convince, and what is refused. */
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "abi_actor.h"
#include "base/host_certificates.h"
#include "host/certificates.h"
#include "support/effort.h"
#include "support/seed.h"

#define DISTRIBUTED "lunatic::distributed"
#define LENGTH_AT 16u
#define ANSWER_AT 1024u
#define ROOT_AT 20000u
#define ROOT_KEY_AT 30000u
#define REQUEST_AT 40000u

struct text {
    uint32_t size;
    char bytes[PD_PEM_MAX];
};

struct fixture {
    struct world world;
    struct actor actor;
    struct text root, root_key;
    struct text certificate, key, request;
};

/* --- Calling ---------------------------------------------------------------------------------- */

/* The next string of a bincode answer. */
static void read_text(const struct actor *actor, uint32_t *at, struct text *text)
{
    text->size = (uint32_t)actor_u64(actor, *at);
    assert_true(text->size > 0 && text->size < sizeof text->bytes);
    memcpy(text->bytes, actor_memory(actor, *at + 8), text->size);
    text->bytes[text->size] = '\0';
    *at += 8 + text->size;
}

static void put_text(const struct actor *actor, uint32_t at, const struct text *text)
{
    memcpy(actor_memory(actor, at), text->bytes, text->size);
}

/* The guest's own lunatic_alloc gives ANSWER_AT. */
static void expect_answer(const struct actor *actor, uint64_t address, struct text *certificate,
                          struct text *key)
{
    assert_string_equal(fake_nested.name, "lunatic_alloc");
    assert_int_equal(fake_nested.count, 1);
    assert_int_equal(address, ANSWER_AT);
    assert_int_equal(actor_u64(actor, LENGTH_AT), fake_nested.arguments[0]);
    uint32_t at = ANSWER_AT;
    read_text(actor, &at, certificate);
    if (key != NULL) {
        read_text(actor, &at, key);
    }
    assert_int_equal(at - ANSWER_AT, fake_nested.arguments[0]);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct pd_runtime_config config = world_config();
    world_open(&f->world, &config);
    f->world.system.certificates = pd_real_certificates();
    fake_nested.is_ok = true;
    fake_nested.is_missing = false;
    fake_nested.value = ANSWER_AT;
    f->actor = actor_spawn(&f->world);
    uint64_t address = CALL(&f->actor, DISTRIBUTED, "test_root_cert", LENGTH_AT);
    expect_answer(&f->actor, address, &f->root, &f->root_key);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    world_close(&f->world);
    free(f);
    return 0;
}

static struct actor with_root(struct fixture *f)
{
    struct actor actor = actor_spawn(&f->world);
    put_text(&actor, ROOT_AT, &f->root);
    put_text(&actor, ROOT_KEY_AT, &f->root_key);
    put_text(&actor, REQUEST_AT, &f->request);
    return actor;
}

static void make_server(struct fixture *f)
{
    struct actor actor = with_root(f);
    uint64_t address = CALL(&actor, DISTRIBUTED, "default_server_certificates", ROOT_AT,
                            f->root.size, ROOT_KEY_AT, f->root_key.size, LENGTH_AT);
    expect_answer(&actor, address, &f->certificate, &f->key);
}

/* --- Certificates, as others see them --------------------------------------------------------- */

static gnutls_datum_t datum_of(struct text *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)text->bytes, .size = text->size};
}

static gnutls_x509_crt_t import(struct text *text)
{
    gnutls_x509_crt_t certificate = NULL;
    gnutls_datum_t datum = datum_of(text);
    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &datum, GNUTLS_X509_FMT_PEM), 0);
    return certificate;
}

static gnutls_x509_privkey_t import_key(struct text *text)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t datum = datum_of(text);
    assert_int_equal(gnutls_x509_privkey_init(&key), 0);
    assert_int_equal(gnutls_x509_privkey_import(key, &datum, GNUTLS_X509_FMT_PEM), 0);
    return key;
}

/* What a verifier that trusts `root` says of `certificate`: 0 is trust. */
static unsigned verify(struct text *root, struct text *certificate)
{
    gnutls_x509_crt_t trusted = import(root);
    gnutls_x509_crt_t other = import(certificate);
    unsigned found = 0;
    assert_int_equal(gnutls_x509_crt_list_verify(&other, 1, &trusted, 1, NULL, 0, 0, &found), 0);
    gnutls_x509_crt_deinit(trusted);
    gnutls_x509_crt_deinit(other);
    return found;
}

static bool is_key_of(struct text *key, struct text *certificate)
{
    gnutls_x509_privkey_t private_key = import_key(key);
    gnutls_x509_crt_t public_key = import(certificate);
    uint8_t ids[2][64];
    size_t sizes[2] = {sizeof ids[0], sizeof ids[1]};
    assert_int_equal(gnutls_x509_privkey_get_key_id(private_key, 0, ids[0], &sizes[0]), 0);
    assert_int_equal(gnutls_x509_crt_get_key_id(public_key, 0, ids[1], &sizes[1]), 0);
    gnutls_x509_privkey_deinit(private_key);
    gnutls_x509_crt_deinit(public_key);
    return sizes[0] == sizes[1] && memcmp(ids[0], ids[1], sizes[0]) == 0;
}

static bool is_authority(struct text *text)
{
    gnutls_x509_crt_t certificate = import(text);
    bool is = gnutls_x509_crt_get_ca_status(certificate, NULL) > 0;
    gnutls_x509_crt_deinit(certificate);
    return is;
}

static bool is_named(struct text *text, const char *name)
{
    gnutls_x509_crt_t certificate = import(text);
    bool is = gnutls_x509_crt_check_hostname(certificate, name) != 0;
    gnutls_x509_crt_deinit(certificate);
    return is;
}

/* A request by the holder of `key` to be called `name`, and an authority too. */
static void make_request(struct text *key_text, const char *name, struct text *request_out)
{
    gnutls_x509_privkey_t key = import_key(key_text);
    gnutls_x509_crq_t request = NULL;
    assert_int_equal(gnutls_x509_crq_init(&request), 0);
    assert_int_equal(gnutls_x509_crq_set_version(request, 1), 0);
    assert_int_equal(gnutls_x509_crq_set_dn(request, "CN=Node", NULL), 0);
    assert_int_equal(gnutls_x509_crq_set_key(request, key), 0);
    assert_int_equal(gnutls_x509_crq_set_subject_alt_name(request, GNUTLS_SAN_DNSNAME, name,
                                                          (unsigned)strlen(name), GNUTLS_FSAN_SET),
                     0);
    assert_int_equal(gnutls_x509_crq_set_basic_constraints(request, 1, -1), 0);
    assert_int_equal(gnutls_x509_crq_sign2(request, key, GNUTLS_DIG_SHA256, 0), 0);
    size_t size = sizeof request_out->bytes;
    assert_int_equal(
        gnutls_x509_crq_export(request, GNUTLS_X509_FMT_PEM, request_out->bytes, &size), 0);
    request_out->size = (uint32_t)size;
    gnutls_x509_crq_deinit(request);
    gnutls_x509_privkey_deinit(key);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void a_root_signs_itself(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(verify(&f->root, &f->root), 0);
    assert_true(is_authority(&f->root));
    assert_true(is_key_of(&f->root_key, &f->root));
    /* Each is another: nobody's key is in everybody's binary. */
    struct text other, other_key;
    uint64_t address = CALL(&f->actor, DISTRIBUTED, "test_root_cert", LENGTH_AT);
    expect_answer(&f->actor, address, &other, &other_key);
    assert_false(is_key_of(&other_key, &f->root));
}

static void a_server_is_certified_by_its_root(void **state)
{
    struct fixture *f = *state;
    make_server(f);
    assert_int_equal(verify(&f->root, &f->certificate), 0);
    assert_true(is_key_of(&f->key, &f->certificate));
    assert_false(is_authority(&f->certificate));
    assert_true(is_named(&f->certificate, "ctrl.lunatic.cloud"));
    struct text root = f->root;
    uint64_t address = CALL(&f->actor, DISTRIBUTED, "test_root_cert", LENGTH_AT);
    expect_answer(&f->actor, address, &f->root, &f->root_key);
    assert_int_not_equal(verify(&f->root, &f->certificate), 0); /* another root */
    assert_int_equal(verify(&root, &f->certificate), 0);
}

#define SIGN(f, trap_or_call, actor)                                                               \
    trap_or_call(actor, DISTRIBUTED, "sign_node", ROOT_AT, (f)->root.size, ROOT_KEY_AT,            \
                 (f)->root_key.size, REQUEST_AT, (f)->request.size, LENGTH_AT)

static void a_node_gets_what_it_may_have(void **state)
{
    struct fixture *f = *state;
    struct text node_key, signed_for;
    make_server(f); /* any key will do */
    node_key = f->key;
    make_request(&node_key, "node-7", &f->request);
    struct actor actor = with_root(f);
    expect_answer(&actor, SIGN(f, CALL, &actor), &signed_for, NULL);
    assert_int_equal(verify(&f->root, &signed_for), 0);
    assert_true(is_key_of(&node_key, &signed_for));
    assert_true(is_named(&signed_for, "node-7"));
    assert_false(is_authority(&signed_for)); /* though it asked for it */
}

static void what_is_no_authority_signs_nothing(void **state)
{
    struct fixture *f = *state;
    make_server(f);
    make_request(&f->key, "node-7", &f->request);
    const struct text root = f->root;
    const struct text root_key = f->root_key;
    const struct text request = f->request;
    f->root_key = f->key;
    struct actor actor = with_root(f);
    assert_says(SIGN(f, TRAP, &actor), "not the one of its certificate");
    f->root = f->certificate; /* certified, but not to certify */
    actor = with_root(f);
    assert_says(SIGN(f, TRAP, &actor), "none of an authority");
    f->root = root;
    f->root_key = root_key;
    f->root.bytes[f->root.size / 2] = '!';
    actor = with_root(f);
    assert_says(SIGN(f, TRAP, &actor), "the authority's certificate: ");
    f->root = root_key; /* a text, but another */
    actor = with_root(f);
    assert_says(SIGN(f, TRAP, &actor), "the authority's certificate: ");
    f->root = root;
    f->root_key.size = 0;
    actor = with_root(f);
    assert_says(SIGN(f, TRAP, &actor), "the authority's key: ");
    f->root_key = root_key;
    f->request.size /= 2;
    actor = with_root(f);
    assert_says(SIGN(f, TRAP, &actor), "the request: ");
    f->request = request;
    actor = with_root(f);
    (void)SIGN(f, CALL, &actor); /* all of it was good */
}

static void texts_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct actor actor = with_root(f);
    assert_says(TRAP(&actor, DISTRIBUTED, "default_server_certificates", 0, PD_PEM_MAX + 1,
                     ROOT_KEY_AT, f->root_key.size, LENGTH_AT),
                "8193 bytes");
    actor = with_root(f);
    memset(actor_memory(&actor, ROOT_KEY_AT), 0xFF, 4);
    assert_says(TRAP(&actor, DISTRIBUTED, "default_server_certificates", ROOT_AT, f->root.size,
                     ROOT_KEY_AT, f->root_key.size, LENGTH_AT),
                "key is not valid UTF-8");
}

/* A few bytes of a text are others, or its end is missing: a certificate or words, never more. */
static void damaged_texts_do_no_harm(void **state)
{
    struct fixture *f = *state;
    struct pd_random random = test_random("damage");
    make_server(f);
    make_request(&f->key, "node-7", &f->request);
    uint32_t refused = 0;
    uint32_t rounds = PD_TEST_EFFORT(200, 60);
    for (uint32_t i = 0; i < rounds; i++) {
        struct actor actor = with_root(f);
        uint64_t arguments[7] = {ROOT_AT,    f->root.size,    ROOT_KEY_AT, f->root_key.size,
                                 REQUEST_AT, f->request.size, LENGTH_AT};
        uint32_t text = (uint32_t)pd_random_below(&random, 3);
        uint64_t size = arguments[2 * text + 1];
        for (uint64_t changes = pd_random_below(&random, 4); changes > 0; changes--) {
            uint64_t at = arguments[2 * text] + pd_random_below(&random, size);
            *actor_memory(&actor, (uint32_t)at) = (uint8_t)pd_random_below(&random, 128);
        }
        if (pd_random_below(&random, 4) == 0) {
            arguments[2 * text + 1] = pd_random_below(&random, size);
        }
        actor_begin(&actor, abi_find(DISTRIBUTED, "sign_node"), arguments, 7);
        refused += !actor_lives(&actor);
    }
    assert_true(refused > rounds / 4 && refused < rounds);
}

/* Each pointer of each function alone is bad. */
static void bad_pointers_trap(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        size_t texts;
    } functions[] = {{"test_root_cert", 0}, {"default_server_certificates", 2}, {"sign_node", 3}};
    for (size_t i = 0; i < 3; i++) {
        size_t count = 2 * functions[i].texts + 1;
        for (size_t odd = 0; odd < count; odd += 2) {
            uint64_t arguments[7] = {ROOT_AT, f->root.size, ROOT_KEY_AT, f->root_key.size, 0, 1, 0};
            arguments[count - 1] = LENGTH_AT;
            arguments[odd] = odd == count - 1 ? FAKE_MEMORY_SIZE - 7 : FAKE_MEMORY_SIZE;
            struct actor actor = with_root(f);
            assert_says(actor_trap(&actor, DISTRIBUTED, functions[i].name, arguments, count),
                        "out of bounds");
        }
    }
}

static void memory_of_the_guests_own_is_checked_too(void **state)
{
    struct fixture *f = *state;
    struct actor actor = actor_spawn(&f->world);
    fake_nested.value = FAKE_MEMORY_SIZE - 10;
    assert_says(TRAP(&actor, DISTRIBUTED, "test_root_cert", LENGTH_AT), "out of bounds");
    actor = actor_spawn(&f->world);
    fake_nested.is_ok = false;
    assert_says(TRAP(&actor, DISTRIBUTED, "test_root_cert", LENGTH_AT), "lunatic_alloc failed");
    actor = actor_spawn(&f->world);
    fake_nested.is_missing = true;
    assert_says(TRAP(&actor, DISTRIBUTED, "test_root_cert", LENGTH_AT), "lunatic_alloc");
}

static void a_deterministic_run_has_none(void **state)
{
    struct fixture *f = *state;
    f->world.system.certificates = NULL;
    assert_says(TRAP(&f->actor, DISTRIBUTED, "test_root_cert", LENGTH_AT), "deterministic");
}

static void a_kill_while_a_key_is_made_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    fake_holds_jobs = true;
    BEGIN(&f->actor, DISTRIBUTED, "test_root_cert", LENGTH_AT);
    fake_holds_jobs = false;
    assert_true(actor_is_waiting(&f->actor));
    assert_int_equal(pd_mailbox_kill(f->world.environment, f->actor.pid, PD_EXIT_KILLED, NULL),
                     PD_OK);
    world_pass(&f->world, MS);
    assert_false(actor_lives(&f->actor));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_root_signs_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_is_certified_by_its_root, setup, teardown),
        cmocka_unit_test_setup_teardown(a_node_gets_what_it_may_have, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_authority_signs_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(texts_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_texts_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_pointers_trap, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_of_the_guests_own_is_checked_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_deterministic_run_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kill_while_a_key_is_made_leaves_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
