/* The members: who they are, and how one goes; etcd's codes and texts. */
#include "gateway/one_world.h"

static void is_header(const Etcdserverpb__ResponseHeader *header, int64_t revision)
{
    assert_non_null(header);
    assert_int_equal(header->cluster_id, 77);
    assert_int_equal(header->member_id, 5);
    assert_int_equal(header->revision, revision);
    assert_int_equal(header->raft_term, 9);
}

static void answer_about(void)
{
    world_answer_about(&world);
}

static void test_members(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__MemberListRequest list = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    list.linearizable = true;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberList", &list);
    assert_false(world_asked(&world, PD_BACKEND_ABOUT)->serializable);
    answer_about();
    const Etcdserverpb__MemberListResponse *members = (const void *)kept.messages[0];
    is_header(members->header, 0);
    assert_int_equal(members->n_members, 2);
    assert_string_equal(members->members[0]->name, "one");
    assert_string_equal(members->members[0]->clienturls[0], "http://127.0.0.1:1");
    assert_string_equal(members->members[0]->peerurls[0], "quic://127.0.0.1:2");
    assert_true(members->members[1]->islearner);
    assert_int_equal(members->members[1]->n_clienturls, 0);
    kept_free(&kept);

    Etcdserverpb__MemberRemoveRequest removal = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    removal.id = 99;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberRemove", &removal);
    answer_about();
    kept_failed(&kept, PD_CODE_NOT_FOUND, "etcdserver: member not found");
    kept_free(&kept);
    removal.id = 6;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberRemove", &removal);
    answer_about();
    assert_int_equal(world_asked(&world, PD_BACKEND_REMOVE)->number, 6);
    world_outcome(&world, PD_BACKEND_OK);
    answer_about();
    assert_int_equal(kept.code, PD_CODE_OK);
    assert_int_equal(kept.count, 1);
    kept_free(&kept);

    Etcdserverpb__MemberPromoteRequest promote = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    promote.id = 5;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberPromote", &promote);
    answer_about();
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION,
                "etcdserver: can only promote a learner member");
    kept_free(&kept);
    promote.id = 6;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberPromote", &promote);
    answer_about();
    world_outcome(&world, PD_BACKEND_BUSY);
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION,
                "etcdserver: can only promote a learner member which is in sync with leader");
    kept_free(&kept);
}

/* What etcd refuses is refused in its words; what it would do and we cannot, with what to do. */
static void test_members_by_address(void **state)
{
    static const char *const bad[] = {"",           "127.0.0.1:1",       "http://",
                                      "http://a",   "http://a:",         "http://:1x",
                                      "ftp://a:21", "http://a:1/folder", "quic://a:1:b"};
    (void)state;
    struct kept kept;
    char url[32];
    char *urls[PD_BACKEND_URLS_MAX + 1] = {url, url, url, url, url};
    Etcdserverpb__MemberAddRequest addition = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    Etcdserverpb__MemberUpdateRequest update = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;
    addition.peerurls = urls;
    update.peerurls = urls;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberAdd", &addition);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: given member URLs are invalid");
    kept_free(&kept);
    addition.n_peerurls = 1;
    update.n_peerurls = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(url, sizeof url, "%s", bad[i]);
        kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberAdd", &addition);
        kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: given member URLs are invalid");
        kept_free(&kept);
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:9");
    addition.n_peerurls = PD_BACKEND_URLS_MAX + 1;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberAdd", &addition);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: given member URLs are invalid");
    kept_free(&kept);

    addition.n_peerurls = 1;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberAdd", &addition);
    answer_about();
    assert_int_equal(kept.code, PD_CODE_UNIMPLEMENTED);
    assert_non_null(strstr(kept.text, "pando join TICKET"));
    kept_free(&kept);
    update.id = 6;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberUpdate", &update);
    answer_about();
    assert_int_equal(kept.code, PD_CODE_UNIMPLEMENTED);
    assert_non_null(strstr(kept.text, "--listen-peer"));
    kept_free(&kept);
    update.id = 99;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberUpdate", &update);
    answer_about();
    kept_failed(&kept, PD_CODE_NOT_FOUND, "etcdserver: member not found");
    kept_free(&kept);
    static const size_t bad_counts[] = {0, PD_BACKEND_URLS_MAX + 1};
    for (size_t i = 0; i < 2; i++) { /* what there is not cannot have bad URLs */
        update.n_peerurls = bad_counts[i];
        update.id = 99;
        kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberUpdate", &update);
        answer_about();
        kept_failed(&kept, PD_CODE_NOT_FOUND, "etcdserver: member not found");
        kept_free(&kept);
        update.id = 5;
        kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberUpdate", &update);
        answer_about();
        kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: given member URLs are invalid");
        kept_free(&kept);
    }
    update.n_peerurls = 1;

    (void)snprintf(url, sizeof url, "quic://127.0.0.1:2"); /* member 5's */
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberAdd", &addition);
    answer_about();
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists");
    kept_free(&kept);
    update.id = 6;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberUpdate", &update);
    answer_about();
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists");
    kept_free(&kept);
    update.id = 5; /* as it is */
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberUpdate", &update);
    answer_about();
    assert_int_equal(kept.code, PD_CODE_OK);
    assert_int_equal(kept.count, 1);
    const Etcdserverpb__MemberUpdateResponse *updated = (const void *)kept.messages[0];
    assert_int_equal(updated->n_members, 2);
    kept_free(&kept);
}

static void answer_of_leader(enum pd_backend_outcome outcome, uint64_t leader)
{
    const struct pd_backend_answer answer = {.outcome = outcome, .term = 9, .leader = leader};
    world_answer(&world, &answer);
}

/* The very node that is asked, and leads: it hands over first, and again if the lead comes back;
 * then it is cut off, and can ask nobody who belongs to the cluster now. */
static void test_a_node_removes_itself(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__MemberRemoveRequest removal = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    removal.id = 5;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberRemove", &removal);
    answer_about();
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(world_asked(&world, PD_BACKEND_TRANSFER)->number, 0);
        answer_of_leader(PD_BACKEND_OK, 6);
        assert_int_equal(world_asked(&world, PD_BACKEND_REMOVE)->number, 5);
        answer_of_leader(i == 0 ? PD_BACKEND_INVALID : PD_BACKEND_OK, 5);
    }
    assert_int_equal(kept.code, PD_CODE_OK);
    assert_int_equal(kept.count, 1);
    const Etcdserverpb__MemberRemoveResponse *left = (const void *)kept.messages[0];
    is_header(left->header, 0);
    assert_int_equal(left->n_members, 1);
    assert_string_equal(left->members[0]->name, "two");
    kept_free(&kept);

    uint32_t hand_overs = 0;
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberRemove", &removal);
    answer_about();
    while (!kept.has_ended) {
        hand_overs += world.asked[0].kind == PD_BACKEND_TRANSFER ? 1 : 0;
        answer_of_leader(
            world.asked[0].kind == PD_BACKEND_TRANSFER ? PD_BACKEND_OK : PD_BACKEND_INVALID, 5);
    }
    assert_int_equal(hand_overs, 4);
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION,
                "etcdserver: re-configuration failed due to not enough started members");
    kept_free(&kept);

    /* There is nobody who could lead. */
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberRemove", &removal);
    answer_about();
    answer_of_leader(PD_BACKEND_INVALID, 5);
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION,
                "etcdserver: re-configuration failed due to not enough started members");
    kept_free(&kept);

    /* Its client goes while it is under way. */
    kept_ask(&world, &kept, "/etcdserverpb.Cluster/MemberRemove", &removal);
    answer_about();
    kept_free(&kept);
    answer_of_leader(PD_BACKEND_OK, 6);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_members),
        CASE(test_members_by_address),
        CASE(test_a_node_removes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
