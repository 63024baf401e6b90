/* Tickets: what was signed is what is read, and nothing else passes. */
#include "node/members_ticket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "node/members.h"

static struct pd_net_identity signer_of(uint8_t seed)
{
    struct pd_net_identity identity;
    uint8_t secret[PD_NET_KEY_SIZE];
    memset(secret, seed, sizeof secret);
    pd_net_identity_init(&identity, secret);
    return identity;
}

static struct pd_ticket make(uint32_t count)
{
    static const char address[] = "192.0.2.17:2380";
    struct pd_ticket ticket = {
        .cluster_id = 0x1234567890abcdef, .expires_s = 1700000000, .count = count};
    for (uint32_t i = 0; i < count; i++) {
        ticket.members[i].peer_count = 1;
        ticket.members[i].peers[0] = (struct pd_span){(const uint8_t *)address, sizeof address - 1};
        memset(ticket.members[i].key, (int)(i + 1), sizeof ticket.members[i].key);
    }
    return ticket;
}

static void what_was_signed_is_read(void **state)
{
    (void)state;
    struct pd_net_identity signer = signer_of(9);
    char text[PD_TICKET_TEXT_MAX];
    char spaced[PD_TICKET_TEXT_MAX + 8];
    uint8_t room[PD_TICKET_BYTES_MAX];
    for (uint32_t count = 1; count <= PD_TICKET_MEMBERS_MAX; count++) {
        struct pd_ticket ticket = make(count);
        struct pd_ticket back;
        assert_int_equal(pd_ticket_print(&ticket, &signer, text), PD_OK);
        assert_null(strpbrk(text, " \n=+/"));
        (void)snprintf(spaced, sizeof spaced, " \n%s\r\n ", text);
        assert_int_equal(pd_ticket_parse(spaced, room, &back), PD_OK);
        assert_int_equal(back.cluster_id, ticket.cluster_id);
        assert_int_equal(back.expires_s, ticket.expires_s);
        assert_int_equal(back.count, count);
        assert_memory_equal(back.signer, signer.key, sizeof signer.key);
        for (uint32_t i = 0; i < count; i++) {
            assert_memory_equal(back.members[i].key, ticket.members[i].key, PD_NET_KEY_SIZE);
            assert_int_equal(back.members[i].node, pd_members_node_of(ticket.members[i].key));
            assert_memory_equal(back.members[i].peers[0].bytes, "192.0.2.17:2380", 15);
        }
    }
}

static void the_largest_ticket_fits(void **state)
{
    (void)state;
    char address[PD_KV_MEMBER_ADDRESS_MAX];
    struct pd_net_identity signer = signer_of(3);
    struct pd_ticket ticket = make(PD_TICKET_MEMBERS_MAX);
    struct pd_ticket back;
    char text[PD_TICKET_TEXT_MAX];
    uint8_t room[PD_TICKET_BYTES_MAX];
    memset(address, '7', sizeof address);
    for (uint32_t i = 0; i < PD_TICKET_MEMBERS_MAX; i++) {
        ticket.members[i].peer_count = PD_KV_MEMBER_ADDRESSES_MAX;
        for (uint32_t k = 0; k < PD_KV_MEMBER_ADDRESSES_MAX; k++) {
            ticket.members[i].peers[k] = (struct pd_span){(const uint8_t *)address, sizeof address};
        }
    }
    assert_int_equal(pd_ticket_print(&ticket, &signer, text), PD_OK);
    assert_int_equal(pd_ticket_parse(text, room, &back), PD_OK);
}

/* One letter changed, one lost, one too many: never PD_OK. */
static void nothing_else_passes(void **state)
{
    (void)state;
    struct pd_net_identity signer = signer_of(5);
    struct pd_ticket ticket = make(2);
    struct pd_ticket back;
    char text[PD_TICKET_TEXT_MAX];
    char other[PD_TICKET_TEXT_MAX + 2];
    uint8_t room[PD_TICKET_BYTES_MAX];
    struct pd_random random;
    pd_random_init(&random, 1, "ticket");
    assert_int_equal(pd_ticket_print(&ticket, &signer, text), PD_OK);
    size_t size = strlen(text);
    for (size_t at = 0; at < size; at++) {
        /* Of the last letter some bits may say nothing: two ahead they do. */
        memcpy(other, text, size + 1);
        other[at] = other[at] == 'A' ? 'z' : 'A';
        assert_true(at == size - 1 || pd_ticket_parse(other, room, &back) != PD_OK);
        memcpy(other, text, size + 1);
        other[at] = '\0';
        assert_int_not_equal(pd_ticket_parse(other, room, &back), PD_OK);
    }
    (void)snprintf(other, sizeof other, "%s.", text);
    assert_int_equal(pd_ticket_parse(other, room, &back), PD_ERR_CORRUPT);
    (void)snprintf(other, sizeof other, "%.40s %s", text, text + 40);
    assert_int_equal(pd_ticket_parse(other, room, &back), PD_ERR_CORRUPT);
    assert_int_equal(pd_ticket_parse("", room, &back), PD_ERR_CORRUPT);
    assert_int_equal(pd_ticket_parse("pando1.", room, &back), PD_ERR_CORRUPT);
    memset(other, 'A', sizeof other - 1);
    memcpy(other, "pando1.", 7);
    other[sizeof other - 1] = '\0';
    assert_int_not_equal(pd_ticket_parse(other, room, &back), PD_OK);
    for (uint32_t round = 0; round < 2000; round++) {
        size_t length = 7 + pd_random_below(&random, 300);
        for (size_t i = 7; i < length; i++) {
            other[i] = (char)('A' + pd_random_below(&random, 58));
        }
        other[length] = '\0';
        assert_int_not_equal(pd_ticket_parse(other, room, &back), PD_OK);
    }
}

/* A worker is a member, and its key lets it in; what it signs does not. */
static void a_workers_signature_does_not_count(void **state)
{
    (void)state;
    uint8_t bytes[1024];
    struct pd_kv_writer writer = {.bytes = bytes, .bytes_max = sizeof bytes};
    struct pd_net_identity keys[4];
    for (uint8_t i = 0; i < 4; i++) {
        keys[i] = signer_of((uint8_t)(i + 1));
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct pd_kv_member member = {.role = i == 1 ? PD_KV_MEMBER_WORKER : PD_KV_MEMBER_VOTER,
                                      .node = pd_members_node_of(keys[i].key)};
        memcpy(member.key, keys[i].key, sizeof member.key);
        pd_members_put(&writer, i == 0 ? PD_MEMBERS_VOTER : PD_MEMBERS_NONE, member.node, &member);
    }
    pd_members_put_end(&writer);
    assert_false(writer.is_full);
    for (uint32_t i = 0; i < 4; i++) {
        struct pd_span list = {bytes, writer.size};
        assert_int_equal(pd_members_lists_key(list, keys[i].key), i < 3);
        assert_int_equal(pd_members_may_sign(list, keys[i].key), i == 0 || i == 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_signed_is_read),
        cmocka_unit_test(the_largest_ticket_fits),
        cmocka_unit_test(nothing_else_passes),
        cmocka_unit_test(a_workers_signature_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
