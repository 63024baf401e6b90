/* Addresses, keys, frames, the key's file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/random.h"
#include "host/key_file.h"
#include "host/real.h"
#include "net/address.h"
#include "net/frame.h"
#include "net/identity.h"

static void addresses_are_read_and_printed(void **state)
{
    (void)state;
    static const char *const good[] = {"127.0.0.1:7000", "0.0.0.0:0", "255.1.2.3:65535", "[::1]:1",
                                       "[2001:db8::7]:443"};
    static const char too_long[] =
        "111111111111111111111111111111111111111111111111111111111111111111111111111111:1";
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1: 1",
                                      "127.0.0.1:1x",
                                      "127.0.0:1",
                                      "localhost:1",
                                      "[::1]",
                                      "[::1]1",
                                      "[::1:1",
                                      "::1:1",
                                      "[127.0.0.1]:1",
                                      "127.0.0.1:000001",
                                      too_long};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct pd_transport_address address;
        char text[PD_NET_ADDRESS_TEXT_MAX];
        assert_int_equal(pd_net_address_parse(good[i], &address), PD_OK);
        pd_net_address_print(&address, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pd_transport_address address;
        assert_int_equal(pd_net_address_parse(bad[i], &address), PD_ERR_INVALID);
    }
}

static void keys_are_read_printed_and_sign(void **state)
{
    (void)state;
    /* RFC 8032, section 7.1, test 1. */
    static const uint8_t secret[PD_NET_KEY_SIZE] = {0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60,
                                                    0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
                                                    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19,
                                                    0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60};
    struct pd_net_identity identity;
    char text[PD_NET_KEY_TEXT_SIZE];
    uint8_t key[PD_NET_KEY_SIZE];
    pd_net_identity_init(&identity, secret);
    pd_net_key_print(identity.key, text);
    assert_string_equal(text, "node-d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511"
                              "a");
    assert_int_equal(pd_net_key_parse(text, key), PD_OK);
    assert_memory_equal(key, identity.key, sizeof key);
    text[10] = 'A';
    assert_int_equal(pd_net_key_parse(text, key), PD_ERR_INVALID);
    assert_int_equal(pd_net_key_parse("node-", key), PD_ERR_INVALID);

    uint8_t bytes[] = "a ticket";
    uint8_t signature[PD_NET_SIGNATURE_SIZE];
    struct pd_span span = {bytes, sizeof bytes};
    assert_int_equal(pd_net_identity_sign(&identity, "ticket", span, signature), PD_OK);
    assert_int_equal(pd_net_key_verify(identity.key, "ticket", span, signature), PD_OK);
    assert_int_equal(pd_net_key_verify(identity.key, "token", span, signature), PD_ERR_DENIED);
    bytes[0] = 'A';
    assert_int_equal(pd_net_key_verify(identity.key, "ticket", span, signature), PD_ERR_DENIED);
    bytes[0] = 'a';
    signature[63] ^= 1;
    assert_int_equal(pd_net_key_verify(identity.key, "ticket", span, signature), PD_ERR_DENIED);
}

/* -- Frames ------------------------------------------------------------------------------------ */

#define FRAME_MAX 10000u

static void frames_come_in_whole_however_they_are_cut(void **state)
{
    (void)state;
    struct pd_random random;
    pd_random_init(&random, 5, "frames");
    struct pd_net_account *account = pd_net_account_create();
    static uint8_t body[FRAME_MAX];
    static uint8_t wire[200u * (FRAME_MAX + PD_NET_FRAME_HEAD_SIZE)];
    size_t sizes[200];
    size_t wire_size = 0;
    pd_random_fill(&random, body, sizeof body);
    for (uint64_t i = 0; i < 200; i++) {
        sizes[i] = pd_random_below(&random, i % 3 == 0 ? 20 : FRAME_MAX + 1);
        struct pd_net_buffer *buffer =
            pd_net_buffer_make(account, i, (struct pd_span){body, sizes[i]});
        memcpy(wire + wire_size, buffer->bytes, buffer->size);
        wire_size += buffer->size;
        assert_int_equal(atomic_load(&account->bytes), buffer->size);
        pd_net_buffer_free(buffer);
    }
    struct pd_net_assembly assembly = {.size = 0};
    uint64_t next = 0;
    for (size_t at = 0; at < wire_size;) {
        size_t size = 1 + pd_random_below(&random, 3000);
        size = size > wire_size - at ? wire_size - at : size;
        struct pd_span input = {wire + at, size};
        bool is_whole = true;
        while (is_whole) {
            struct pd_net_frame frame;
            assert_int_equal(pd_net_assembly_take(&assembly, &input, FRAME_MAX, &is_whole, &frame),
                             PD_OK);
            if (is_whole) {
                assert_int_equal(frame.correlation, next);
                assert_int_equal(frame.size, sizes[next]);
                if (frame.size > 0) {
                    assert_memory_equal(frame.bytes, body, frame.size);
                }
                pd_free(frame.bytes);
                next++;
            }
        }
        assert_int_equal(input.size, 0);
        at += size;
    }
    assert_int_equal(next, 200);
    assert_true(pd_net_assembly_is_empty(&assembly));
    pd_net_account_release(account);
}

static void a_claim_costs_no_memory(void **state)
{
    (void)state;
    struct pd_net_assembly assembly = {.size = 0};
    struct pd_net_frame frame;
    uint8_t head[PD_NET_FRAME_HEAD_SIZE + 1] = {0};
    bool is_whole;
    pd_put_u32(head, 1u << 30);
    struct pd_span input = {head, sizeof head};
    assert_int_equal(pd_net_assembly_take(&assembly, &input, 1u << 30, &is_whole, &frame), PD_OK);
    assert_false(is_whole);
    assert_in_range(assembly.capacity, 1, 4096);
    pd_net_assembly_deinit(&assembly);
    input = (struct pd_span){head, sizeof head};
    assert_int_equal(pd_net_assembly_take(&assembly, &input, (1u << 30) - 1, &is_whole, &frame),
                     PD_ERR_RANGE);
    pd_net_assembly_deinit(&assembly);
    pd_put_u32(head, 5);
    input = (struct pd_span){head, sizeof head};
    pd_alloc_fail_nth(1);
    assert_int_equal(pd_net_assembly_take(&assembly, &input, 5, &is_whole, &frame),
                     PD_ERR_NO_MEMORY);
    pd_alloc_fail_nth(0);
    pd_net_assembly_deinit(&assembly);
}

/* -- The key's file ---------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text, mode_t mode)
{
    (void)unlink(path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void the_key_is_made_once_and_guarded(void **state)
{
    (void)state;
    char folder[] = "/tmp/pando-key-XXXXXX";
    char path[64];
    char text[PD_KEY_FILE_TEXT_MAX];
    uint8_t secret[PD_KEY_FILE_SIZE];
    uint8_t again[PD_KEY_FILE_SIZE];
    struct pd_real_host *real;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/node.key", folder);
    assert_int_equal(pd_real_host_create(1, 1, &real), PD_OK);
    struct pd_host *host = pd_real_host_interface(real);

    assert_int_equal(pd_host_key_file(host, path, false, secret, text), PD_ERR_UNKNOWN);
    assert_non_null(strstr(text, path));
    assert_int_equal(pd_host_key_file(host, path, true, secret, text), PD_OK);
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(pd_host_key_file(host, path, true, again, text), PD_OK);
    assert_memory_equal(secret, again, sizeof secret);
    assert_int_equal(pd_host_key_file(host, path, false, again, text), PD_OK);
    assert_memory_equal(secret, again, sizeof secret);

    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(pd_host_key_file(host, path, true, again, text), PD_ERR_DENIED);
    assert_non_null(strstr(text, "640"));
    write_file(path, "pando key 1 00\n", 0600);
    assert_int_equal(pd_host_key_file(host, path, true, again, text), PD_ERR_CORRUPT);
    write_file(path, "", 0600);
    assert_int_equal(pd_host_key_file(host, path, true, again, text), PD_ERR_CORRUPT);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/hostname", path), 0);
    assert_int_equal(pd_host_key_file(host, path, true, again, text), PD_ERR_IO);
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/no/node.key", folder);
    assert_int_equal(pd_host_key_file(host, path, true, again, text), PD_ERR_IO);
    assert_int_equal(rmdir(folder), 0); /* nothing is left behind */
    pd_real_host_destroy(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_printed),
        cmocka_unit_test(keys_are_read_printed_and_sign),
        cmocka_unit_test(frames_come_in_whole_however_they_are_cut),
        cmocka_unit_test(a_claim_costs_no_memory),
        cmocka_unit_test(the_key_is_made_once_and_guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
