/* pando run FILE: one module, or an application file, until its main process ends. */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "cli/app_command.h"
#include "cli/cluster_ticket.h"
#include "cli/command.h"
#include "cli/node_log.h"
#include "cli/run.h"
#include "cli/run_wasi.h"
#include "cli/signals.h"
#include "cli/test.h"
#include "client/node_client.h"
#include "host/hangup.h"
#include "node/app_run.h"
#include "node/control.h"
#include "node/crash_report.h"
#include "node/program.h"
#include "node/store_link.h"
#include "wasm/wasi.h"

#define EXIT_CODE_SIGNAL 128
#define CLUSTER_NS UINT64_C(15000000000) /* to find a member that lets us in */
#define WATCH_NS UINT64_C(500000000)     /* between two looks at the module files */

static struct pd_module_message message; /* 2 KiB, once */
static struct pd_crash_reports reports;
static struct pd_control control;

/* The network must be asked for: a program from elsewhere does not reach for it unseen. */
static bool allow_network(const struct pd_run_options *options, struct pd_rights *rights)
{
    char why[256];
    rights->network = (uint8_t)(options->has_network ? options->network : PD_NETWORK_NONE);
    return rights->network != PD_NETWORK_LIST ||
           pd_net_list_parse(options->network_list, &rights->network_list, why, sizeof why) ==
               PD_OK;
}

/* The first actor's rights: all but what was denied; directories and environment only as given. */
int pd_run_rights(struct pd_program *program, const struct pd_run_options *options,
                  struct pd_rights **rights_out)
{
    struct pd_rights *rights =
        pd_rights_create(program->files, options->memory_bytes_max, options->fuel_portions_max);
    if (rights == NULL) {
        return pd_command_failed("no memory");
    }
    rights->can_spawn = !options->deny_spawn;
    rights->can_compile = !options->deny_compile;
    rights->can_configure = !options->deny_configure;
    if (!allow_network(options, rights)) {
        pd_rights_release(rights);
        return pd_command_failed("no memory");
    }
    pd_wasi_config_set_stdio(rights->wasi, !options->deny_stdio);
    if (options->kv_prefix != NULL &&
        pd_rights_allow_kv(rights, options->kv_prefix, (uint32_t)strlen(options->kv_prefix)) !=
            PD_OK) {
        pd_rights_release(rights);
        return pd_command_failed("no memory");
    }
    int result = PD_EXIT_CODE_FAILED;
    const char *slash = options->is_as_lunatic ? strrchr(options->file, '/') : NULL;
    const char *name = slash == NULL ? options->file : slash + 1;
    if (pd_wasi_config_add_argument(rights->wasi, name, strlen(name)) == PD_OK) {
        result = pd_run_extend_wasi(options, rights->wasi);
    }
    if (result != PD_EXIT_CODE_OK) {
        pd_rights_release(rights);
        return result;
    }
    *rights_out = rights;
    return PD_EXIT_CODE_OK;
}

static int start_module(struct pd_program *program, const struct pd_run_options *options,
                        struct pd_module *module)
{
    struct pd_rights *rights = NULL;
    int result = pd_run_rights(program, options, &rights);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    static const char start[] = "_start";
    struct pd_wasm_spawn spawn = {
        .environment = program->environment,
        .module = module,
        .rights = rights,
        .entry = {.function = start,
                  .function_size = sizeof start - 1,
                  .is_initialized_first = true},
    };
    struct pd_wasm_process *main_process = NULL;
    enum pd_status status = pd_wasm_process_create(&program->system, &spawn, &main_process);
    pd_rights_release(rights);
    if (status == PD_ERR_NO_MEMORY && module->memory_bytes_min > options->memory_bytes_max) {
        return pd_command_failed("cannot start %s: its memory begins with %" PRIu64
                                 " KiB, and --max-memory allows %" PRIu64 " bytes",
                                 options->file, module->memory_bytes_min / 1024,
                                 options->memory_bytes_max);
    }
    if (status != PD_OK) {
        return pd_command_failed("cannot start %s: %s", options->file, pd_status_text(status));
    }
    pd_program_start_main(program, main_process->process);
    return PD_EXIT_CODE_OK;
}

/* Poll the module files between two interrupts, if asked to. */
static bool wait_and_watch(struct pd_program *program, struct pd_app_run *watched, uint32_t seen)
{
    for (;;) {
        uint64_t deadline_ns =
            watched == NULL ? PD_TIME_NEVER : pd_host_now_ns(program->host) + WATCH_NS;
        if (pd_program_wait(program, seen, deadline_ns)) {
            return true;
        }
        if (watched == NULL || atomic_load(&program->interrupts) > seen) {
            return false;
        }
        uint32_t count = pd_app_run_poll(watched);
        if (count > 0) {
            (void)fprintf(stderr, "pando: %u children are replaced: their module changed\n", count);
        }
    }
}

/* First interrupt: ask for the end in order. Second: end it. Returns the exit code. */
static int wait_for_end(struct pd_program *program, struct pd_app_run *watched)
{
    uint32_t seen = 0;
    while (!wait_and_watch(program, watched, seen)) {
        if (atomic_load(&program->interrupts) == seen) {
            return pd_command_failed("deadlock: every process waits, and nothing will wake them");
        }
        seen++;
        uint64_t pid = atomic_load(&program->main_pid);
        if (seen == 1) {
            pd_node_log(PD_LOG_INFO, "shutting down (once more to kill)");
            (void)!pd_program_exit_signal(program, pid, PD_EXIT_SHUTDOWN, "interrupted");
        } else {
            pd_crash_reports_hush(&reports);
            (void)!pd_program_exit_signal(program, pid, PD_EXIT_KILLED, "interrupted again");
            pd_program_kill_all(program);
        }
    }
    if (seen > 0 && (program->main_exit.reason == PD_EXIT_SHUTDOWN ||
                     program->main_exit.reason == PD_EXIT_KILLED)) {
        return EXIT_CODE_SIGNAL + pd_signals_last();
    }
    bool is_told = program->has_main_exit_code || atomic_load(&reports.has_told_main);
    if (program->main_exit_code != 0 && !is_told) {
        const char *text = pd_exit_text_bytes(program->main_exit.text);
        (void)fprintf(stderr, "pando: main ended: %s%s%s\n",
                      pd_exit_reason_text(program->main_exit.reason), text[0] == '\0' ? "" : ": ",
                      text);
    }
    return (int)program->main_exit_code;
}

static void print_stats(struct pd_program *program)
{
    uint64_t runs = 0;
    uint64_t steals = 0;
    for (uint32_t i = 0; i < program->runtime.scheduler_count; i++) {
        runs += atomic_load(&program->runtime.schedulers[i].run_count);
        steals += atomic_load(&program->runtime.schedulers[i].steal_count);
    }
    (void)fprintf(stderr,
                  "pando: %u scheduler threads, %llu turns, %llu thefts, %llu processes made\n",
                  program->runtime.scheduler_count, (unsigned long long)runs,
                  (unsigned long long)steals, (unsigned long long)program->environment->pid_last);
}

/* It is running: see it through. */
static int see_through(struct pd_program *program, const struct pd_run_options *options,
                       struct pd_app_run *watched)
{
    int result = wait_for_end(program, watched);
    pd_crash_reports_hush(&reports);
    pd_program_kill_all(program);
    if (options->is_seeded) {
        (void)fprintf(stderr, "pando: seed %llu trace %016llx events %llu\n",
                      (unsigned long long)options->seed, (unsigned long long)program->trace.hash,
                      (unsigned long long)program->trace.event_count);
    }
    if (options->has_stats) {
        print_stats(program);
    }
    return result;
}

static int load_module(struct pd_program *program, const struct pd_run_options *options,
                       struct pd_module **module_out)
{
    enum pd_status status =
        pd_program_load(program, options->profile, options->file, module_out, &message);
    return status == PD_OK ? PD_EXIT_CODE_OK
                           : pd_command_failed("%s: %s", options->file, message.text);
}

static int check_module(struct pd_program *program, const struct pd_run_options *options)
{
    struct pd_module *module = NULL;
    struct pd_rights *rights = NULL;
    int result = load_module(program, options, &module);
    if (result == PD_EXIT_CODE_OK) {
        pd_module_release(module);
        result = pd_run_rights(program, options, &rights);
    }
    if (result == PD_EXIT_CODE_OK) {
        pd_rights_release(rights);
    }
    return result;
}

static int run_module(struct pd_program *program, const struct pd_run_options *options)
{
    if (options->is_watching) {
        return pd_command_usage(&pd_command_run, "--watch is for application files");
    }
    program->system.is_tagged = options->is_tagged;
    struct pd_module *module = NULL;
    uint64_t began_ns = pd_host_now_ns(program->host);
    int result = load_module(program, options, &module);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    if (options->has_stats) {
        (void)fprintf(stderr, "pando: the module was %s in %.3f ms\n",
                      module->is_cached ? "taken from the cache" : "compiled",
                      (double)(pd_host_now_ns(program->host) - began_ns) / 1e6);
    }
    result = start_module(program, options, module);
    if (result == PD_EXIT_CODE_OK) {
        result = see_through(program, options, NULL);
    }
    pd_module_release(module);
    return result;
}

static bool extend_worker(void *context, struct pd_wasi_config *config)
{
    return pd_run_extend_wasi(context, config) == PD_EXIT_CODE_OK;
}

/* *app_out and *run_out are the caller's to end, with PD_EXIT_CODE_OK. */
static int load_app(struct pd_program *program, const struct pd_run_options *options,
                    struct pd_app **app_out, struct pd_app_run *run_out)
{
    int result = pd_app_command_load(options->file, app_out);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    const struct pd_app_operator operator_ = {
        .deny_spawn = options->deny_spawn,
        .deny_compile = options->deny_compile,
        .deny_configure = options->deny_configure,
        .deny_stdio = options->deny_stdio,
        .is_tagged = options->is_tagged,
        .network = options->network,
        .network_list = options->network_list,
        .memory_bytes_max = options->memory_bytes_max,
        .fuel_portions_max = options->fuel_portions_max,
        .kv_prefix = options->kv_prefix,
        .profile = options->profile,
        .extend = extend_worker,
        .context = (void *)(uintptr_t)options, /* which it only reads */
    };
    if (pd_app_run_open(run_out, program, *app_out, &operator_, &message) != PD_OK) {
        pd_app_destroy(*app_out);
        return pd_command_failed("%s: %s", options->file, message.text);
    }
    return PD_EXIT_CODE_OK;
}

static int check_app(struct pd_program *program, const struct pd_run_options *options)
{
    struct pd_app *app = NULL;
    struct pd_app_run run;
    int result = load_app(program, options, &app, &run);
    if (result == PD_EXIT_CODE_OK) {
        pd_app_run_close(&run);
        pd_app_destroy(app);
    }
    return result;
}

static int run_app(struct pd_program *program, const struct pd_run_options *options)
{
    struct pd_app *app = NULL;
    struct pd_app_run run;
    if (options->listener_count > 0) {
        return pd_command_usage(&pd_command_run,
                                "--listen is for a module: an application has many that could "
                                "take the port");
    }
    int result = load_app(program, options, &app, &run);
    if (result != PD_EXIT_CODE_OK) {
        return result;
    }
    enum pd_status status = pd_app_run_start(&run);
    result = status == PD_OK ? see_through(program, options, options->is_watching ? &run : NULL)
                             : pd_command_failed("%s: cannot start the root supervisor: %s",
                                                 options->file, pd_status_text(status));
    pd_app_run_close(&run);
    pd_app_destroy(app);
    return result;
}

static void sweep_reports(void *context)
{
    pd_crash_reports_sweep(context);
}

/* Let ps, info, kill and trace look inside. The program runs as well without: who asks for figures
 * is told. */
static bool open_control(struct pd_program *program, const struct pd_run_options *options)
{
    char why[PD_CONTROL_WHY_SIZE];
    const struct pd_control_target target = {.program = program,
                                             .os_pid = (int)getpid(),
                                             .file = options->file,
                                             .node = options->host_node,
                                             .began_ns = pd_host_now_ns(program->host)};
    enum pd_status status = pd_control_open(&control, &target, sweep_reports, &reports, why);
    if (status != PD_OK && options->host_node != NULL) {
        pd_node_log(PD_LOG_WARNING, "pando ps cannot look into %s: %s", options->file, why);
    } else if (status != PD_OK && status != PD_ERR_UNSUPPORTED && options->has_stats) {
        (void)fprintf(stderr, "pando: pando ps cannot look into this run: %s\n", why);
    }
    return status == PD_OK;
}

static bool is_app_file(const char *file)
{
    const char *dot = strrchr(file, '.');
    return dot != NULL && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static struct pd_program program;

struct pd_program *pd_run_begin(const struct pd_run_options *options, struct pd_kv_port *kv)
{
    struct pd_program_config config = pd_program_config_default();
    config.is_deterministic = options->is_seeded;
    config.seed = options->seed;
    config.yield_interval = options->yield_interval;
    config.scheduler_count = options->scheduler_count;
    config.kv = kv;
    config.guest_bytes_max = options->guest_bytes_max;
    if (pd_program_open(&program, &config, &message) != PD_OK) {
        (void)pd_command_failed("%s", message.text);
        return NULL;
    }
    pd_crash_reports_init(&reports, &program, options->crash_mode);
    return &program;
}

int pd_run_main(struct pd_run_options *options)
{
    bool has_control = open_control(&program, options);
    int result =
        is_app_file(options->file) ? run_app(&program, options) : run_module(&program, options);
    if (has_control) {
        pd_control_close(&control);
    }
    return result;
}

void pd_run_end(void)
{
    pd_crash_reports_deinit(&reports);
    pd_program_close(&program);
}

/* The compiler's threads stay: signals are for others, here as in a run. */
int pd_run_check(const struct pd_run_options *options)
{
    const sigset_t held = pd_host_ending_signals();
    sigset_t before;
    int masked = pthread_sigmask(SIG_BLOCK, &held, &before);
    pd_assert(masked == 0);
    int result = PD_EXIT_CODE_FAILED;
    if (pd_run_begin(options, NULL) != NULL) {
        result = is_app_file(options->file) ? check_app(&program, options)
                                            : check_module(&program, options);
        pd_run_end();
    }
    masked = pthread_sigmask(SIG_SETMASK, &before, NULL);
    pd_assert(masked == 0);
    return result;
}

/* Where the node listens: `node` is its folder, or the socket itself. */
static bool socket_path(const char *node, char path[PD_NODE_PATH_MAX])
{
    struct stat about;
    bool is_socket = stat(node, &about) == 0 && S_ISSOCK(about.st_mode);
    return pd_node_socket_path(node, is_socket ? node : NULL, path);
}

/* The store that the words of the command name; all NULL: none. */
struct store {
    struct pd_real_host *host;
    struct pd_store_socket_link *node;
    struct pd_store_cluster_link *cluster;
    struct pd_store_port *port;
};

static int open_cluster(const struct pd_run_options *options,
                        const struct pd_store_port_config *config, struct store *store)
{
    char ticket[PD_TICKET_TEXT_MAX];
    char text[PD_STORE_CLUSTER_TEXT_MAX];
    int code = pd_cluster_ticket_read(options->cluster, ticket);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    enum pd_status status =
        pd_store_cluster_link_open(ticket, CLUSTER_NS, config, text, &store->cluster);
    if (status != PD_OK) {
        return pd_command_failed("%s", text[0] == '\0' ? pd_status_text(status) : text);
    }
    store->port = pd_store_cluster_link_port(store->cluster);
    return PD_EXIT_CODE_OK;
}

static int open_store(const struct pd_run_options *options, struct store *store)
{
    char path[PD_NODE_PATH_MAX];
    char text[PD_FRAMES_TEXT_MAX];
    if (options->node == NULL && options->cluster == NULL) {
        return PD_EXIT_CODE_OK;
    }
    if (options->node != NULL && !socket_path(options->node, path)) {
        return pd_command_failed("the path of the node's socket is too long");
    }
    if (pd_real_host_create(1, 16, &store->host) != PD_OK) {
        return pd_command_failed("cannot start: no memory or threads");
    }
    struct pd_store_port_config config = pd_store_port_config_default();
    config.host = pd_real_host_interface(store->host);
    if (options->cluster != NULL) {
        return open_cluster(options, &config, store);
    }
    enum pd_status status = pd_store_socket_link_open(path, &config, text, &store->node);
    if (status != PD_OK) {
        return pd_command_failed("%s%s", text[0] == '\0' ? pd_status_text(status) : text,
                                 status == PD_ERR_CLOSED
                                     ? ". Start one with 'pando start', or name its folder with "
                                       "--node"
                                     : "");
    }
    store->port = pd_store_socket_link_port(store->node);
    return PD_EXIT_CODE_OK;
}

int pd_run_command(struct pd_run_options *options)
{
    struct store store = {NULL, NULL, NULL, NULL};
    pd_signals_block();
    pd_signals_watch(NULL); /* while it looks for the store, which may take long */
    int result = open_store(options, &store);
    bool has_begun = false;
    if (result == PD_EXIT_CODE_OK) {
        struct pd_kv_port *kv = store.port == NULL ? NULL : pd_store_port_interface(store.port);
        has_begun = pd_run_begin(options, kv) != NULL;
        result = PD_EXIT_CODE_FAILED;
    }
    if (has_begun) {
        pd_signals_attach(&program);
        result = pd_run_main(options);
    }
    pd_signals_stop();
    if (has_begun) {
        pd_run_end();
    }
    pd_store_socket_link_close(store.node);
    pd_store_cluster_link_close(store.cluster);
    pd_real_host_destroy(store.host);
    return result;
}

static int run_run(int count, char **words)
{
    struct pd_run_options options;
    int result = PD_EXIT_CODE_OK;
    if (!pd_run_options_parse(count, words, &options, &result)) {
        return result;
    }
    if (pd_test_is_cargos(options.file, options.argument_count, options.arguments)) {
        return pd_test_run_for_cargo(&options);
    }
    return pd_run_command(&options);
}

const struct pd_command pd_command_run = {
    .name = "run",
    .arguments = "FILE [ARGUMENT...]",
    .summary = "run a WebAssembly module or an application file",
    .help =
        "The file is a module (FILE.wasm) or an application (FILE.yaml); what follows it is the\n"
        "guest's. Exit code: the guest's own; 1 after a trap; 2 when the words of the command are\n"
        "wrong.\n",
    .options = pd_run_options_table,
    .words_min = 1,
    .words_max = INT_MAX,
    .rest_is_words = true,
    .examples = "pando run hello.wasm\n"
                "pando run --dir .::/data --env LANG=C tool.wasm /data/input.txt\n"
                "pando run --seed 7 app.wasm\n"
                "pando run --node pando-data --allow-kv app/ app.wasm\n"
                "pando run --cluster @ticket --allow-kv app/ app.wasm\n",
    .run = run_run,
};
