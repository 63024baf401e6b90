/* The application file: what a good one means, and what is said about bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "node/app.h"

#define TEXT_SIZE 32768u

/* --- Files of make-believe -------------------------------------------------------------------- */

static enum pd_status read_fake(void *context, const char *path, uint8_t *bytes, size_t size,
                                size_t *size_out)
{
    static const uint8_t module[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    static const uint8_t component[] = {0, 'a', 's', 'm', 0x0d, 0, 1, 0};
    (void)context;
    const uint8_t *from = module;
    size_t count = sizeof module;
    if (strstr(path, "missing") != NULL) {
        return PD_ERR_UNKNOWN;
    }
    if (strstr(path, "secret") != NULL) {
        return PD_ERR_DENIED;
    }
    if (strstr(path, "folder") != NULL) {
        return PD_ERR_INVALID;
    }
    if (strstr(path, "broken") != NULL) {
        return PD_ERR_IO;
    }
    if (strstr(path, "component") != NULL) {
        from = component;
    } else if (strstr(path, "text") != NULL) {
        from = (const uint8_t *)"(module)";
    } else if (strstr(path, "short") != NULL) {
        count = 4;
    }
    count = count < size ? count : size;
    memcpy(bytes, from, count);
    *size_out = count;
    return PD_OK;
}

static const struct pd_app_files fake_files = {.context = NULL, .read = read_fake};

struct sink {
    char text[TEXT_SIZE];
    size_t size;
};

static void write_sink(void *context, const char *bytes, size_t size)
{
    struct sink *sink = context;
    assert_true(sink->size + size < TEXT_SIZE);
    memcpy(sink->text + sink->size, bytes, size);
    sink->size += size;
    sink->text[sink->size] = '\0';
}

static struct sink sink;
static const struct pd_app_output to_sink = {.context = &sink, .write = write_sink};

/* The app, or NULL with all mistakes in the sink. */
static struct pd_app *parse(const char *text)
{
    struct pd_app *app = NULL;
    struct pd_app_report report;
    sink.size = 0;
    sink.text[0] = '\0';
    enum pd_status status =
        pd_app_parse(text, strlen(text), "apps/shop.yaml", &fake_files, &app, &report);
    pd_app_report_print(&report, "shop.yaml", &to_sink);
    assert_int_equal(status, report.count == 0 ? PD_OK : PD_ERR_INVALID);
    assert_int_equal(app != NULL, report.count == 0);
    pd_app_report_deinit(&report);
    return app;
}

static struct pd_app *parse_good(const char *text)
{
    struct pd_app *app = parse(text);
    if (app == NULL) {
        fail_msg("a good file is refused:\n%s", sink.text);
    }
    return app;
}

/* Exactly these lines are said. */
static void expect_mistakes(const char *text, const char *wanted)
{
    struct pd_app *app = parse(text);
    if (app != NULL) {
        pd_app_destroy(app);
        fail_msg("a bad file is taken:\n%s", text);
    }
    assert_string_equal(sink.text, wanted);
}

/* --- Good files ------------------------------------------------------------------------------- */

static const char shop[] = "name: shop\n"
                           "supervisor: {strategy: rest_for_one, max_restarts: 7, period: 2m}\n"
                           "permissions:\n"
                           "  network: [\"db:5432\", \"127.0.0.1:80\"]\n"
                           "  max_memory: 1GiB\n"
                           "  directories: [data::/data]\n"
                           "defaults:\n"
                           "  env: {MODE: test, LEVEL: 1}\n"
                           "  shutdown: 250ms\n"
                           "  permissions: {max_fuel: 500}\n"
                           "children:\n"
                           "  - id: counter\n"
                           "    module: counter.wasm\n"
                           "    function: start\n"
                           "    arguments: [1, -2, {v128: \"0x0102\"}]\n"
                           "    restart: transient\n"
                           "    shutdown: infinity\n"
                           "    handles_shutdown: true\n"
                           "    ready: {timeout: 3s}\n"
                           "    env: {LEVEL: 2}\n"
                           "    register: the counter\n"
                           "    profile: guarded\n"
                           "    output_tag: cnt\n"
                           "    permissions:\n"
                           "      spawn: true\n"
                           "      network: [\"db:5432\"]\n"
                           "      max_memory: 64MiB\n"
                           "      kv: shop/\n"
                           "      directories:\n"
                           "        - {host: data/in, guest: /in, access: read}\n"
                           "  - id: sub\n"
                           "    supervisor: dynamic\n"
                           "    permissions: {stdio: false}\n"
                           "    template:\n"
                           "      id: job\n"
                           "      module: /abs/job.wasm\n"
                           "      restart: temporary\n"
                           "  - id: last\n"
                           "    module: last.wasm\n"
                           "    args: [--verbose, \"\"]\n"
                           "    ready: true\n"
                           "    shutdown: brutal\n";

static void a_good_file_says_all_of_it(void **state)
{
    (void)state;
    struct pd_app *app = parse_good(shop);
    assert_string_equal(app->root.id, "shop");
    assert_int_equal(app->child_count, 3);
    const struct pd_app_supervisor *root = &app->root.supervisor;
    assert_int_equal(root->strategy, PD_REST_FOR_ONE);
    assert_int_equal(root->restarts_max, 7);
    assert_int_equal(root->period_ns, UINT64_C(120000000000));
    assert_int_equal(root->child_count, 3);

    const struct pd_app_child *counter = &root->children[0];
    assert_int_equal(counter->kind, PD_CHILD_WORKER);
    assert_string_equal(counter->path, "shop/counter");
    assert_int_equal(counter->line, 12);
    assert_string_equal(counter->module, "counter.wasm");
    assert_string_equal(counter->module_path, "apps/counter.wasm");
    assert_string_equal(counter->function, "start");
    assert_int_equal(counter->argument_count, 3);
    static const uint8_t minus_two[16] = {0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                          0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    static const uint8_t vector[16] = {2, 1};
    assert_int_equal(counter->arguments[0].bytes[0], 1);
    assert_memory_equal(counter->arguments[1].bytes, minus_two, 16);
    assert_memory_equal(counter->arguments[2].bytes, vector, 16);
    assert_true(counter->arguments[2].is_vector);
    assert_int_equal(counter->restart, PD_CHILD_TRANSIENT);
    assert_int_equal(counter->shutdown, PD_CHILD_STOP_INFINITY);
    assert_true(counter->handles_shutdown && counter->needs_ready);
    assert_int_equal(counter->ready_ms, 3000);
    assert_int_equal(counter->variable_count, 2);
    assert_string_equal(counter->variables[0].name, "MODE");
    assert_string_equal(counter->variables[1].value, "2");
    assert_string_equal(counter->registered, "the counter");
    assert_true(counter->has_profile);
    assert_int_equal(counter->profile, PD_ENGINE_GUARDED);
    assert_string_equal(counter->output_tag, "cnt");
    assert_true(counter->rights.can_spawn && counter->rights.has_stdio);
    assert_false(counter->rights.can_compile || counter->rights.can_configure);
    assert_int_equal(counter->rights.network, PD_NETWORK_LIST);
    assert_int_equal(counter->rights.network_count, 1);
    assert_int_equal(counter->rights.memory_bytes_max, 64 << 20);
    assert_int_equal(counter->rights.fuel_portions_max, 500);
    assert_int_equal(counter->rights.directory_count, 1);
    assert_string_equal(counter->rights.directories[0].host, "apps/data/in");
    assert_string_equal(counter->rights.directories[0].guest, "/in");
    assert_false(counter->rights.directories[0].is_writable);

    const struct pd_app_child *sub = &root->children[1];
    assert_int_equal(sub->kind, PD_CHILD_SUPERVISOR);
    assert_int_equal(sub->supervisor.strategy, PD_DYNAMIC);
    const struct pd_app_child *job = sub->supervisor.child_template;
    assert_string_equal(job->path, "shop/sub/job");
    assert_string_equal(job->module_path, "/abs/job.wasm");
    assert_false(job->rights.has_stdio);
    assert_int_equal(job->stop_ms, 250);                     /* of the outer defaults */
    assert_int_equal(job->rights.memory_bytes_max, 1 << 30); /* the bound */

    const struct pd_app_child *last = &root->children[2];
    assert_string_equal(last->function, "_start");
    assert_int_equal(last->word_count, 2);
    assert_string_equal(last->words[0], "--verbose");
    assert_string_equal(last->words[1], "");
    assert_int_equal(last->ready_ms, 5000);
    assert_int_equal(last->shutdown, PD_CHILD_STOP_BRUTAL);
    pd_app_destroy(app);
}

static void the_tree_shows_rights(void **state)
{
    (void)state;
    struct pd_app *app = parse_good(shop);
    sink.size = 0;
    pd_app_print_tree(app, &to_sink);
    assert_string_equal(
        sink.text,
        "shop  [rest_for_one, 7 restarts in 2 min]\n"
        "│  at most: stdio, spawn, compile, configure, network db:5432 127.0.0.1:80, "
        "write apps/data as /data, memory 1024 MiB\n"
        "├─ counter  [transient, shutdown infinity, ready within 3 s, registered as the counter]\n"
        "│     runs: counter.wasm start(1, -2, 0x00000000000000000000000000000102), guarded, "
        "output tagged cnt\n"
        "│     env: MODE=test LEVEL=2\n"
        "│     may: stdio, spawn, network db:5432, kv shop/*, read apps/data/in as /in, memory 64 "
        "MiB, "
        "fuel 500 portions\n"
        "├─ sub  [dynamic, 3 restarts in 5 s, up to 65536 children; permanent, "
        "shutdown infinity]\n"
        "│  │  at most: spawn, compile, configure, network db:5432 127.0.0.1:80, "
        "write apps/data as /data, memory 1024 MiB\n"
        "│  └─ template job  [temporary, shutdown 250 ms]\n"
        "│        runs: /abs/job.wasm _start()\n"
        "│        env: MODE=test LEVEL=1\n"
        "│        may: memory 1024 MiB, fuel 500 portions\n"
        "└─ last  [permanent, shutdown brutal, ready within 5 s]\n"
        "      runs: last.wasm _start() --verbose \n"
        "      env: MODE=test LEVEL=1\n"
        "      may: stdio, memory 1024 MiB, fuel 500 portions\n");
    pd_app_destroy(app);
}

static void every_child_makes_a_valid_spec(void **state)
{
    (void)state;
    struct pd_app *app = parse_good(shop);
    const struct pd_app_supervisor *root = &app->root.supervisor;
    for (uint32_t i = 0; i < root->child_count; i++) {
        struct pd_child_spec spec = pd_app_child_spec(&root->children[i]);
        assert_null(pd_child_spec_mistake(&spec));
        assert_string_equal(spec.id, root->children[i].id);
    }
    struct pd_supervisor_config config = pd_app_supervisor_config(&root->children[1]);
    assert_string_equal(config.name, "shop/sub");
    struct pd_supervisor *machine = NULL;
    assert_int_equal(pd_supervisor_create(&config, &machine), PD_OK);
    pd_supervisor_destroy(machine);
    pd_app_destroy(app);
}

static void defaults_nest(void **state)
{
    (void)state;
    struct pd_app *app =
        parse_good("name: a\n"
                   "defaults: {module: m.wasm, restart: temporary, "
                   "permissions: {spawn: true, compile: true}}\n"
                   "children:\n"
                   "- id: s\n"
                   "  defaults: {restart: transient, permissions: {spawn: false}}\n"
                   "  children:\n"
                   "  - {id: x}\n"
                   "  - {id: y, restart: permanent}\n"
                   "- {id: z}\n");
    const struct pd_app_child *s = &app->root.supervisor.children[0];
    const struct pd_app_child *x = &s->supervisor.children[0];
    assert_int_equal(s->restart, PD_CHILD_PERMANENT); /* defaults are for workers */
    assert_int_equal(x->restart, PD_CHILD_TRANSIENT);
    assert_false(x->rights.can_spawn);
    assert_true(x->rights.can_compile);
    assert_int_equal(s->supervisor.children[1].restart, PD_CHILD_PERMANENT);
    assert_int_equal(app->root.supervisor.children[1].restart, PD_CHILD_TEMPORARY);
    pd_app_destroy(app);
}

static void significant_children_end_an_application(void **state)
{
    (void)state;
    struct pd_app *app = parse_good("name: a\n"
                                    "supervisor: {auto_shutdown: all_significant}\n"
                                    "children:\n"
                                    "- {id: x, module: m.wasm, restart: transient, "
                                    "significant: true}\n");
    assert_int_equal(app->root.supervisor.auto_shutdown, PD_AUTO_SHUTDOWN_ALL);
    assert_true(app->root.supervisor.children[0].is_significant);
    pd_app_destroy(app);
}

/* --- Bad files -------------------------------------------------------------------------------- */

/* A worker with these further lines. */
#define WORKER "name: a\nchildren:\n- id: x\n  module: m.wasm\n"

struct bad {
    const char *text;
    const char *said;
};

static const struct bad bad_files[] = {
    {"", "shop.yaml: the file is empty: an application has a name and children\n"},
    {"# only a comment\n",
     "shop.yaml: the file is empty: an application has a name and children\n"},
    {"[]",
     "shop.yaml:1:1: here is a list: wanted is a mapping (name, supervisor, children, ...)\n"},
    {"hello",
     "shop.yaml:1:1: here is a single value: wanted is a mapping (name, supervisor, children, "
     "...)\n"},
    {"{}", "shop.yaml:1:1: an application needs a `name`\n"
           "shop.yaml:1:1: `?` has no `children` (only a supervisor with `strategy: dynamic` may "
           "begin without)\n"},
    {"name: a\nchildren: []\n", "shop.yaml:2:11: children: the list of children is empty\n"},
    {"name: a\nchildren:\n",
     "shop.yaml:2:10: children: here is nothing: wanted is a list of children (`- id: ...`)\n"},
    {"name: a\nchildren: [x, 1]\n",
     "shop.yaml:2:12: children[0]: here is a single value: wanted is a mapping (a child: id, "
     "module, ...)\n"
     "shop.yaml:2:15: children[1]: here is a single value: wanted is a mapping (a child: id, "
     "module, ...)\n"},
    {"name: a b\nchildren: [{id: \"\", module: m.wasm}, {id: [x], module: m.wasm}]\n",
     "shop.yaml:1:7: name: `a b` is no name: letters, digits, `_`, `-` and `.` are allowed\n"
     "shop.yaml:2:17: children[0].id: a name has 0 bytes: 1 to 64 are allowed\n"
     "shop.yaml:2:43: children[1].id: here is a list: wanted is a name\n"},
    {"name: a\nname: b\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:2:1: name: the key `name` is here twice: keep one\n"},
    {"name: a\nchildren: [{module: m.wasm}, {id: x}]\n",
     "shop.yaml:2:12: children[0]: a child needs an `id`\n"
     "shop.yaml:2:30: children[1]: a worker needs a `module` (a supervisor needs `children`)\n"},
    {"name: a\nchildren:\n- {id: x, module: m.wasm}\n- {id: y, module: m.wasm}\n"
     "- {id: x, module: m.wasm}\n",
     "shop.yaml:5:8: children[2].id: the id `x` is taken by the child on line 3\n"},
    {"name: a\nchildren:\n- {id: x, module: m.wasm, register: r}\n- id: s\n  children:\n"
     "  - {id: x, module: m.wasm, register: r}\n",
     "shop.yaml:6:39: children[1].children[0].register: the name `r` is taken on line 3\n"},
    {WORKER "  modul: m.wasm\n  retart: permanent\n  zzzzzz: 1\n",
     "shop.yaml:5:3: children[0].modul: unknown key `modul`, did you mean `module`?\n"
     "shop.yaml:6:3: children[0].retart: unknown key `retart`, did you mean `restart`?\n"
     "shop.yaml:7:3: children[0].zzzzzz: unknown key `zzzzzz`. a worker has: id, module, function, "
     "arguments, args, restart, shutdown, handles_shutdown, ready, significant, env, permissions, "
     "register, profile or output_tag\n"},
    {"name: a\nsupervisor: {strategie: one_for_one, max-restarts: 3}\n"
     "children: [{id: x, module: m.wasm}]\n",
     "shop.yaml:2:14: supervisor.strategie: unknown key `strategie`, did you mean `strategy`?\n"
     "shop.yaml:2:38: supervisor.max-restarts: unknown key `max-restarts`, did you mean "
     "`max_restarts`?\n"},
    {"name: a\nsupervisor: {strategy: one_for_any, max_restarts: -1, period: 5, "
     "auto_shutdown: yes, max_children: 0}\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:2:24: supervisor.strategy: `one_for_any` is unknown, did you mean `one_for_one`? "
     "Allowed: one_for_one, one_for_all, rest_for_one or dynamic\n"
     "shop.yaml:2:51: supervisor.max_restarts: `-1` is not allowed: wanted is a whole number from "
     "0 to 1000000\n"
     "shop.yaml:2:63: supervisor.period: `5` has no unit: write it as 5ms, 5s, 5m or 5h\n"
     "shop.yaml:2:81: supervisor.auto_shutdown: `yes` is unknown. Allowed: never, any_significant "
     "or all_significant\n"
     "shop.yaml:2:100: supervisor.max_children: `0` is not allowed: wanted is a whole number from "
     "1 "
     "to 268435456\n"},
    {"name: a\nsupervisor: [one_for_one]\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:2:13: supervisor: here is a list: wanted is a mapping (strategy, max_restarts, "
     "period, ...)\n"},
    {"name: a\nsupervisor: {period: 0s, max_children: 1}\n"
     "children: [{id: x, module: m.wasm}, {id: y, module: m.wasm}]\n",
     "shop.yaml:1:1: `a` has 2 children, but max_children: 1\n"
     "shop.yaml:2:22: supervisor.period: `0s` is too short: at least 1ms\n"},
    {WORKER "  restart: allways\n  profile: fast\n",
     "shop.yaml:5:12: children[0].restart: `allways` is unknown. Allowed: permanent, transient or "
     "temporary\n"
     "shop.yaml:6:12: children[0].profile: `fast` is unknown. Allowed: dense or guarded\n"},
    {WORKER "  shutdown: 5 s\n  ready: {timeout: 5min}\n",
     "shop.yaml:5:13: children[0].shutdown: `5 s` has an unknown unit: write it as 5ms, 5s, 5m or "
     "5h, or as brutal or infinity\n"
     "shop.yaml:6:20: children[0].ready.timeout: `5min` has an unknown unit: write it as 5ms, 5s, "
     "5m or 5h\n"},
    {WORKER "  shutdown: soon\n  ready: {timeout: 0s, x: 1}\n",
     "shop.yaml:5:13: children[0].shutdown: `soon` is no time: write it as 500ms, 5s, 2m or 1h, or "
     "as brutal or infinity\n"
     "shop.yaml:6:20: children[0].ready.timeout: `0s` is too short: at least 1ms\n"
     "shop.yaml:6:24: children[0].ready.x: unknown key `x`. ready has: timeout\n"},
    {WORKER "  shutdown: 99999h\n  ready: [1]\n",
     "shop.yaml:5:13: children[0].shutdown: `99999h` is longer than a year\n"
     "shop.yaml:6:10: children[0].ready: here is a list: wanted is true, false or {timeout: 5s}\n"},
    {WORKER "  shutdown: infinity\n",
     "shop.yaml:5:13: children[0].shutdown: infinity waits for ever for a worker that ignores "
     "shutdown: add `handles_shutdown: true`, or give a time such as 5s\n"},
    {WORKER "  handles_shutdown: yes\n  significant: true\n",
     "shop.yaml:3:3: children[0]: `x` is significant but permanent, so it never ends by itself: "
     "make it `restart: transient` or `temporary`\n"
     "shop.yaml:3:3: children[0]: `x` is significant, but its supervisor has no `auto_shutdown`: "
     "any_significant or all_significant\n"
     "shop.yaml:5:21: children[0].handles_shutdown: `yes` is neither true nor false\n"},
    {"name: a\nsupervisor: {auto_shutdown: any_significant}\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:2:13: supervisor: auto_shutdown waits for a child with `significant: true`, but "
     "there is none\n"},
    {WORKER "  arguments: [1]\n",
     "shop.yaml:5:3: children[0].arguments: `_start` takes no arguments: name an exported "
     "`function`, or use `args` for words\n"},
    {WORKER "  function: f\n  arguments: [1.5, --x, 99999999999999999999, {v128: 12}, {v: 1}]\n",
     "shop.yaml:6:15: children[0].arguments[0]: `1.5` is no integer of 64 bits: the arguments of "
     "an "
     "exported function are integers or {v128: \"0x...\"}; for words use `args`\n"
     "shop.yaml:6:20: children[0].arguments[1]: `--x` is no integer of 64 bits: the arguments of "
     "an "
     "exported function are integers or {v128: \"0x...\"}; for words use `args`\n"
     "shop.yaml:6:25: children[0].arguments[2]: `99999999999999999999` is no integer of 64 bits: "
     "the "
     "arguments of an exported function are integers or {v128: \"0x...\"}; for words use `args`\n"
     "shop.yaml:6:54: children[0].arguments[3].v128: wanted is a vector as in {v128: \"0x00ff\"}, "
     "up "
     "to 32 hex digits\n"
     "shop.yaml:6:59: children[0].arguments[4]: wanted is a vector as in {v128: \"0x00ff\"}, up to "
     "32 hex digits\n"
     "shop.yaml:6:60: children[0].arguments[4].v: unknown key `v`. a vector argument has: v128\n"},
    {WORKER "  args: --x\n  env: [A=b]\n",
     "shop.yaml:5:9: children[0].args: here is a single value: wanted is a list of words\n"
     "shop.yaml:6:8: children[0].env: here is a list: wanted is a mapping (NAME: value)\n"},
    {WORKER "  args: [[x]]\n  env: {A=: b, C: [d]}\n",
     "shop.yaml:5:10: children[0].args[0]: wanted is a word of at most 65536 bytes\n"
     "shop.yaml:6:9: children[0].env.A=: `A=` is no name of a variable: it has no `=` and is not "
     "empty\n"
     "shop.yaml:6:19: children[0].env.C: the value of a variable is one text\n"},
    {"name: a\nchildren:\n- {id: x, module: m.wasm, children: []}\n",
     "shop.yaml:3:27: children[0].children: unknown key `children`. a worker has: id, module, "
     "function, arguments, args, restart, shutdown, handles_shutdown, ready, significant, env, "
     "permissions, register, profile or output_tag\n"},
    {"name: a\nchildren:\n- {id: s, supervisor: one_for_one}\n"
     "- {id: t, template: {id: x, module: m.wasm}}\n",
     "shop.yaml:3:3: children[0]: `s` has no `children` (only a supervisor with `strategy: "
     "dynamic` "
     "may begin without)\n"
     "shop.yaml:4:3: children[1]: `t` has no `children` (only a supervisor with `strategy: "
     "dynamic` "
     "may begin without)\n"
     "shop.yaml:4:11: children[1].template: a template is for supervisors with `strategy: "
     "dynamic`\n"},
    {"name: a\ndefaults: {id: x, modul: m.wasm, restart: never}\n"
     "children: [{id: x, module: m.wasm}, {id: y, module: m.wasm}]\n",
     "shop.yaml:2:12: defaults.id: unknown key `id`. defaults has: module, function, arguments, "
     "args, restart, shutdown, handles_shutdown, ready, significant, env, permissions, profile or "
     "output_tag\n"
     "shop.yaml:2:19: defaults.modul: unknown key `modul`, did you mean `module`?\n"
     "shop.yaml:2:43: defaults.restart: `never` is unknown. Allowed: permanent, transient or "
     "temporary\n"},
    {"name: a\ndefaults: none\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:2:11: defaults: here is a single value: wanted is a mapping (keys of workers)\n"},
    /* Modules */
    {"name: a\nchildren:\n- {id: a, module: missing.wasm}\n- {id: b, module: folder}\n"
     "- {id: c, module: secret.wasm}\n- {id: d, module: component.wasm}\n"
     "- {id: e, module: text.wat}\n- {id: f, module: short.wasm}\n- {id: g, module: broken.wasm}\n"
     "- {id: h, module: \"\"}\n",
     "shop.yaml:3:19: children[0].module: there is no file apps/missing.wasm\n"
     "shop.yaml:4:19: children[1].module: apps/folder is no regular file\n"
     "shop.yaml:5:19: children[2].module: you may not read apps/secret.wasm\n"
     "shop.yaml:6:19: children[3].module: apps/component.wasm is a WebAssembly component (WASI "
     "0.2): "
     "only core modules with WASI preview 1 run here\n"
     "shop.yaml:7:19: children[4].module: apps/text.wat is no WebAssembly module (of the binary "
     "form)\n"
     "shop.yaml:8:19: children[5].module: apps/short.wasm is no WebAssembly module (of the binary "
     "form)\n"
     "shop.yaml:9:19: children[6].module: apps/broken.wasm cannot be read: input/output error\n"
     "shop.yaml:10:19: children[7].module: a file name has 0 bytes: 1 to 4095 are allowed\n"},
    /* YAML itself */
    {"name: a\n  children: [\n",
     "shop.yaml:2:11: not readable as YAML: mapping values are not allowed in this context\n"},
    {"name: [a\n", "shop.yaml:2:1: not readable as YAML: did not find expected ',' or ']', while "
                   "parsing a flow sequence\n"},
    {"name: a\n\tchildren: b\n",
     "shop.yaml:2:1: not readable as YAML: found a tab character that violates indentation, while "
     "scanning a plain scalar. Indent with spaces\n"},
    {"  name: a\n children: []\n",
     "shop.yaml:2:2: not readable as YAML: did not find expected <document start>. Begin the lines "
     "of one mapping or list in the same column\n"},
    {"name: \xff\n", "shop.yaml:1:1: not readable as YAML: invalid leading UTF-8 octet (byte 6 of "
                     "the file)\n"},
    {"name: &x a\n", "shop.yaml:1:7: anchors (&name) are not supported: write each value out (an "
                     "application's children share `defaults`)\n"},
    {"name: *x\n",
     "shop.yaml:1:7: aliases (*name) are not supported: write each value out (an application's "
     "children share `defaults`)\n"},
    {"name: !!str a\n", "shop.yaml:1:7: tags (!name) are not supported: leave it out\n"},
    {"name: a\n---\nname: b\n",
     "shop.yaml:2:1: a second document begins here: one application, one file\n"},
    {"? [a]\n: b\n", "shop.yaml:1:3: a key must be a word, not a list or a mapping\n"},
    {"name: \"a\\0b\"\n", "shop.yaml:1:7: a text with a zero byte inside is not allowed\n"},
    {"name: \"\\e[31mred\"\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:1:7: name: `?[31mred` is no name: letters, digits, `_`, `-` and `.` are allowed\n"},
    {"name: \"\\u009bred\"\nchildren: [{id: x, module: m.wasm}]\n",
     "shop.yaml:1:7: name: `\?\?red` is no name: letters, digits, `_`, `-` and `.` are allowed\n"},
};

static void bad_files_are_told_what_is_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        expect_mistakes(bad_files[i].text, bad_files[i].said);
    }
}

/* --- Rights only shrink ----------------------------------------------------------------------- */

/* A supervisor `s` with `bound`, and a worker below it with `wanted`. */
static const char *file_of_two(const char *bound, const char *wanted)
{
    static char text[2048];
    snprintf(text, sizeof text,
             "name: a\nchildren:\n- id: s\n  permissions: %s\n  children:\n  - id: x\n"
             "    module: m.wasm\n    permissions: %s\n",
             bound, wanted);
    return text;
}

static const struct {
    const char *bound;
    const char *wanted;
    const char *said; /* NULL: allowed */
} rights[] = {
    {"{}",
     "{spawn: true, compile: true, configure: true, network: all, max_memory: 4GiB, "
     "directories: [/]}",
     NULL},
    {"{spawn: false}", "{spawn: true}",
     "spawn: this is more than supervisor `a/s` (line 3) allows: "
     "it says false\n"},
    {"{compile: false}", "{compile: true}", "it says false\n"},
    {"{configure: false}", "{configure: true}", "it says false\n"},
    {"{stdio: false}", "{stdio: true}", "it says false\n"},
    {"{stdio: false}", "{}", NULL},
    {"{max_memory: 1MiB}", "{max_memory: 1MiB}", NULL},
    {"{max_memory: 1MiB}", "{max_memory: 1048577}", "allows: 1048576 bytes\n"},
    {"{max_fuel: 10}", "{max_fuel: 10}", NULL},
    {"{max_fuel: 10}", "{max_fuel: 11}", "allows: 10 portions\n"},
    {"{network: none}", "{network: none}", NULL},
    {"{kv: ab}", "{kv: a}", "allows: keys that begin with ab\n"},
    {"{network: none}", "{network: local}", "allows: network none\n"},
    {"{network: none}", "{network: [\"a:1\"]}", "allows: network none\n"},
    {"{network: local}", "{network: local}", NULL},
    {"{network: local}", "{network: [\"127.0.0.1:1\", \"localhost:2\", \"[::1]:3\"]}", NULL},
    {"{network: local}", "{network: all}", "allows: network local\n"},
    {"{network: local}", "{network: [\"example.org:1\"]}", "allows: network local\n"},
    {"{network: [\"a:1\", \"b:2\"]}", "{network: [\"b:2\"]}", NULL},
    {"{network: [\"a:1\"]}", "{network: [\"b:2\"]}", "allows: only the addresses of its list\n"},
    {"{network: [\"a:1\"]}", "{network: local}", "allows: only the addresses of its list\n"},
    {"{network: [\"a:1\"]}", "{network: all}", "allows: only the addresses of its list\n"},
    {"{directories: []}", "{directories: [x]}", "in none of its directories"},
    {"{directories: [x]}", "{directories: [x]}", NULL},
    {"{directories: [x]}", "{directories: [x/y::/y, ./x//z/../w]}", NULL},
    {"{directories: [x]}", "{directories: [xy]}", "in none of its directories"},
    {"{directories: [x]}", "{directories: [x/../z]}", "in none of its directories"},
    {"{directories: [x]}", "{directories: [/x]}", "in none of its directories"},
    {"{directories: [/]}", "{directories: [/any/../where]}", NULL},
    {"{directories: [{host: x, access: read}]}", "{directories: [{host: x/y, access: read}]}",
     NULL},
    {"{directories: [{host: x, access: read}]}", "{directories: [x/y]}",
     "may only be read there\n"},
    {"{}", "{directories: [x::/g, y::/g]}", "two directories as `/g`\n"},
    {"{}", "{directories: [\"::/g\"]}", "wanted is HOST or HOST::GUEST\n"},
    {"{}", "{directories: [{guest: /x}]}", "a directory needs a `host`\n"},
    {"{}", "{directories: [{host: x, access: all}]}", "Allowed: read or read_write\n"},
    {"{}", "{directories: x}", "wanted is a list of directories"},
    {"{}", "{network: [\"no port\"]}", "is no address: write host:port, host:* or 10.0.0.0/8\n"},
    {"{}", "{network: []}", "a list of 1 to 256 addresses is allowed"},
    {"{}", "{network: lokal}", "did you mean `local`? Allowed: none, local or all\n"},
    {"{}", "{max_memory: 64MB}", "`64MB` is no size: write bytes, or KiB, MiB or GiB"},
    {"{}", "{max_memory: 5GiB}", "from 1 byte to 4096 MiB\n"},
    {"{}", "{max_memory: 0}", "from 1 byte to 4096 MiB\n"},
    {"{}", "{max_fuel: 0}", "wanted is a whole number from 1 to"},
    {"{}", "{spwan: true}", "unknown key `spwan`, did you mean `spawn`?\n"},
    {"{}", "all", "wanted is a mapping (spawn, network, directories, ...)\n"},
};

static void a_child_never_has_more_than_its_parent(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rights / sizeof rights[0]; i++) {
        struct pd_app *app = parse(file_of_two(rights[i].bound, rights[i].wanted));
        if ((app != NULL) != (rights[i].said == NULL)) {
            fail_msg("bound %s, wanted %s: %s", rights[i].bound, rights[i].wanted, sink.text);
        }
        if (app == NULL && strstr(sink.text, rights[i].said) == NULL) {
            fail_msg("wanted is '%s', said is: %s", rights[i].said, sink.text);
        }
        pd_app_destroy(app);
    }
}

static void a_supervisor_cannot_widen_the_bound_above_it(void **state)
{
    (void)state;
    expect_mistakes("name: a\npermissions: {spawn: false}\nchildren:\n- id: s\n"
                    "  permissions: {spawn: true}\n  children:\n  - {id: x, module: m.wasm}\n",
                    "shop.yaml:5:24: children[0].permissions.spawn: this is more than supervisor "
                    "`a` (line 1) allows: it says false\n");
    expect_mistakes("name: a\npermissions: {spawn: false}\ndefaults: {permissions: {spawn: true}}\n"
                    "children:\n- {id: x, module: m.wasm}\n- {id: y, module: m.wasm}\n",
                    "shop.yaml:3:33: defaults.permissions.spawn: this is more than supervisor `a` "
                    "(line 1) allows: it says false\n");
}

/* --- Bounds ----------------------------------------------------------------------------------- */

static void append(char *text, const char *more)
{
    size_t size = strlen(text);
    snprintf(text + size, TEXT_SIZE - size, "%s", more);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    static char text[TEXT_SIZE];
    for (unsigned depth = PD_APP_DEPTH_MAX - 1; depth <= PD_APP_DEPTH_MAX; depth++) {
        snprintf(text, sizeof text, "{name: a, children: [");
        for (unsigned i = 0; i < depth; i++) {
            append(text, "{id: s, children: [");
        }
        append(text, "{id: x, module: m.wasm}");
        for (unsigned i = 0; i <= depth; i++) {
            append(text, "]}");
        }
        struct pd_app *app = parse(text);
        assert_int_equal(app != NULL, depth < PD_APP_DEPTH_MAX);
        assert_true(app != NULL || strstr(sink.text, "nested more than 12 deep") != NULL);
        pd_app_destroy(app);
    }
    memset(text, '[', 1000);
    text[1000] = '\0';
    expect_mistakes(text,
                    "shop.yaml:1:65: [0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
                    "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]"
                    "[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: nested "
                    "more than 64 levels deep\n");
}

/* `before`, then `count` numbered parts, then `behind`. */
static char *repeat(const char *before, const char *part_before, const char *part_behind,
                    unsigned count, const char *behind)
{
    size_t room = strlen(before) + strlen(behind) + 1 +
                  count * (strlen(part_before) + strlen(part_behind) + 10);
    char *text = malloc(room);
    assert_non_null(text);
    size_t size = (size_t)snprintf(text, room, "%s", before);
    for (unsigned i = 0; i < count; i++) {
        size += (size_t)snprintf(text + size, room - size, "%s%u%s", part_before, i, part_behind);
    }
    snprintf(text + size, room - size, "%s", behind);
    return text;
}

static void counts_are_bounded(void **state)
{
    (void)state;
    char *text =
        repeat("name: a\nchildren:\n", "- {id: x", ", module: m.wasm}\n", PD_APP_CHILDREN_MAX, "");
    pd_app_destroy(parse_good(text));
    free(text);
    text = repeat("name: a\nchildren:\n", "- {id: x", ", module: m.wasm}\n",
                  PD_APP_CHILDREN_MAX + 1, "");
    expect_mistakes(text, "shop.yaml:3:1: children: more than 4096 children in one file\n");
    free(text);
    text = repeat(WORKER "  env: {", "A", ": b, ", 257, "}\n");
    expect_mistakes(text,
                    "shop.yaml:5:8: children[0].env: 257 variables: at most 256 are allowed\n");
    free(text);
    text = repeat("{", "k", ": 1, ", 1025, "}\n");
    assert_null(parse(text));
    assert_non_null(strstr(sink.text, "more than 1024 keys in one mapping"));
    free(text);
    text = malloc(2 * PD_APP_NODES_MAX + 3);
    assert_non_null(text);
    for (size_t i = 0; i < PD_APP_NODES_MAX; i++) {
        text[2 * i] = i == 0 ? '[' : 'a';
        text[2 * i + 1] = i == 0 ? ' ' : ',';
    }
    memcpy(text + 2 * PD_APP_NODES_MAX, "a]", 3); /* with the list itself, one too many */
    assert_null(parse(text));
    assert_non_null(strstr(sink.text, "more than 200000 values"));
    free(text);
    text = repeat(WORKER "  function: f\n  arguments: [", "", ",", 17, "]\n");
    assert_null(parse(text));
    assert_non_null(strstr(sink.text, "17 arguments: at most 16 are allowed"));
    free(text);
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    (void)state;
    size_t size = PD_APP_FILE_SIZE_MAX + 1;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '#', size);
    struct pd_app *app = NULL;
    struct pd_app_report report;
    assert_int_equal(pd_app_parse(text, size, "x.yaml", NULL, &app, &report), PD_ERR_INVALID);
    assert_string_equal(report.mistakes[0].text, "the file is larger than 1 MiB");
    pd_app_report_deinit(&report);
    free(text);
}

static void many_mistakes_are_cut(void **state)
{
    (void)state;
    char *text = repeat(WORKER, "  zz", ": 1\n", 150, "");
    assert_null(parse(text));
    assert_non_null(strstr(sink.text, "and more mistakes: only the first 100 found are shown"));
    free(text);
}

static void every_nth_allocation_may_fail(void **state)
{
    (void)state;
    const char *texts[] = {shop, bad_files[13].text, bad_files[15].text};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum pd_status status = PD_ERR_NO_MEMORY;
        uint64_t nth = 1;
        for (; nth < 1000 && status == PD_ERR_NO_MEMORY; nth++) {
            struct pd_app *app = NULL;
            struct pd_app_report report;
            pd_alloc_fail_nth(nth);
            status = pd_app_parse(texts[i], strlen(texts[i]), "a.yaml", &fake_files, &app, &report);
            pd_alloc_fail_nth(0);
            assert_int_equal(app != NULL, status == PD_OK);
            pd_app_report_deinit(&report);
            pd_app_destroy(app);
        }
        assert_true(nth > 3 && nth < 1000);
        assert_int_equal(status, i == 0 ? PD_OK : PD_ERR_INVALID);
    }
}

/* --- Real files ------------------------------------------------------------------------------- */

static void a_file_that_cannot_be_read_is_a_mistake(void **state)
{
    (void)state;
    struct pd_app *app = NULL;
    struct pd_app_report report;
    assert_int_equal(pd_app_load("/nonexistent/app.yaml", &pd_app_real_files, &app, &report),
                     PD_ERR_INVALID);
    sink.size = 0;
    pd_app_report_print(&report, "app.yaml", &to_sink);
    assert_string_equal(sink.text, "app.yaml: there is no such file\n");
    pd_app_report_deinit(&report);
    assert_int_equal(pd_app_load("/", &pd_app_real_files, &app, &report), PD_ERR_INVALID);
    assert_string_equal(report.mistakes[0].text, "it is no regular file");
    pd_app_report_deinit(&report);
}

static void a_real_file_is_read_with_its_modules(void **state)
{
    (void)state;
    char folder[] = "/tmp/pando-app-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    char module[64];
    snprintf(path, sizeof path, "%s/app.yaml", folder);
    snprintf(module, sizeof module, "%s/m.wasm", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(WORKER, file);
    fclose(file);
    struct pd_app *app = NULL;
    struct pd_app_report report;
    assert_int_equal(pd_app_load(path, &pd_app_real_files, &app, &report), PD_ERR_INVALID);
    assert_non_null(strstr(report.mistakes[0].text, "there is no file"));
    pd_app_report_deinit(&report);
    file = fopen(module, "w");
    assert_non_null(file);
    fwrite("\0asm\1\0\0\0", 1, 8, file);
    fclose(file);
    assert_int_equal(pd_app_load(path, &pd_app_real_files, &app, &report), PD_OK);
    assert_string_equal(app->root.supervisor.children[0].module_path, module);
    pd_app_report_deinit(&report);
    pd_app_destroy(app);
    remove(module);
    remove(path);
    remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_says_all_of_it),
        cmocka_unit_test(the_tree_shows_rights),
        cmocka_unit_test(every_child_makes_a_valid_spec),
        cmocka_unit_test(defaults_nest),
        cmocka_unit_test(significant_children_end_an_application),
        cmocka_unit_test(bad_files_are_told_what_is_wrong),
        cmocka_unit_test(a_child_never_has_more_than_its_parent),
        cmocka_unit_test(a_supervisor_cannot_widen_the_bound_above_it),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(counts_are_bounded),
        cmocka_unit_test(a_file_that_is_too_large_is_refused),
        cmocka_unit_test(many_mistakes_are_cut),
        cmocka_unit_test(every_nth_allocation_may_fail),
        cmocka_unit_test(a_file_that_cannot_be_read_is_a_mistake),
        cmocka_unit_test(a_real_file_is_read_with_its_modules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
