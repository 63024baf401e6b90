/* Cluster: who belongs to it; and the changes that this API can make.
 *
 * etcd adds a member by its address before it exists, and moves one by telling the others. Here a
 * node brings its key, and says itself where it listens. So both are refused, but only after etcd's
 * own reasons to refuse them, with what to do instead. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "gateway/service_internal.h"

/* A change under way: is there such a member? -> change -> who belongs to it now? */
struct change {
    enum {
        CHANGE_REMOVE,
        CHANGE_PROMOTE,
        CHANGE_ADD,
        CHANGE_UPDATE
    } kind;
    uint64_t member;
    bool is_done;
    bool hands_over; /* REMOVE: the lead goes first, away from who leaves */
    uint32_t tries;  /* of that: the lead may come back */
    /* REMOVE, of this very node: the answer, made before. It is cut off by the removal. */
    uint8_t *kept;
    size_t kept_size;
    /* Where one is to be added, or moved to; bad: no such place, and no member to move is worse. */
    bool urls_are_bad;
    uint32_t url_count;
    char *urls[PD_BACKEND_URLS_MAX];
};

#define HAND_OVERS_MAX 3u

static const char bad_urls[] = "etcdserver: given member URLs are invalid";
static const char not_found[] = "etcdserver: member not found";
static const char how_to_add[] =
    "etcdserver: a member is known by its key, not by its address: make a ticket with 'pando "
    "cluster ticket', and run 'pando join TICKET' where the new node shall be";
static const char how_to_move[] =
    "etcdserver: a member says itself where it listens: start it with 'pando start --listen-peer "
    "ADDRESS:PORT'";

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
                                           const struct pd_backend_about *about, uint64_t but,
                                           size_t *count_out)
{
    Etcdserverpb__Member **members =
        pd_arena_take(&service->answers, PD_BACKEND_MEMBERS_MAX * sizeof *members);
    size_t count = 0;
    for (uint32_t i = 0; members != NULL && i < about->member_count; i++) {
        if (about->members[i].id != but) {
            members[count] = make_member(service, &about->members[i]);
            members = members[count++] == NULL ? NULL : members;
        }
    }
    *count_out = count;
    return members;
}

/* The four lists are alike, but are four types. `but`: without that member; 0: with all. */
static void *list_response(struct pd_service_call *call, const struct pd_backend_answer *answer,
                           uint64_t but)
{
    struct pd_service *service = call->service;
    const ProtobufCMessageDescriptor *type = call->entry->method.response;
    const struct pd_backend_about *about = answer->about;
    /* As in etcd, without a revision: this is not of the keys. */
    Etcdserverpb__ResponseHeader *header = pd_service_header(service, 0, answer->term);
    size_t count = 0;
    Etcdserverpb__Member **members = make_members(service, about, but, &count);
    void *made = pd_service_make(service, type);
    if (header == NULL || members == NULL || made == NULL) {
        return NULL;
    }
    if (type == &etcdserverpb__member_list_response__descriptor) {
        Etcdserverpb__MemberListResponse *response = made;
        response->header = header;
        response->n_members = count;
        response->members = members;
    } else if (type == &etcdserverpb__member_remove_response__descriptor) {
        Etcdserverpb__MemberRemoveResponse *response = made;
        response->header = header;
        response->n_members = count;
        response->members = members;
    } else if (type == &etcdserverpb__member_update_response__descriptor) {
        Etcdserverpb__MemberUpdateResponse *response = made;
        response->header = header;
        response->n_members = count;
        response->members = members;
    } else {
        Etcdserverpb__MemberPromoteResponse *response = made;
        pd_assert(type == &etcdserverpb__member_promote_response__descriptor);
        response->header = header;
        response->n_members = count;
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

/* What is answered when this node is removed. False: no memory. */
static bool keep_answer(struct pd_service_call *call, struct change *change,
                        const struct pd_backend_answer *answer)
{
    const ProtobufCMessage *response = list_response(call, answer, change->member);
    size_t size = response == NULL ? 0 : protobuf_c_message_get_packed_size(response);
    change->kept = size == 0 ? NULL : pd_alloc(size);
    if (change->kept == NULL) {
        return false;
    }
    change->kept_size = protobuf_c_message_pack(response, change->kept);
    return true;
}

static void give_kept(struct pd_service_call *call, const struct change *change)
{
    pd_service_finish(call, protobuf_c_message_unpack(call->entry->method.response,
                                                      &call->service->answers.allocator,
                                                      change->kept_size, change->kept));
}

/* Who leads could not do the second half of its own removal. */
static void ask_removal(struct pd_service_call *call, struct change *change, bool leads)
{
    change->hands_over = leads;
    pd_service_ask(
        call,
        &(struct pd_backend_request){.kind = leads ? PD_BACKEND_TRANSFER : PD_BACKEND_REMOVE,
                                     .number = leads ? 0 : change->member},
        answered);
}

/* Of etcd's texts those that fit. */
static void refuse(struct pd_service_call *call, const struct change *change,
                   const struct pd_backend_answer *answer)
{
    if (change->kind == CHANGE_PROMOTE && answer->outcome == PD_BACKEND_BUSY) {
        pd_service_end(
            call, PD_CODE_FAILED_PRECONDITION,
            "etcdserver: can only promote a learner member which is in sync with leader");
    } else if (change->kind == CHANGE_REMOVE && answer->outcome == PD_BACKEND_INVALID) {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION,
                       "etcdserver: re-configuration failed due to not enough started members");
    } else {
        pd_service_fail(call, answer);
    }
}

/* How many of the URLs are this member's. */
static uint32_t count_shared(const struct change *change, const struct pd_backend_member *member)
{
    uint32_t shared = 0;
    for (uint32_t i = 0; i < change->url_count; i++) {
        for (uint32_t k = 0; k < member->peer_url_count; k++) {
            shared += strcmp(change->urls[i], member->peer_urls[k]) == 0 ? 1 : 0;
        }
    }
    return shared;
}

/* Whether a URL is of a member other than this one (NULL: of any). */
static bool is_taken(const struct change *change, const struct pd_backend_about *about,
                     const struct pd_backend_member *but)
{
    for (uint32_t i = 0; i < about->member_count; i++) {
        if (&about->members[i] != but && count_shared(change, &about->members[i]) > 0) {
            return true;
        }
    }
    return false;
}

static void begin_change(struct pd_service_call *call, struct change *change,
                         const struct pd_backend_answer *answer)
{
    const struct pd_backend_about *about = answer->about;
    const struct pd_backend_member *member = find(about, change->member);
    bool has_urls = change->kind == CHANGE_ADD || change->kind == CHANGE_UPDATE;
    if (member == NULL && change->kind != CHANGE_ADD) {
        pd_service_end(call, PD_CODE_NOT_FOUND, not_found);
    } else if (change->urls_are_bad) {
        pd_service_end(call, PD_CODE_INVALID_ARGUMENT, bad_urls);
    } else if (has_urls && is_taken(change, about, member)) {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION, "etcdserver: Peer URLs already exists");
    } else if (change->kind == CHANGE_ADD) {
        pd_service_end(call, PD_CODE_UNIMPLEMENTED, how_to_add);
    } else if (change->kind == CHANGE_UPDATE && change->url_count == member->peer_url_count &&
               count_shared(change, member) == change->url_count) {
        pd_service_finish(call, list_response(call, answer, 0)); /* it is as it shall be */
    } else if (change->kind == CHANGE_UPDATE) {
        pd_service_end(call, PD_CODE_UNIMPLEMENTED, how_to_move);
    } else if (change->kind == CHANGE_PROMOTE && !member->is_learner) {
        pd_service_end(call, PD_CODE_FAILED_PRECONDITION,
                       "etcdserver: can only promote a learner member");
    } else if (change->kind == CHANGE_PROMOTE) {
        pd_service_ask(
            call,
            &(struct pd_backend_request){.kind = PD_BACKEND_PROMOTE, .number = change->member},
            answered);
    } else if (change->member == call->service->backend->member_id &&
               !keep_answer(call, change, answer)) {
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
    } else {
        ask_removal(call, change, answer->leader == change->member);
    }
}

/* A removal was refused because the lead has come back: once more, but not for ever. */
static bool leads_again(struct change *change, const struct pd_backend_answer *answer)
{
    return change != NULL && change->kind == CHANGE_REMOVE && !change->hands_over &&
           answer->outcome == PD_BACKEND_INVALID && answer->leader == change->member &&
           change->tries++ < HAND_OVERS_MAX;
}

static void changed(struct pd_service_call *call, struct change *change)
{
    if (change->hands_over) {
        ask_removal(call, change, false);
        return;
    }
    change->is_done = true;
    if (change->kept != NULL) {
        give_kept(call, change);
    } else {
        ask_about(call, false);
    }
}

static void answered(struct pd_service_wait *wait, const struct pd_backend_answer *answer)
{
    struct pd_service_call *call = pd_service_call_of(wait);
    struct change *change = call->state;
    if (answer->outcome != PD_BACKEND_OK) {
        if (leads_again(change, answer)) {
            ask_removal(call, change, true);
        } else if (change != NULL) {
            refuse(call, change, answer);
        } else {
            pd_service_fail(call, answer);
        }
    } else if (change != NULL && !change->is_done && answer->about != NULL) {
        begin_change(call, change, answer);
    } else if (change != NULL && !change->is_done) {
        changed(call, change);
    } else if (answer->about != NULL) {
        pd_service_finish(call, list_response(call, answer, 0));
    } else {
        pd_service_fail(call, answer);
    }
}

static void free_urls(const struct change *change)
{
    for (uint32_t i = 0; i < change->url_count; i++) {
        pd_free(change->urls[i]);
    }
}

static void dropped(struct pd_service_call *call, bool was_cancelled)
{
    struct change *change = call->state;
    (void)was_cancelled;
    if (change != NULL) {
        free_urls(change);
        pd_free(change->kept);
        pd_free(change);
        call->state = NULL;
    }
}

/* Takes the URLs of `asked`. */
static void begin(struct pd_service_call *call, struct change asked)
{
    struct change *change = pd_alloc(sizeof *change);
    if (change == NULL) {
        free_urls(&asked);
        pd_service_fail_status(call, PD_ERR_NO_MEMORY);
        return;
    }
    *change = asked;
    call->state = change;
    ask_about(call, false);
}

/* "SCHEME://HOST:PORT", nothing behind it. */
static bool is_url(const char *text)
{
    static const char *const schemes[] = {"quic://", "http://", "https://", "unix://", "unixs://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t size = strlen(schemes[i]);
        const char *colon = strrchr(text, ':');
        if (strncmp(text, schemes[i], size) == 0) {
            return colon > text + size && colon[1] != '\0' && strchr(text + size, '/') == NULL &&
                   strspn(colon + 1, "0123456789") == strlen(colon + 1);
        }
    }
    return false;
}

/* The same, with URLs. None has more than a member can have. */
static void begin_with_urls(struct pd_service_call *call, struct change asked, char **urls,
                            size_t count)
{
    bool is_good = count > 0 && count <= PD_BACKEND_URLS_MAX;
    for (size_t i = 0; i < count && is_good; i++) {
        is_good = is_url(urls[i]);
    }
    if (!is_good && asked.kind == CHANGE_ADD) {
        pd_service_end(call, PD_CODE_INVALID_ARGUMENT, bad_urls);
        return;
    }
    asked.urls_are_bad = !is_good;
    for (size_t i = 0; i < count && is_good; i++) {
        asked.urls[i] = pd_alloc_text(urls[i], strlen(urls[i]));
        if (asked.urls[i] == NULL) {
            free_urls(&asked);
            pd_service_fail_status(call, PD_ERR_NO_MEMORY);
            return;
        }
        asked.url_count++;
    }
    begin(call, asked);
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
        begin(call, (struct change){.kind = CHANGE_REMOVE, .member = asked->id});
    } else if (type == &etcdserverpb__member_promote_request__descriptor) {
        const Etcdserverpb__MemberPromoteRequest *asked = any;
        begin(call, (struct change){.kind = CHANGE_PROMOTE, .member = asked->id});
    } else if (type == &etcdserverpb__member_update_request__descriptor) {
        const Etcdserverpb__MemberUpdateRequest *asked = any;
        begin_with_urls(call, (struct change){.kind = CHANGE_UPDATE, .member = asked->id},
                        asked->peerurls, asked->n_peerurls);
    } else {
        const Etcdserverpb__MemberAddRequest *asked = any;
        pd_assert(type == &etcdserverpb__member_add_request__descriptor);
        begin_with_urls(call, (struct change){.kind = CHANGE_ADD}, asked->peerurls,
                        asked->n_peerurls);
    }
}

const struct pd_service_handler pd_service_cluster = {.request = request, .dropped = dropped};
