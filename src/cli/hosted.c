#include "cli/hosted.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/node_log.h"
#include "cli/run.h"
#include "host/real.h"
#include "kv/member.h"
#include "node/program.h"
#include "node/program_metrics.h"
#include "node/store_link.h"

#define NODE_VARIABLE "PANDO_NODE="
#define SHUTDOWN_NS UINT64_C(5000000000) /* then it is killed */

struct pd_hosted {
    struct pd_run_options options;
    struct pd_host *host;
    struct pd_store_server_link *link;
    struct pd_program *program;
    struct pd_thread thread;
    struct pd_event ended;
    bool is_started;
};

struct pd_run_options pd_hosted_options(const struct pd_settings *settings, uint64_t node)
{
    static char variable[PD_KV_MEMBER_NAME_MAX + sizeof NODE_VARIABLE];
    struct pd_run_options options = pd_run_options_default();
    options.file = settings->app;
    options.kv_prefix = settings->allow_kv;
    options.guest_bytes_max =
        settings->app_memory != 0 ? settings->app_memory : pd_real_host_memory_bytes() / 2;
    memcpy(options.directories, settings->dir.texts,
           settings->dir.count * sizeof settings->dir.texts[0]);
    options.directory_count = (int)settings->dir.count;
    options.arguments = settings->app_words;
    options.argument_count = settings->app_word_count;
    int size = settings->name != NULL
                   ? snprintf(variable, sizeof variable, NODE_VARIABLE "%s", settings->name)
                   : snprintf(variable, sizeof variable, NODE_VARIABLE "%016" PRIx64, node);
    if ((size_t)size < sizeof variable) {
        options.variables[options.variable_count++] = variable;
        options.host_node = variable + sizeof NODE_VARIABLE - 1;
    }
    return options;
}

int pd_hosted_check(const struct pd_settings *settings)
{
    static struct pd_run_options options; /* too large for a frame */
    if (settings->app == NULL) {
        return PD_EXIT_CODE_OK;
    }
    options = pd_hosted_options(settings, 0);
    return pd_run_check(&options);
}

static void hosted_main(void *argument)
{
    struct pd_hosted *hosted = argument;
    int code = pd_run_main(&hosted->options);
    pd_node_log(code == 0 ? PD_LOG_INFO : PD_LOG_WARNING, "%s has ended with exit code %d",
                hosted->options.file, code);
    hosted->host->ops->event_set(hosted->host, &hosted->ended);
}

static int start(struct pd_hosted *hosted, struct pd_server *server)
{
    struct pd_store_port_config config = pd_store_port_config_default();
    config.host = hosted->host;
    enum pd_status status = pd_store_server_link_open(server, &config, &hosted->link);
    if (status != PD_OK) {
        return pd_command_failed("cannot give the application the store: %s",
                                 pd_status_text(status));
    }
    hosted->program = pd_run_begin(
        &hosted->options, pd_store_port_interface(pd_store_server_link_port(hosted->link)));
    if (hosted->program == NULL) {
        return PD_EXIT_CODE_FAILED;
    }
    status = hosted->host->ops->thread_start(hosted->host, "pando-app", PD_THREAD_LOW, hosted_main,
                                             hosted, &hosted->thread);
    if (status != PD_OK) {
        return pd_command_failed("cannot start a thread");
    }
    hosted->is_started = true;
    return PD_EXIT_CODE_OK;
}

int pd_hosted_open(const struct pd_run_options *options, struct pd_host *host,
                   struct pd_server *server, struct pd_hosted **hosted_out)
{
    struct pd_hosted *hosted = pd_alloc_zeroed(1, sizeof *hosted);
    if (hosted == NULL) {
        return pd_command_failed("no memory");
    }
    hosted->options = *options;
    hosted->host = host;
    int code = start(hosted, server);
    if (code != PD_EXIT_CODE_OK) {
        pd_hosted_close(hosted);
        return code;
    }
    *hosted_out = hosted;
    return PD_EXIT_CODE_OK;
}

/* Its main process is asked to end, and then killed. One that has ended does not mind. */
static void stop(struct pd_hosted *hosted)
{
    struct pd_host *host = hosted->host;
    bool has_ended = false;
    for (int i = 0; i < 2 && !has_ended; i++) {
        uint64_t deadline_ns = i == 0 ? pd_host_now_ns(host) + SHUTDOWN_NS : PD_TIME_NEVER;
        pd_program_interrupt(hosted->program);
        has_ended = host->ops->event_wait(host, &hosted->ended, deadline_ns);
    }
    host->ops->thread_join(host, hosted->thread);
}

void pd_hosted_metrics(struct pd_hosted *hosted, struct pd_text *text)
{
    pd_program_metrics_write(hosted->program, text);
}

void pd_hosted_stop(struct pd_hosted *hosted)
{
    if (hosted != NULL && hosted->is_started) {
        stop(hosted);
        hosted->is_started = false;
    }
}

void pd_hosted_close(struct pd_hosted *hosted)
{
    if (hosted == NULL) {
        return;
    }
    pd_hosted_stop(hosted);
    if (hosted->program != NULL) {
        pd_run_end();
    }
    pd_store_server_link_close(hosted->link);
    pd_free(hosted);
}
