/* Cluster: who belongs to it; and the changes that this API can make. */
#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/service_internal.h"

/* A change under way: is there such a member? -> change -> who belongs to it now? */
struct change {
    enum pd_backend_kind kind;
    uint64_t member;
    bool is_done;
};

static char **make_urls(struct pd_service *service, const char *const *urls, uint32_t count)
{
    char **made = pd_arena_take(&service->answers, PD_BACKEND_URLS_MAX * sizeof *made);
    for (uint32_t i = 0; made != NULL && i < count; i++) {
        made[i] = pd_proto_text(urls[i]);
    }
    return made;
}

static Etcdserverpb__Member *make_member(struct pd_service *service,
                                         const struct pd_backend_member *member)
{
    Etcdserverpb__Member *made = pd_service_make(service, &etcdserverpb__member__descriptor);
    if (made == NULL) {
        return NULL;
    }
    made->id = member->id;
    made->name = pd_proto_text(member->name);
    made->islearner = member->is_learner;
    made->n_clienturls = member->client_url_count;
    made->clienturls = make_urls(service, member->client_urls, member->client_url_count);
    made->n_peerurls = member->peer_url_count;
    made->peerurls = make_urls(service, member->peer_urls, member->peer_url_count);
    return made->clienturls == NULL || made->peerurls == NULL ? NULL : made;
}

static Etcdserverpb__Member **make_members(struct pd_service *service,
                                           const struct pd_backend_about *about)
{
    Etcdserverpb__Member **members =
        pd_arena_take(&service->answers, PD_BACKEND_MEMBERS_MAX * sizeof *members);
    for (uint32_t i = 0; members != NULL && i < about->member_count; i++) {
        members[i] = make_member(service, &about->members[i]);
        members = members[i] == NULL ? NULL : members;
    }
    return members;
}

/* The three lists are alike, but are three types. */
static const void *list_response(struct pd_service_call *call,
                                 const struct pd_backend_answer *answer)
{
    struct pd_service *service = call->service;
    const ProtobufCMessageDescriptor *type = call->entry->method.response;
    const struct pd_backend_about *about = answer->about;
    /* As in etcd, without a revision: this is not of the keys. */
    Etcdserverpb__ResponseHeader *header = pd_service_header(service, 0, answer->term);
    Etcdserverpb__Member **members = make_members(service, about);
    void *made = pd_service_make(service, type);
    if (header == NULL || members == NULL || made == NULL) {
        return NULL;
    }
    if (type == &etcdserverpb__member_list_response__descriptor) {
        Etcdserverpb__MemberListResponse *response = made;
        response->header = header;
        response->n_members = about->member_count;
        response->members = members;
    } else if (type == &etcdserverpb__member_remove_response__descriptor) {
        Etcdserverpb__MemberRemoveResponse *response = made;
        response->header = header;
        response->n_members = about->member_count;
        response->members = members;
    } else {
        Etcdserverpb__MemberPromoteResponse *response = made;
        pd_assert(type == &etcdserverpb__member_promote_response__descriptor);
        response->header = header;
        response->n_members = about->member_count;
        response->members = members;
    }
    return made;
}

static const struct pd_backend_member *find(const struct pd_backend_about *about, uint64_t id)
{
    for (uint32_t i = 0; i < about->member_count; i++) {
        if (about->members[i].id == id) {
            return &about->members[i];
        }
    }
    return NULL;
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer);

static void ask_about(struct pd_service_call *call, bool serializable)
{
    pd_service_ask(
        call, &(struct pd_backend_request){.kind = PD_BACKEND_ABOUT, .serializable = serializable},
        answered);
}

/* Of etcd's texts those that fit. */
static void refuse(struct pd_service_call *call, const struct change *change,
                   const struct pd_backend_answer *answer)
{
    if (change->kind == PD_BACKEND_PROMOTE && answer->outcome == PD_BACKEND_BUSY) {
        pd_service_end(
            call, PD_CODE_FAILED_PRECONDITION,
            "etcdserver: can only promote a learner member which is in sync with leader");
    } else if (change->kind == PD_BACKEND_REMOVE && answer->outcome == PD_BACKEND_INVALID) {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION,
                       "etcdserver: re-configuration failed due to not enough started members");
    } else {
        pd_service_fail(call, answer);
    }
}

static void begin_change(struct pd_service_call *call, struct change *change,
                         const struct pd_backend_about *about)
{
    const struct pd_backend_member *member = find(about, change->member);
    if (member == NULL) {
        pd_service_end(call, PD_CODE_NOT_FOUND, "etcdserver: member not found");
    } else if (change->kind == PD_BACKEND_PROMOTE && !member->is_learner) {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION,
                       "etcdserver: can only promote a learner member");
    } else {
        pd_service_ask(call,
                       &(struct pd_backend_request){.kind = change->kind, .number = change->member},
                       answered);
    }
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct change *change = call->state;
    if (answer->outcome != PD_BACKEND_OK) {
        if (change != NULL) {
            refuse(call, change, answer);
        } else {
            pd_service_fail(call, answer);
        }
    } else if (change != NULL && !change->is_done && answer->about != NULL) {
        begin_change(call, change, answer->about);
    } else if (change != NULL && !change->is_done) {
        change->is_done = true;
        ask_about(call, false);
    } else if (answer->about != NULL) {
        pd_service_finish(call, list_response(call, answer));
    } else {
        pd_service_fail(call, answer);
    }
}

static void begin(struct pd_service_call *call, enum pd_backend_kind kind, uint64_t member)
{
    struct change *change = pd_alloc(sizeof *change);
    if (change == NULL) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return;
    }
    *change = (struct change){.kind = kind, .member = member};
    call->state = change;
    ask_about(call, false);
}

static void request(struct pd_service_call *call, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *type = message->descriptor;
    const void *any = message;
    if (type == &etcdserverpb__member_list_request__descriptor) {
        const Etcdserverpb__MemberListRequest *list = any;
        ask_about(call, !list->linearizable);
    } else if (type == &etcdserverpb__member_remove_request__descriptor) {
        const Etcdserverpb__MemberRemoveRequest *asked = any;
        begin(call, PD_BACKEND_REMOVE, asked->id);
    } else if (type == &etcdserverpb__member_promote_request__descriptor) {
        const Etcdserverpb__MemberPromoteRequest *asked = any;
        begin(call, PD_BACKEND_PROMOTE, asked->id);
    } else {
        /* etcd adds a member by its address, before it exists; here a node brings its identity. */
        pd_service_end(
            call, PD_CODE_UNIMPLEMENTED,
            "etcdserver: a member is known by its key, not by its address: nodes are added "
            "and moved with the pando command");
    }
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    (void)was_cancelled;
    pd_free(call->state);
    call->state = NULL;
}

const struct pd_service_handler pd_service_cluster = {.request = request, .dropped = dropped};
