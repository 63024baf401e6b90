/* The pages: /, /version, /health, /livez, /readyz, /metrics. What they tell of the node they ask
 * as any client would, one step after the other. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "gateway/browser.h"
#include "gateway/gateway.h"
#include "gateway/http1_internal.h"
#include "gateway/json.h"
#include "gateway/metrics.h"
#include "proto/rpc.pb-c.h"

static const struct pd_http1_page pages[] = {
    {"/version", PD_HTTP1_PAGE_VERSION}, {"/health", PD_HTTP1_PAGE_HEALTH},
    {"/livez", PD_HTTP1_PAGE_LIVEZ},     {"/readyz", PD_HTTP1_PAGE_READYZ},
    {"/metrics", PD_HTTP1_PAGE_METRICS}, {"/", PD_HTTP1_PAGE_BROWSER},
};

const struct pd_http1_page *pd_http1_page_of(struct pd_span path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strlen(pages[i].path) == path.size &&
            memcmp(pages[i].path, path.bytes, path.size) == 0) {
            return &pages[i];
        }
    }
    return NULL;
}

static unsigned bit_of(enum pd_http1_step step)
{
    return 1u << step;
}

/* -- What is written --------------------------------------------------------------------------- */

static void answer_version(struct pd_http1 *http)
{
    pd_text_reset(&http->answer);
    pd_text_format(&http->answer,
                   "{\"etcdserver\":\"%s\",\"etcdcluster\":\"%s\",\"storage\":\"%s\"}",
                   http->shared->version, http->shared->version, http->shared->version);
    pd_http1_answer(http, 200, PD_HTTP1_JSON, "", pd_text_span(&http->answer));
}

/* Why the node is not healthy, in etcd's words; "" when it is. */
static void judge_health(const struct pd_http1 *http, char reason[PD_HTTP1_WORDS_MAX + 16])
{
    const struct pd_http1_survey *survey = &http->survey;
    bool is_local = (survey->wanted & bit_of(PD_HTTP1_STEP_READ)) == 0;
    const char *wrong = survey->wrong[is_local ? PD_HTTP1_STEP_READ_LOCAL : PD_HTTP1_STEP_READ];
    reason[0] = '\0';
    if (survey->wrong[PD_HTTP1_STEP_STATUS][0] != '\0') {
        (void)snprintf(reason, PD_HTTP1_WORDS_MAX + 16, "STATUS ERROR:%s",
                       survey->wrong[PD_HTTP1_STEP_STATUS]);
    } else if (survey->disk_is_low) {
        (void)snprintf(reason, PD_HTTP1_WORDS_MAX + 16, "ALARM NOSPACE");
    } else if (!is_local && survey->leader == 0) {
        (void)snprintf(reason, PD_HTTP1_WORDS_MAX + 16, "RAFT NO LEADER");
    } else if (wrong[0] != '\0') {
        (void)snprintf(reason, PD_HTTP1_WORDS_MAX + 16, "RANGE ERROR:%s", wrong);
    }
}

static void answer_health(struct pd_http1 *http)
{
    char reason[PD_HTTP1_WORDS_MAX + 16];
    judge_health(http, reason);
    bool is_healthy = reason[0] == '\0';
    pd_text_reset(&http->answer);
    pd_text_format(&http->answer, "{\"health\":\"%s\",\"reason\":", is_healthy ? "true" : "false");
    pd_json_encode_string(reason, &http->answer);
    pd_text_puts(&http->answer, "}");
    pd_http1_answer(http, is_healthy ? 200 : 503, PD_HTTP1_JSON, "", pd_text_span(&http->answer));
}

static bool put_check(struct pd_text *text, const char *name, const char *wrong)
{
    if (wrong[0] == '\0') {
        pd_text_format(text, "[+]%s ok\n", name);
    } else {
        pd_text_format(text, "[-]%s failed: %s\n", name, wrong);
    }
    return wrong[0] == '\0';
}

/* As etcd has them: "ok", or each check with its outcome. */
static void answer_checks(struct pd_http1 *http, bool is_ready)
{
    const struct pd_http1_survey *survey = &http->survey;
    struct pd_text *text = &http->answer;
    bool is_good = true;
    pd_text_reset(text);
    is_good &= put_check(text, "serializable_read", survey->wrong[PD_HTTP1_STEP_READ_LOCAL]);
    if (is_ready) {
        is_good &= put_check(text, "linearizable_read", survey->wrong[PD_HTTP1_STEP_READ]);
        is_good &= put_check(text, "non_learner",
                             survey->wrong[PD_HTTP1_STEP_STATUS][0] != '\0'
                                 ? survey->wrong[PD_HTTP1_STEP_STATUS]
                             : survey->is_learner ? "this node is a learner"
                                                  : "");
        const atomic_bool *stops = http->shared->config.is_stopping;
        if (stops != NULL && atomic_load(stops)) {
            is_good &= put_check(text, "serving", "this node is about to stop");
        }
    }
    if (is_good && !pd_http1_has_parameter(http, "verbose")) {
        pd_http1_answer_words(http, 200, "", "ok\n");
        return;
    }
    if (is_good) {
        pd_text_puts(text, "ok\n");
    } else {
        pd_text_format(text, "%s check failed\n", http->page->path);
    }
    pd_http1_answer(http, is_good ? 200 : 503, PD_HTTP1_PLAIN, "", pd_text_span(text));
}

static void answer_metrics(struct pd_http1 *http)
{
    const struct pd_http1_shared *shared = http->shared;
    struct pd_backend_figures figures;
    struct pd_gateway_counters counters = *shared->gateway_counters;
    const struct pd_metrics metrics = {
        .version = shared->version,
        .member_id = shared->backend->member_id,
        .figures = shared->backend->ops->figures == NULL ? NULL : &figures,
        .counters = &counters,
        .native = shared->native_counters,
        .http = &shared->counters,
    };
    if (metrics.figures != NULL) {
        shared->backend->ops->figures(shared->backend, &figures);
    }
    pd_service_counters(shared->service, &counters.service);
    pd_text_reset(&http->answer);
    pd_metrics_write(&metrics, &http->answer);
    if (shared->backend->ops->more_metrics != NULL) {
        shared->backend->ops->more_metrics(shared->backend, &http->answer);
    }
    pd_http1_answer(http, 200, "text/plain; version=0.0.4; charset=utf-8", "",
                    pd_text_span(&http->answer));
}

static void write_page(struct pd_http1 *http, const Etcdserverpb__MemberListResponse *members)
{
    char host[PD_HTTP1_VALUE_MAX + 1];
    struct pd_span given = pd_http1_header(http, PD_HTTP1_HEADER_HOST);
    (void)snprintf(host, sizeof host, "%.*s", (int)given.size, (const char *)given.bytes);
    const struct pd_browser_page page = {
        .cluster_id = http->shared->backend->cluster_id,
        .member_id = http->shared->backend->member_id,
        .version = http->shared->version,
        .host = host,
        .survey = &http->survey,
        .members = members,
    };
    pd_text_reset(&http->answer);
    pd_browser_write(&page, &http->answer);
    http->survey.is_written = true;
}

static void answer_browser(struct pd_http1 *http)
{
    if (!http->survey.is_written) {
        write_page(http, NULL);
    }
    pd_http1_answer(http, 200, PD_HTTP1_HTML, PD_BROWSER_HEADERS, pd_text_span(&http->answer));
}

static void answer(struct pd_http1 *http)
{
    switch (http->page->kind) {
    case PD_HTTP1_PAGE_VERSION:
        answer_version(http);
        return;
    case PD_HTTP1_PAGE_HEALTH:
        answer_health(http);
        return;
    case PD_HTTP1_PAGE_LIVEZ:
        answer_checks(http, false);
        return;
    case PD_HTTP1_PAGE_READYZ:
        answer_checks(http, true);
        return;
    case PD_HTTP1_PAGE_METRICS:
        answer_metrics(http);
        return;
    case PD_HTTP1_PAGE_BROWSER:
        answer_browser(http);
        return;
    }
}

/* -- What is asked ----------------------------------------------------------------------------- */

static void take_status(struct pd_http1_survey *survey, const Etcdserverpb__StatusResponse *status)
{
    survey->revision = status->header->revision;
    survey->term = status->raftterm;
    survey->leader = status->leader;
    survey->store_bytes = status->dbsize;
    survey->committed_index = status->raftindex;
    survey->applied_index = status->raftappliedindex;
    survey->is_learner = status->islearner;
    survey->disk_is_low = status->n_errors > 0;
}

static bool on_response(struct pd_service_call *call, const ProtobufCMessage *message)
{
    struct pd_http1 *http = pd_service_context(call);
    const void *any = message;
    if (message->descriptor == &etcdserverpb__status_response__descriptor) {
        take_status(&http->survey, any);
    } else if (message->descriptor == &etcdserverpb__member_list_response__descriptor) {
        write_page(http, any);
    }
    return true;
}

static void step_ended(struct pd_http1 *http, const char *wrong)
{
    struct pd_http1_survey *survey = &http->survey;
    (void)snprintf(survey->wrong[survey->step], PD_HTTP1_WORDS_MAX, "%s", wrong);
    survey->step++;
    survey->goes_on = true;
    http->owner.wants_output(http->owner.connection);
}

static void on_ended(struct pd_service_call *call, enum pd_service_code code, const char *text)
{
    struct pd_http1 *http = pd_service_context(call);
    http->call = NULL;
    step_ended(http, code == PD_CODE_OK ? "" : text);
}

static void on_roomy(struct pd_service_call *call)
{
    (void)call;
}

static const struct pd_service_carrier carrier = {
    .response = on_response, .ended = on_ended, .roomy = on_roomy};

static void ask(struct pd_http1 *http, const char *path, const ProtobufCMessage *message)
{
    const struct pd_service_method *method =
        pd_service_find((struct pd_span){(const uint8_t *)path, strlen(path)});
    pd_assert(method != NULL);
    http->call = pd_service_begin(http->shared->service, method, &carrier, http, &http->client);
    if (http->call == NULL) {
        step_ended(http, "etcdserver: too many requests");
        return;
    }
    pd_service_request(http->call, message);
    if (http->call != NULL) {
        pd_service_half_close(http->call);
    }
}

static void ask_range(struct pd_http1 *http, bool serializable)
{
    static uint8_t key[] = {'h', 'e', 'a', 'l', 't', 'h'};
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = (ProtobufCBinaryData){.len = sizeof key, .data = key};
    range.limit = 1;
    range.keys_only = true;
    range.serializable = serializable;
    ask(http, "/etcdserverpb.KV/Range", &range.base);
}

static void begin_step(struct pd_http1 *http)
{
    Etcdserverpb__StatusRequest status = ETCDSERVERPB__STATUS_REQUEST__INIT;
    Etcdserverpb__MemberListRequest list = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    switch (http->survey.step) {
    case PD_HTTP1_STEP_STATUS:
        ask(http, "/etcdserverpb.Maintenance/Status", &status.base);
        return;
    case PD_HTTP1_STEP_READ_LOCAL:
    case PD_HTTP1_STEP_READ:
        ask_range(http, http->survey.step == PD_HTTP1_STEP_READ_LOCAL);
        return;
    case PD_HTTP1_STEP_MEMBERS:
        ask(http, "/etcdserverpb.Cluster/MemberList", &list.base);
        return;
    case PD_HTTP1_STEP_COUNT:
        return;
    }
}

void pd_http1_page_go_on(struct pd_http1 *http)
{
    struct pd_http1_survey *survey = &http->survey;
    while (survey->goes_on && !http->is_done) {
        while (survey->step < PD_HTTP1_STEP_COUNT && (survey->wanted & bit_of(survey->step)) == 0) {
            survey->step++;
        }
        survey->goes_on = false;
        if (survey->step == PD_HTTP1_STEP_COUNT) {
            answer(http);
        } else {
            begin_step(http);
        }
    }
}

static unsigned steps_of(const struct pd_http1 *http)
{
    unsigned status = bit_of(PD_HTTP1_STEP_STATUS);
    unsigned local = bit_of(PD_HTTP1_STEP_READ_LOCAL);
    unsigned read = bit_of(PD_HTTP1_STEP_READ);
    switch (http->page->kind) {
    case PD_HTTP1_PAGE_VERSION:
        return 0;
    case PD_HTTP1_PAGE_HEALTH:
        return status | (pd_http1_has_parameter(http, "serializable") ? local : read);
    case PD_HTTP1_PAGE_LIVEZ:
        return local;
    case PD_HTTP1_PAGE_READYZ:
        return status | local | read;
    case PD_HTTP1_PAGE_METRICS:
        return 0;
    case PD_HTTP1_PAGE_BROWSER:
        return status | bit_of(PD_HTTP1_STEP_MEMBERS);
    }
    return 0;
}

void pd_http1_page_begin(struct pd_http1 *http)
{
    memset(&http->survey, 0, sizeof http->survey);
    http->survey.wanted = steps_of(http);
    http->survey.deadline_ns = http->now_ns + http->shared->config.page_ns;
    http->survey.goes_on = true;
    pd_http1_page_go_on(http);
}

uint64_t pd_http1_page_deadline_ns(const struct pd_http1 *http)
{
    return http->page != NULL && http->call != NULL ? http->survey.deadline_ns : UINT64_MAX;
}

/* The step that has not ended has failed, and those behind it get no time of their own. */
void pd_http1_page_expire(struct pd_http1 *http)
{
    struct pd_service_call *call = http->call;
    http->call = NULL;
    pd_service_cancel(call);
    for (; http->survey.step < PD_HTTP1_STEP_COUNT; http->survey.step++) {
        (void)snprintf(http->survey.wrong[http->survey.step], PD_HTTP1_WORDS_MAX,
                       "no answer within %" PRIu64 " ms",
                       http->shared->config.page_ns / UINT64_C(1000000));
    }
    http->survey.goes_on = true;
    pd_http1_page_go_on(http);
}
