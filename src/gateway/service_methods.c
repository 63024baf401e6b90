/* The methods of the API: their paths, their messages, and who does them. */
#include <string.h>

#include "gateway/service_internal.h"
#include "proto/health.pb-c.h"

#define UNARY(full_path, request_type, response_type, handler_name)                                \
    {                                                                                              \
        .method = {.path = (full_path),                                                            \
                   .request = &request_type##__descriptor,                                         \
                   .response = &response_type##__descriptor},                                      \
        .handler = &(handler_name),                                                                \
    }
#define KV(name, request, response)                                                                \
    UNARY("/etcdserverpb.KV/" name, etcdserverpb__##request, etcdserverpb__##response,             \
          pd_service_kv)
#define LEASE(name, request, response)                                                             \
    UNARY("/etcdserverpb.Lease/" name, etcdserverpb__##request, etcdserverpb__##response,          \
          pd_service_lease)
#define CLUSTER(name, request, response)                                                           \
    UNARY("/etcdserverpb.Cluster/" name, etcdserverpb__##request, etcdserverpb__##response,        \
          pd_service_cluster)
#define MAINTENANCE(name, request, response)                                                       \
    UNARY("/etcdserverpb.Maintenance/" name, etcdserverpb__##request, etcdserverpb__##response,    \
          pd_service_maintenance)
#define AUTH(name)                                                                                 \
    UNARY("/etcdserverpb.Auth/" name, etcdserverpb__auth_request, etcdserverpb__auth_response,     \
          pd_service_auth)
#define LOCK(name, request, response)                                                              \
    UNARY("/v3lockpb.Lock/" name, v3lockpb__##request, v3lockpb__##response, pd_service_lock)
#define ELECTION(name, request, response)                                                          \
    UNARY("/v3electionpb.Election/" name, v3electionpb__##request, v3electionpb__##response,       \
          pd_service_lock)

static const struct pd_service_entry entries[] = {
    KV("Range", range_request, range_response),
    KV("Put", put_request, put_response),
    KV("DeleteRange", delete_range_request, delete_range_response),
    {.method = {.path = "/etcdserverpb.KV/Txn",
                .request = &etcdserverpb__txn_request__descriptor,
                .response = &etcdserverpb__txn_response__descriptor,
                .may_nest = true},
     .handler = &pd_service_kv},
    KV("Compact", compaction_request, compaction_response),
    {.method = {.path = "/etcdserverpb.Watch/Watch",
                .request = &etcdserverpb__watch_request__descriptor,
                .response = &etcdserverpb__watch_response__descriptor,
                .client_streams = true,
                .server_streams = true},
     .handler = &pd_service_watch},
    LEASE("LeaseGrant", lease_grant_request, lease_grant_response),
    LEASE("LeaseRevoke", lease_revoke_request, lease_revoke_response),
    {.method = {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                .request = &etcdserverpb__lease_keep_alive_request__descriptor,
                .response = &etcdserverpb__lease_keep_alive_response__descriptor,
                .client_streams = true,
                .server_streams = true},
     .handler = &pd_service_keepalive},
    LEASE("LeaseTimeToLive", lease_time_to_live_request, lease_time_to_live_response),
    LEASE("LeaseLeases", lease_leases_request, lease_leases_response),
    CLUSTER("MemberAdd", member_add_request, member_add_response),
    CLUSTER("MemberRemove", member_remove_request, member_remove_response),
    CLUSTER("MemberUpdate", member_update_request, member_update_response),
    CLUSTER("MemberList", member_list_request, member_list_response),
    CLUSTER("MemberPromote", member_promote_request, member_promote_response),
    MAINTENANCE("Alarm", alarm_request, alarm_response),
    MAINTENANCE("Status", status_request, status_response),
    MAINTENANCE("Defragment", defragment_request, defragment_response),
    MAINTENANCE("Hash", hash_request, hash_response),
    MAINTENANCE("HashKV", hash_kvrequest, hash_kvresponse),
    {.method = {.path = "/etcdserverpb.Maintenance/Snapshot",
                .request = &etcdserverpb__snapshot_request__descriptor,
                .response = &etcdserverpb__snapshot_response__descriptor,
                .server_streams = true},
     .handler = &pd_service_snapshot},
    MAINTENANCE("MoveLeader", move_leader_request, move_leader_response),
    MAINTENANCE("Downgrade", downgrade_request, downgrade_response),
    {.method = {.path = "/etcdserverpb.Auth/AuthStatus",
                .request = &etcdserverpb__auth_request__descriptor,
                .response = &etcdserverpb__auth_status_response__descriptor},
     .handler = &pd_service_auth},
    AUTH("AuthEnable"),
    AUTH("AuthDisable"),
    AUTH("Authenticate"),
    AUTH("UserAdd"),
    AUTH("UserGet"),
    AUTH("UserList"),
    AUTH("UserDelete"),
    AUTH("UserChangePassword"),
    AUTH("UserGrantRole"),
    AUTH("UserRevokeRole"),
    AUTH("RoleAdd"),
    AUTH("RoleGet"),
    AUTH("RoleList"),
    AUTH("RoleDelete"),
    AUTH("RoleGrantPermission"),
    AUTH("RoleRevokePermission"),
    LOCK("Lock", lock_request, lock_response),
    LOCK("Unlock", unlock_request, unlock_response),
    ELECTION("Campaign", campaign_request, campaign_response),
    ELECTION("Proclaim", proclaim_request, proclaim_response),
    ELECTION("Leader", leader_request, leader_response),
    {.method = {.path = "/v3electionpb.Election/Observe",
                .request = &v3electionpb__leader_request__descriptor,
                .response = &v3electionpb__leader_response__descriptor,
                .server_streams = true},
     .handler = &pd_service_lock},
    ELECTION("Resign", resign_request, resign_response),
    UNARY("/grpc.health.v1.Health/Check", grpc__health__v1__health_check_request,
          grpc__health__v1__health_check_response, pd_service_health),
    {.method = {.path = "/grpc.health.v1.Health/Watch",
                .request = &grpc__health__v1__health_check_request__descriptor,
                .response = &grpc__health__v1__health_check_response__descriptor,
                .server_streams = true},
     .handler = &pd_service_health_watch},
};

#define ENTRY_COUNT (sizeof entries / sizeof entries[0])

const struct pd_service_method *pd_service_method_at(uint32_t index)
{
    return index < ENTRY_COUNT ? &entries[index].method : NULL;
}

const struct pd_service_method *pd_service_find(struct pd_span path)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        const char *known = entries[i].method.path;
        if (strlen(known) == path.size && memcmp(known, path.bytes, path.size) == 0) {
            return &entries[i].method;
        }
    }
    return NULL;
}
