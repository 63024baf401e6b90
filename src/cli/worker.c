#include "cli/worker.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/hosted.h"
#include "cli/node_folder.h"
#include "cli/node_log.h"
#include "cli/run.h"
#include "cli/signals.h"
#include "cli/streams.h"
#include "host/disk.h"
#include "host/hangup.h"
#include "host/output.h"
#include "host/real.h"
#include "node/members.h"
#include "node/members_file.h"
#include "node/store_link.h"

#define FIRST_NS UINT64_C(15000000000) /* to find a member that lets it in */
#define SIGNAL_CODE 128

/* Nothing to run yet: it keeps its place until somebody ends it. */
static int wait_for_signal(void)
{
    sigset_t set = pd_host_ending_signals();
    int number = 0;
    while (sigwait(&set, &number) != 0) {
    }
    pd_host_output_hurry();
    return PD_EXIT_CODE_OK;
}

/* Ends the watch for signals. As of a node: to be asked to stop is no failure. */
static int run_app(const struct pd_settings *settings, uint64_t node, struct pd_kv_port *kv)
{
    static struct pd_run_options options; /* too large for a frame */
    options = pd_hosted_options(settings, node);
    struct pd_program *program = pd_run_begin(&options, kv);
    if (program == NULL) {
        pd_signals_stop();
        return PD_EXIT_CODE_FAILED;
    }
    pd_signals_attach(program);
    int code = pd_run_main(&options);
    pd_signals_stop();
    pd_run_end();
    int last = pd_signals_last();
    bool was_stopped = last == SIGTERM || last == SIGHUP;
    return was_stopped && code == SIGNAL_CODE + last ? PD_EXIT_CODE_OK : code;
}

static int run(struct pd_host *host, const struct pd_settings *settings,
               const struct pd_members_file *file)
{
    struct pd_net_identity identity;
    char text[PD_STORE_CLUSTER_TEXT_MAX];
    struct pd_store_cluster_link *link = NULL;
    struct pd_store_port_config config = pd_store_port_config_default();
    config.host = host;
    int code = pd_node_folder_key(host, settings->data, &identity);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    pd_signals_watch(NULL); /* while it looks for a member */
    enum pd_status status =
        pd_store_cluster_link_open_member(&identity, file, FIRST_NS, &config, text, &link);
    if (status != PD_OK || settings->app == NULL) {
        pd_signals_stop();
    }
    if (status != PD_OK) {
        return pd_node_log_failed("%s", text[0] == '\0' ? pd_status_text(status) : text);
    }
    uint64_t node = pd_members_node_of(identity.key);
    pd_node_log(PD_LOG_INFO, "ready: worker %016" PRIx64 " of cluster %016" PRIx64 ", data %s%s",
                node, file->cluster_id, settings->data,
                settings->app != NULL ? "" : "; it runs nothing: --app FILE says what");
    code = settings->app == NULL
               ? wait_for_signal()
               : run_app(settings, node, pd_store_port_interface(pd_store_cluster_link_port(link)));
    pd_store_cluster_link_close(link);
    return code;
}

/* A look at a folder that may be another process's. False: no worker's; who starts a node there
 * tells why it cannot be read. */
static bool is_workers(const char *folder, struct pd_members_file *file_out)
{
    struct pd_disk *disk = NULL;
    char why[128];
    bool is_worker = false;
    if (pd_host_disk_open(folder, false, &disk) != PD_OK) {
        return false;
    }
    if (pd_members_file_read(disk, why, sizeof why, file_out) == PD_OK) {
        is_worker = file_out->start == PD_MEMBERS_START_WORKER;
        if (!is_worker) {
            pd_members_file_deinit(file_out);
        }
    }
    disk->ops->close_disk(disk);
    return is_worker;
}

bool pd_worker_main(const struct pd_settings *settings, int *code_out)
{
    struct pd_real_host *real = NULL;
    struct pd_members_file file;
    struct pd_disk *disk = NULL;
    if (!is_workers(settings->data, &file)) {
        return false;
    }
    pd_streams_print_without_waiting();
    *code_out = pd_node_folder_hold(settings->data, &disk);
    if (*code_out == PD_EXIT_CODE_OK) {
        pd_signals_block();
        *code_out = pd_real_host_create(1, 16, &real) == PD_OK
                        ? run(pd_real_host_interface(real), settings, &file)
                        : pd_node_log_failed("cannot start: no memory or threads");
        pd_real_host_destroy(real);
        disk->ops->close_disk(disk);
    }
    pd_members_file_deinit(&file);
    return true;
}
