/* Each service's mapping: the command that a request becomes, the response that an answer becomes,
 * and etcd's codes and texts. */
#include "gateway/one_world.h"

#define REVISION 42

static struct pd_kv_op ops[4096];
static struct pd_kv_compare compares[4096];
static const struct pd_kv_command_room room = {ops, compares, 4096, 4096};

static void is_header(const Etcdserverpb__ResponseHeader *header, int64_t revision)
{
    assert_non_null(header);
    assert_int_equal(header->cluster_id, 77);
    assert_int_equal(header->member_id, 5);
    assert_int_equal(header->revision, revision);
    assert_int_equal(header->raft_term, 9);
}

static const struct pd_kv_record record = {
    .key = {(const uint8_t *)"k", 1},
    .value = {(const uint8_t *)"v", 1},
    .create_revision = 3,
    .mod_revision = 5,
    .version = 2,
    .lease = 8,
};

static void is_record(const Mvccpb__KeyValue *kv)
{
    assert_non_null(kv);
    is_bytes(kv->key, "k");
    is_bytes(kv->value, "v");
    assert_int_equal(kv->create_revision, 3);
    assert_int_equal(kv->mod_revision, 5);
    assert_int_equal(kv->version, 2);
    assert_int_equal(kv->lease, 8);
}

/* -- KV ---------------------------------------------------------------------------------------- */

static void test_range(void **state)
{
    (void)state;
    struct kept kept;
    struct pd_kv_command command;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of("a");
    range.range_end = bytes_of("b");
    range.limit = 7;
    range.revision = 11;
    range.sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    range.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD;
    range.serializable = true;
    range.keys_only = true;
    range.count_only = true;
    range.min_mod_revision = 1;
    range.max_mod_revision = 2;
    range.min_create_revision = 3;
    range.max_create_revision = 4;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Range", &range);
    assert_true(world_asked(&world, PD_BACKEND_READ)->serializable);
    const struct pd_kv_range *asked = &world_command(&world, &command, &room)->ops[0].as.range;
    assert_int_equal(asked->limit, 7);
    assert_int_equal(asked->revision, 11);
    assert_int_equal(asked->sort_order, PD_KV_SORT_DESCEND);
    assert_int_equal(asked->sort_target, PD_KV_SORT_MOD);
    assert_true(asked->keys_only && asked->count_only);
    assert_int_equal(asked->min_mod_revision, 1);
    assert_int_equal(asked->max_mod_revision, 2);
    assert_int_equal(asked->min_create_revision, 3);
    assert_int_equal(asked->max_create_revision, 4);
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_RANGE);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 1); /* more */
    pd_kv_answer_put_number(writer, 99);
    world_kv(&world);
    assert_true(kept.has_ended);
    assert_int_equal(kept.code, PD_CODE_OK);
    assert_int_equal(kept.count, 1);
    const Etcdserverpb__RangeResponse *response = (const void *)kept.messages[0];
    is_header(response->header, REVISION);
    assert_int_equal(response->n_kvs, 2);
    is_record(response->kvs[1]);
    assert_true(response->more);
    assert_int_equal(response->count, 99);
    kept_free(&kept);
}

static void test_a_number_outside_of_its_enum(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of("a");
    range.sort_order = (Etcdserverpb__RangeRequest__SortOrder)9;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Range", &range);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: invalid sort option");
    kept_free(&kept);
    assert_int_equal(world.submitted, 0);
}

static void test_put_and_delete(void **state)
{
    (void)state;
    struct kept kept;
    struct pd_kv_command command;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("k");
    put.value = bytes_of("v");
    put.lease = 8;
    put.prev_kv = true;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Put", &put);
    (void)world_asked(&world, PD_BACKEND_WRITE);
    const struct pd_kv_put *asked = &world_command(&world, &command, &room)->ops[0].as.put;
    assert_int_equal(asked->lease, 8);
    assert_true(asked->prev_kv);
    assert_int_equal(asked->value.size, 1);
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_PUT);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    world_kv(&world);
    const Etcdserverpb__PutResponse *response = (const void *)kept.messages[0];
    is_header(response->header, REVISION);
    is_record(response->prev_kv);
    kept_free(&kept);

    Etcdserverpb__DeleteRangeRequest removal = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    removal.key = bytes_of("a");
    removal.range_end = bytes_of("b");
    removal.prev_kv = true;
    kept_ask(&world, &kept, "/etcdserverpb.KV/DeleteRange", &removal);
    assert_true(world_command(&world, &command, &room)->ops[0].as.delete_range.prev_kv);
    writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_DELETE);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 3);
    world_kv(&world);
    const Etcdserverpb__DeleteRangeResponse *removed = (const void *)kept.messages[0];
    assert_int_equal(removed->deleted, 3);
    assert_int_equal(removed->n_prev_kvs, 1);
    is_record(removed->prev_kvs[0]);
    kept_free(&kept);
}

/* What an answer says is told as etcd says it. */
static void test_errors(void **state)
{
    (void)state;
    static const struct {
        enum pd_kv_error error;
        enum pd_service_code code;
        const char *text;
    } cases[] = {
        {PD_KV_ERR_EMPTY_KEY, PD_CODE_INVALID_ARGUMENT, "etcdserver: key is not provided"},
        {PD_KV_ERR_LEASE_NOT_FOUND, PD_CODE_NOT_FOUND, "etcdserver: requested lease not found"},
        {PD_KV_ERR_COMPACTED, PD_CODE_OUT_OF_RANGE,
         "etcdserver: mvcc: required revision has been compacted"},
    };
    static const struct {
        enum pd_backend_outcome outcome;
        enum pd_service_code code;
        const char *text;
    } outcomes[] = {
        {PD_BACKEND_NO_LEADER, PD_CODE_UNAVAILABLE, "etcdserver: no leader"},
        {PD_BACKEND_UNKNOWN, PD_CODE_UNAVAILABLE, "etcdserver: request timed out"},
        {PD_BACKEND_CLOSED, PD_CODE_UNAVAILABLE, "etcdserver: server stopped"},
        {PD_BACKEND_BUSY, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests"},
        {PD_BACKEND_NO_SPACE, PD_CODE_RESOURCE_EXHAUSTED,
         "etcdserver: mvcc: database space exceeded"},
    };
    struct kept kept;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("k");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kept_ask(&world, &kept, "/etcdserverpb.KV/Put", &put);
        (void)world_begin(&world, cases[i].error, REVISION, PD_KV_ANSWER_NONE);
        world_kv(&world);
        kept_failed(&kept, cases[i].code, cases[i].text);
        kept_free(&kept);
    }
    for (size_t i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        kept_ask(&world, &kept, "/etcdserverpb.KV/Put", &put);
        world_outcome(&world, outcomes[i].outcome);
        kept_failed(&kept, outcomes[i].code, outcomes[i].text);
        kept_free(&kept);
    }
    world.refuse = PD_ERR_FULL;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Put", &put);
    kept_failed(&kept, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
    kept_free(&kept);
    world.refuse = PD_OK;
}

/* An answer that was cut short never becomes a response. */
static void test_a_broken_answer(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("k");
    kept_ask(&world, &kept, "/etcdserverpb.KV/Put", &put);
    pd_kv_answer_put_record(world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_PUT), &record);
    world_kv(&world);
    assert_int_equal(kept.code, PD_CODE_INTERNAL);
    assert_int_equal(kept.count, 0);
    kept_free(&kept);
}

static void test_txn(void **state)
{
    (void)state;
    struct kept kept;
    struct pd_kv_command command;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
    compare.result = ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL;
    compare.key = bytes_of("c");
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
    compare.value = bytes_of("x");
    Etcdserverpb__Compare other =
        ETCDSERVERPB__COMPARE__INIT; /* a union that is not the target's */
    other.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION;
    other.key = bytes_of("d");
    other.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
    other.mod_revision = 6;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of("r");
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("p");
    put.value = bytes_of("pv");
    Etcdserverpb__RequestOp range_op = ETCDSERVERPB__REQUEST_OP__INIT;
    range_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    range_op.request_range = &range;
    Etcdserverpb__RequestOp put_op = ETCDSERVERPB__REQUEST_OP__INIT;
    put_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    put_op.request_put = &put;
    Etcdserverpb__Compare *inner_compares[] = {&other};
    Etcdserverpb__RequestOp *inner_ops[] = {&range_op};
    Etcdserverpb__TxnRequest inner = ETCDSERVERPB__TXN_REQUEST__INIT;
    inner.n_compare = 1;
    inner.compare = inner_compares;
    inner.n_failure = 1;
    inner.failure = inner_ops;
    Etcdserverpb__RequestOp inner_op = ETCDSERVERPB__REQUEST_OP__INIT;
    inner_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    inner_op.request_txn = &inner;
    Etcdserverpb__Compare *outer_compares[] = {&compare};
    Etcdserverpb__RequestOp *thens[] = {&range_op, &inner_op, &put_op};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_compare = 1;
    txn.compare = outer_compares;
    txn.n_success = 3;
    txn.success = thens;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &txn);
    (void)world_asked(&world, PD_BACKEND_WRITE);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.op_count, 5); /* txn, range, txn, its range, put */
    assert_int_equal(command.ops[0].as.txn.then_count, 3);
    assert_int_equal(command.ops[1].kind, PD_KV_OP_RANGE);
    assert_int_equal(command.ops[2].as.txn.else_count, 1);
    assert_int_equal(command.ops[4].as.put.value.size, 2);
    assert_int_equal(command.compares[0].target, PD_KV_COMPARE_VALUE);
    assert_int_equal(command.compares[0].value.size, 1);
    assert_int_equal(command.compares[1].number, 0);
    /* range, txn {range}, put: the ranges see the revision before. */
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_TXN);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_number(writer, 3);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_RANGE);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_TXN);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_RANGE);
    pd_kv_answer_put_record(writer, &record);
    pd_kv_answer_put_end(writer);
    pd_kv_answer_put_number(writer, 0);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_response(writer, PD_KV_ANSWER_PUT);
    pd_kv_answer_put_end(writer);
    world_kv(&world);
    assert_int_equal(kept.code, PD_CODE_OK);
    const Etcdserverpb__TxnResponse *response = (const void *)kept.messages[0];
    is_header(response->header, REVISION);
    assert_true(response->succeeded);
    assert_int_equal(response->n_responses, 3);
    const Etcdserverpb__ResponseHeader *first = response->responses[0]->response_range->header;
    assert_int_equal(first->revision, REVISION - 1);
    assert_int_equal(first->cluster_id, 0);
    const Etcdserverpb__TxnResponse *nested = response->responses[1]->response_txn;
    assert_int_equal(nested->header->revision, 0);
    assert_int_equal(nested->n_responses, 1);
    is_record(nested->responses[0]->response_range->kvs[0]);
    assert_int_equal(nested->responses[0]->response_range->header->revision, REVISION - 1);
    assert_int_equal(response->responses[2]->response_put->header->revision, REVISION);
    kept_free(&kept);

    /* One that only reads may be tried again, and writes no revision. */
    Etcdserverpb__TxnRequest reads = ETCDSERVERPB__TXN_REQUEST__INIT;
    reads.n_success = 1;
    reads.success = thens;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &reads);
    (void)world_asked(&world, PD_BACKEND_REPEATABLE);
    world_outcome(&world, PD_BACKEND_NO_LEADER);
    kept_free(&kept);
    /* An operation without a kind. */
    Etcdserverpb__RequestOp none = ETCDSERVERPB__REQUEST_OP__INIT;
    thens[0] = &none;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &reads);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: key not found");
    kept_free(&kept);
    compare.target = (Etcdserverpb__Compare__CompareTarget)17;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &txn);
    assert_int_equal(kept.code, PD_CODE_INVALID_ARGUMENT);
    kept_free(&kept);
}

static void test_a_txn_has_bounds(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = bytes_of("r");
    Etcdserverpb__RequestOp op = ETCDSERVERPB__REQUEST_OP__INIT;
    op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op.request_range = &range;
    Etcdserverpb__RequestOp *list[129];
    for (size_t i = 0; i < 129; i++) {
        list[i] = &op;
    }
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.success = list;
    txn.n_success = 129;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &txn);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: too many operations in txn request");
    kept_free(&kept);
    txn.n_success = 128;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &txn);
    assert_false(kept.has_ended);
    world_outcome(&world, PD_BACKEND_UNKNOWN);
    kept_free(&kept);
    /* Txns in txns: 200 deep. */
    static Etcdserverpb__TxnRequest levels[200];
    static Etcdserverpb__RequestOp steps[200];
    static Etcdserverpb__RequestOp *pointers[200];
    for (size_t i = 0; i < 200; i++) {
        levels[i] = (Etcdserverpb__TxnRequest)ETCDSERVERPB__TXN_REQUEST__INIT;
        steps[i] = (Etcdserverpb__RequestOp)ETCDSERVERPB__REQUEST_OP__INIT;
        steps[i].request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        pointers[i] = &steps[i];
        if (i + 1 < 200) {
            steps[i].request_txn = &levels[i + 1];
            levels[i].n_success = 1;
            levels[i].success = &pointers[i];
        }
    }
    kept_ask(&world, &kept, "/etcdserverpb.KV/Txn", &levels[0]);
    kept_failed(&kept, PD_CODE_INVALID_ARGUMENT, "etcdserver: too many operations in txn request");
    kept_free(&kept);
}

static void test_compaction(void **state)
{
    (void)state;
    struct kept kept;
    struct pd_kv_command command;
    Etcdserverpb__CompactionRequest compaction = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    compaction.revision = 12;
    kept_ask(&world, &kept, "/etcdserverpb.KV/Compact", &compaction);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.kind, PD_KV_COMPACT);
    assert_int_equal(command.revision, 12);
    (void)world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_NONE);
    world_kv(&world);
    is_header(((const Etcdserverpb__CompactionResponse *)(const void *)kept.messages[0])->header,
              REVISION);
    kept_free(&kept);
}

/* -- Lease ------------------------------------------------------------------------------------- */

static void test_leases(void **state)
{
    (void)state;
    struct kept kept;
    struct pd_kv_command command;
    Etcdserverpb__LeaseGrantRequest grant = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    grant.id = 5;
    grant.ttl = 30;
    kept_ask(&world, &kept, "/etcdserverpb.Lease/LeaseGrant", &grant);
    (void)world_command(&world, &command, &room);
    assert_int_equal(command.kind, PD_KV_LEASE_GRANT);
    assert_int_equal(command.id, 5);
    assert_int_equal(command.ttl_s, 30);
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_LEASE);
    pd_kv_answer_put_number(writer, 5);
    pd_kv_answer_put_number(writer, 31);
    world_kv(&world);
    const Etcdserverpb__LeaseGrantResponse *granted = (const void *)kept.messages[0];
    assert_int_equal(granted->id, 5);
    assert_int_equal(granted->ttl, 31);
    kept_free(&kept);

    Etcdserverpb__LeaseTimeToLiveRequest live = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    live.id = 5;
    for (int with_keys = 0; with_keys < 2; with_keys++) {
        live.keys = with_keys;
        kept_ask(&world, &kept, "/etcdserverpb.Lease/LeaseTimeToLive", &live);
        assert_int_equal(world_asked(&world, PD_BACKEND_LEASE)->number, 5);
        writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_LEASE_KEYS);
        pd_kv_answer_put_number(writer, 5);
        pd_kv_answer_put_number(writer, 20);
        pd_kv_answer_put_number(writer, 31);
        pd_kv_answer_put_key(writer, record.key);
        pd_kv_answer_put_end(writer);
        world_kv(&world);
        const Etcdserverpb__LeaseTimeToLiveResponse *lives = (const void *)kept.messages[0];
        assert_int_equal(lives->ttl, 20);
        assert_int_equal(lives->grantedttl, 31);
        assert_int_equal(lives->n_keys, with_keys);
        kept_free(&kept);
    }

    Etcdserverpb__LeaseLeasesRequest all = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    kept_ask(&world, &kept, "/etcdserverpb.Lease/LeaseLeases", &all);
    writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_LEASES);
    pd_kv_answer_put_id(writer, 5);
    pd_kv_answer_put_id(writer, 9);
    pd_kv_answer_put_end(writer);
    world_kv(&world);
    const Etcdserverpb__LeaseLeasesResponse *leases = (const void *)kept.messages[0];
    assert_int_equal(leases->n_leases, 2);
    assert_int_equal(leases->leases[1]->id, 9);
    kept_free(&kept);
}

static void test_keepalives(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__LeaseKeepAliveRequest beat = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    kept_begin(&world, &kept, "/etcdserverpb.Lease/LeaseKeepAlive");
    for (int64_t id = 1; id <= 2; id++) {
        beat.id = id;
        pd_service_request(kept.call, &beat.base);
    }
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_LEASE);
    pd_kv_answer_put_number(writer, 1);
    pd_kv_answer_put_number(writer, 60);
    world_kv(&world);
    /* One that is not there has no time left: no error. */
    (void)world_begin(&world, PD_KV_ERR_LEASE_NOT_FOUND, REVISION, PD_KV_ANSWER_NONE);
    world_kv(&world);
    assert_int_equal(kept.count, 2);
    const Etcdserverpb__LeaseKeepAliveResponse *alive = (const void *)kept.messages[0];
    assert_int_equal(alive->id, 1);
    assert_int_equal(alive->ttl, 60);
    alive = (const void *)kept.messages[1];
    assert_int_equal(alive->id, 2);
    assert_int_equal(alive->ttl, 0);
    /* It ends when the last is answered. */
    pd_service_request(kept.call, &beat.base);
    pd_service_half_close(kept.call);
    assert_false(kept.has_ended);
    (void)world_begin(&world, PD_KV_ERR_LEASE_NOT_FOUND, REVISION, PD_KV_ANSWER_NONE);
    world_kv(&world);
    assert_true(kept.has_ended);
    assert_int_equal(kept.code, PD_CODE_OK);
    kept_free(&kept);
}

static void test_keepalives_have_a_bound(void **state)
{
    (void)state;
    struct world small;
    struct kept kept;
    struct pd_service_config config = pd_service_config_default();
    config.keepalives_max = 2;
    world_open(&small, &config);
    Etcdserverpb__LeaseKeepAliveRequest beat = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    kept_begin(&small, &kept, "/etcdserverpb.Lease/LeaseKeepAlive");
    pd_service_request(kept.call, &beat.base);
    assert_false(pd_service_is_full(kept.call));
    pd_service_request(kept.call, &beat.base);
    assert_true(pd_service_is_full(kept.call));
    kept.is_held = true;
    (void)world_begin(&small, PD_KV_ERR_LEASE_NOT_FOUND, REVISION, PD_KV_ANSWER_NONE);
    world_kv(&small);
    assert_true(pd_service_is_full(kept.call)); /* the carrier is, too */
    assert_int_equal(kept.roomy, 0);
    kept.is_held = false;
    pd_service_resume(kept.call);
    assert_int_equal(kept.roomy, 1);
    assert_false(pd_service_is_full(kept.call));
    kept_free(&kept); /* one is still under way */
    assert_int_equal(small.cancelled, 1);
    world_close(&small);
}

/* -- Cluster, Maintenance, Auth ---------------------------------------------------------------- */

static void answer_about(void)
{
    world_answer_about(&world);
}

/* etcd's words: for what is no version, and for a version that nobody can go down to. */
static void test_downgrade(void **state)
{
    static const char *const wrong[] = {"",
                                        "x",
                                        "3",
                                        "v3.5",
                                        " 3.5",
                                        "3.",
                                        "3.5.",
                                        "3.5.x",
                                        "3..5",
                                        "3.5.0.1",
                                        "-3.5",
                                        "3.5-x",
                                        "3.5+x",
                                        "3.5 ",
                                        "3.5.0-\n",
                                        "3.5.0-\xff",
                                        "3.99999999999999999999"};
    static const char *const known[] = {"3.5",     "3.6",       "3.5.0", "03.5",
                                        "3.5.7-x", "1.2.3+a-b", "0.0.0", "3.9223372036854775807"};
    (void)state;
    struct kept kept;
    Etcdserverpb__DowngradeRequest request;
    char version[64];
    etcdserverpb__downgrade_request__init(&request);
    request.version = version;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)snprintf(version, sizeof version, "%s", wrong[i]);
        kept_ask(&world, &kept, "/etcdserverpb.Maintenance/Downgrade", &request);
        kept_failed(&kept, PD_CODE_INVALID_ARGUMENT,
                    "etcdserver: wrong downgrade target version format");
        kept_free(&kept);
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        (void)snprintf(version, sizeof version, "%s", known[i]);
        request.action = (Etcdserverpb__DowngradeRequest__DowngradeAction)(i % 2);
        kept_ask(&world, &kept, "/etcdserverpb.Maintenance/Downgrade", &request);
        kept_failed(&kept, PD_CODE_INVALID_ARGUMENT,
                    "etcdserver: invalid downgrade target version");
        kept_free(&kept);
    }
    request.action = ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL;
    kept_ask(&world, &kept, "/etcdserverpb.Maintenance/Downgrade", &request);
    answer_about();
    const Etcdserverpb__DowngradeResponse *response = (const void *)kept.messages[0];
    is_header(response->header, REVISION);
    assert_string_equal(response->version, "3.6");
    kept_free(&kept);
    request.action = (Etcdserverpb__DowngradeRequest__DowngradeAction)7;
    kept_ask(&world, &kept, "/etcdserverpb.Maintenance/Downgrade", &request);
    kept_failed(&kept, PD_CODE_UNKNOWN, "etcdserver: unknown method");
    kept_free(&kept);
}

static void test_maintenance(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__StatusRequest ask = ETCDSERVERPB__STATUS_REQUEST__INIT;
    kept_ask(&world, &kept, "/etcdserverpb.Maintenance/Status", &ask);
    answer_about();
    const Etcdserverpb__StatusResponse *status = (const void *)kept.messages[0];
    is_header(status->header, REVISION);
    assert_int_equal(status->leader, 5);
    assert_int_equal(status->raftindex, 1000);
    assert_int_equal(status->raftappliedindex, 999);
    assert_int_equal(status->raftterm, 9);
    assert_int_equal(status->dbsize, 4096);
    assert_int_equal(status->n_errors, 0);
    kept_free(&kept);
    Etcdserverpb__HashRequest hash = ETCDSERVERPB__HASH_REQUEST__INIT;
    kept_ask(&world, &kept, "/etcdserverpb.Maintenance/Hash", &hash);
    answer_about();
    assert_int_equal(((const Etcdserverpb__HashResponse *)(const void *)kept.messages[0])->hash,
                     0x23456789);
    kept_free(&kept);
    Etcdserverpb__MoveLeaderRequest lead = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    lead.targetid = 6;
    kept_ask(&world, &kept, "/etcdserverpb.Maintenance/MoveLeader", &lead);
    assert_int_equal(world_asked(&world, PD_BACKEND_TRANSFER)->number, 6);
    world_outcome(&world, PD_BACKEND_INVALID);
    kept_failed(&kept, PD_CODE_FAILED_PRECONDITION, "etcdserver: bad leader transferee");
    kept_free(&kept);
    Etcdserverpb__AuthRequest auth = ETCDSERVERPB__AUTH_REQUEST__INIT;
    static const struct {
        const char *path;
        const char *text;
    } refused[] = {
        {"/etcdserverpb.Auth/AuthEnable", "etcdserver: root user does not exist"},
        {"/etcdserverpb.Auth/Authenticate", "etcdserver: authentication is not enabled"},
        {"/etcdserverpb.Auth/UserAdd", "etcdserver: authentication is not enabled"},
        {"/etcdserverpb.Auth/UserGet", "etcdserver: user name not found"},
        {"/etcdserverpb.Auth/RoleGrantPermission", "etcdserver: role name not found"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        kept_ask(&world, &kept, refused[i].path, &auth);
        kept_failed(&kept, PD_CODE_FAILED_PRECONDITION, refused[i].text);
        kept_free(&kept);
    }
    static const char *const empty[] = {"AuthDisable", "UserList", "RoleList"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/etcdserverpb.Auth/%s", empty[i]);
        kept_ask(&world, &kept, path, &auth);
        answer_about();
        const Etcdserverpb__AuthResponse *nothing = (const void *)kept.messages[0];
        is_header(nothing->header, REVISION);
        kept_free(&kept);
    }
    kept_ask(&world, &kept, "/etcdserverpb.Auth/AuthStatus", &auth);
    answer_about();
    assert_int_equal(
        ((const Etcdserverpb__AuthStatusResponse *)(const void *)kept.messages[0])->authrevision,
        1);
    kept_free(&kept);
}

/* As etcd: of a revision that cannot be there is nothing, and that is no error. */
static void test_hash_of_no_keys(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__HashKVRequest ask = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    ask.revision = -1;
    kept_ask(&world, &kept, "/etcdserverpb.Maintenance/HashKV", &ask);
    answer_about();
    const Etcdserverpb__HashKVResponse *told = (const void *)kept.messages[0];
    is_header(told->header, REVISION);
    assert_int_equal(told->hash_revision, -1);
    kept_free(&kept);
}

/* Pages of the keyspace, the next behind the last key; a page that is too large is asked anew. */
static void test_hash_of_keys(void **state)
{
    (void)state;
    struct kept kept;
    struct pd_kv_command command;
    uint32_t hashes[2];
    Etcdserverpb__HashKVRequest ask = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    for (int is_split = 0; is_split < 2; is_split++) {
        kept_ask(&world, &kept, "/etcdserverpb.Maintenance/HashKV", &ask);
        answer_about();
        if (is_split) {
            int64_t limit = world_command(&world, &command, &room)->ops[0].as.range.limit;
            (void)world_begin(&world, PD_KV_ERR_ANSWER_TOO_LARGE, REVISION, PD_KV_ANSWER_NONE);
            world_kv(&world);
            (void)world_command(&world, &command, &room);
            assert_true(command.ops[0].as.range.limit < limit);
            assert_int_equal(command.ops[0].as.range.revision, REVISION);
        }
        struct pd_kv_record second = record;
        second.key = (struct pd_span){(const uint8_t *)"l", 1};
        struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_RANGE);
        pd_kv_answer_put_record(writer, &record);
        if (is_split) {
            pd_kv_answer_put_end(writer);
            pd_kv_answer_put_number(writer, 1);
            pd_kv_answer_put_number(writer, 2);
            world_kv(&world);
            (void)world_command(&world, &command, &room);
            assert_int_equal(command.ops[0].as.range.key.size, 2); /* "k\0" */
            writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_RANGE);
        }
        pd_kv_answer_put_record(writer, &second);
        pd_kv_answer_put_end(writer);
        pd_kv_answer_put_number(writer, 0);
        pd_kv_answer_put_number(writer, 1);
        world_kv(&world);
        const Etcdserverpb__HashKVResponse *hash = (const void *)kept.messages[0];
        assert_int_equal(hash->hash_revision, REVISION);
        assert_int_equal(hash->compact_revision, 30);
        hashes[is_split] = hash->hash;
        kept_free(&kept);
    }
    assert_int_equal(hashes[0], hashes[1]);
}

/* -- Calls ------------------------------------------------------------------------------------- */

static void test_a_call_takes_one_request(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("k");
    kept_begin(&world, &kept, "/etcdserverpb.KV/Put");
    pd_service_half_close(kept.call);
    assert_int_equal(kept.code, PD_CODE_INVALID_ARGUMENT);
    kept_free(&kept);
    kept_begin(&world, &kept, "/etcdserverpb.KV/Put");
    pd_service_request(kept.call, &put.base);
    pd_service_request(kept.call, &put.base);
    assert_int_equal(kept.code, PD_CODE_INVALID_ARGUMENT);
    kept_free(&kept);
    assert_null(pd_service_find((struct pd_span){(const uint8_t *)"/etcdserverpb.KV/Pu", 19}));
    for (uint32_t i = 0; pd_service_method_at(i) != NULL; i++) {
        const char *path = pd_service_method_at(i)->path;
        assert_ptr_equal(pd_service_find((struct pd_span){(const uint8_t *)path, strlen(path)}),
                         pd_service_method_at(i));
    }
}

/* An answer that comes after its call was cancelled is another's, or nobody's. */
static void test_a_late_answer(void **state)
{
    (void)state;
    struct kept kept;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = bytes_of("k");
    kept_ask(&world, &kept, "/etcdserverpb.KV/Put", &put);
    kept_free(&kept); /* cancels it */
    struct kept second;
    kept_ask(&world, &second, "/etcdserverpb.KV/Put", &put);
    world_outcome(&world, PD_BACKEND_UNKNOWN); /* the first one's */
    assert_false(second.has_ended);
    struct pd_kv_writer *writer = world_begin(&world, PD_KV_OK, REVISION, PD_KV_ANSWER_PUT);
    pd_kv_answer_put_end(writer);
    world_kv(&world);
    assert_int_equal(second.code, PD_CODE_OK);
    kept_free(&second);
    const struct pd_backend_answer answer = {.outcome = PD_BACKEND_OK};
    pd_service_answered(world.service, 0, &answer);
    pd_service_answered(world.service, UINT32_MAX, &answer);
}

/* Nobody has more than is left for the others, and all together have no more than there is. */
static void test_output_has_a_bound(void **state)
{
    struct pd_service_config config = pd_service_config_default();
    struct pd_service_client clients[3] = {{0}};
    struct pd_service_counters counters;
    struct world small;
    (void)state;
    config.output_bytes_max = 1000;
    world_open(&small, &config);
    assert_true(pd_service_output(small.service, &clients[0], 500));
    assert_false(pd_service_output(small.service, &clients[0], 501)); /* 499 are left */
    assert_true(pd_service_output(small.service, &clients[0], 400));
    assert_true(pd_service_output(small.service, &clients[1], 300)); /* 300 are left */
    assert_true(pd_service_output(small.service, &clients[2], 150));
    assert_false(pd_service_output(small.service, &clients[2], 151));
    assert_false(pd_service_output(small.service, &clients[1], 301));
    assert_true(pd_service_output(small.service, &clients[0], 399)); /* less is always fine */
    pd_service_counters(small.service, &counters);
    assert_int_equal(counters.output_bytes, 399 + 301 + 151);
    assert_false(pd_service_output(small.service, &clients[2], 10000));
    assert_true(pd_service_output(small.service, &clients[2], 9000));
    for (int i = 0; i < 3; i++) {
        assert_true(pd_service_output(small.service, &clients[i], 0));
    }
    pd_service_counters(small.service, &counters);
    assert_int_equal(counters.output_bytes, 0);
    world_close(&small);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        CASE(test_range),
        CASE(test_a_number_outside_of_its_enum),
        CASE(test_put_and_delete),
        CASE(test_errors),
        CASE(test_a_broken_answer),
        CASE(test_txn),
        CASE(test_a_txn_has_bounds),
        CASE(test_compaction),
        CASE(test_leases),
        CASE(test_keepalives),
        CASE(test_keepalives_have_a_bound),
        CASE(test_downgrade),
        CASE(test_maintenance),
        CASE(test_hash_of_keys),
        CASE(test_hash_of_no_keys),
        CASE(test_a_call_takes_one_request),
        CASE(test_a_late_answer),
        CASE(test_output_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
