/* The settings of a node: a row each, of which both tables are made. docs/config.md tells of the
 * same. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "cli/node_log.h"
#include "cli/run_options.h"
#include "cli/settings.h"
#include "client/node_client.h"
#include "host/resolve.h"
#include "kv/member.h"
#include "node/gateway_thread.h"
#include "node/members_file.h"

#define MIB (UINT64_C(1) << 20)
#define RETENTION_MAX_MS (UINT64_C(3650) * 86400 * 1000)
#define LAG_MIN 100u
#define LAG_MAX 60000u /* what the log keeps in memory, with a margin */

static bool is_client_listener(const char *text)
{
    char address[PD_GATEWAY_URL_MAX];
    uint8_t number[sizeof(struct in6_addr)];
    uint16_t port = 0;
    if (strcmp(text, "off") == 0) {
        return true;
    }
    if (!pd_gateway_parse_address(text, address, &port)) {
        return false;
    }
    address[strcspn(address, "%")] = '\0'; /* an IPv6 address may name its interface */
    return inet_pton(AF_INET, address, number) == 1 || inet_pton(AF_INET6, address, number) == 1;
}

static bool is_place(const char *text)
{
    char host[PD_RESOLVE_HOST_MAX];
    uint16_t port = 0;
    return pd_host_split_place(text, host, &port) && strlen(text) <= PD_KV_MEMBER_ADDRESS_MAX;
}

/* As a member's name may be, so that it can be shown anywhere (kv/member.h). */
static bool is_name(const char *text)
{
    size_t size = strlen(text);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return false;
        }
    }
    return size > 0 && size <= PD_KV_MEMBER_NAME_MAX;
}

/* Where others are to come: a port that they can know. */
static bool is_known_place(const char *text)
{
    char host[PD_RESOLVE_HOST_MAX];
    uint16_t port = 0;
    return is_place(text) && pd_host_split_place(text, host, &port) && port != 0;
}

static bool is_log_format(const char *text)
{
    return strcmp(text, "text") == 0 || strcmp(text, "json") == 0;
}

static bool is_log_level(const char *text)
{
    enum pd_log_level level;
    return pd_node_log_level_parse(text, &level);
}

static bool is_any(const char *text)
{
    (void)text;
    return true;
}

static bool is_host(const char *text)
{
    return text[0] != '\0' && strpbrk(text, "/: ") == NULL;
}

/* "http://NAME", "https://NAME:PORT": nothing behind it. */
static bool is_origin(const char *text)
{
    const char *name = strncmp(text, "http://", 7) == 0    ? text + 7
                       : strncmp(text, "https://", 8) == 0 ? text + 8
                                                           : "";
    return strcmp(text, "*") == 0 || (name[0] != '\0' && strpbrk(name, "/?# ") == NULL);
}

/* ROW(key, flag, what a shell completes, value, is it hidden, help, what more a setting has...) */
#define ROWS(ROW)                                                                                  \
    ROW(data, "--data", PD_OPTION_FOLDER, "DIR", false,                                            \
        "the node's folder (default: " PD_NODE_FOLDER ")", .kind = PD_SETTING_TEXT,                \
        .initial = PD_NODE_FOLDER, .takes = "a folder")                                            \
    ROW(socket, "--socket", PD_OPTION_FILE, "PATH", false,                                         \
        "where it listens for pando (default: DIR/pando.sock)", .kind = PD_SETTING_TEXT,           \
        .takes = "a path")                                                                         \
    ROW(name, "--name", PD_OPTION_TEXT, "NAME", false,                                             \
        "what the members call it (default: as the cluster knows it)", .kind = PD_SETTING_TEXT,    \
        .judge = is_name,                                                                          \
        .takes = "a name: letters, digits and signs of ASCII without spaces, 63 at most")          \
    ROW(listen_client, "--listen-client", PD_OPTION_TEXT, "ADDRESS:PORT", false,                   \
        "where it listens for clients of etcd and HTTP; port 0: a free one, 'off': nowhere "       \
        "(default: 127.0.0.1:2379)",                                                               \
        .kind = PD_SETTING_TEXT, .initial = "127.0.0.1:2379", .judge = is_client_listener,         \
        .takes = "ADDRESS:PORT with an address in numbers, or 'off'")                              \
    ROW(listen_peer, "--listen-peer", PD_OPTION_TEXT, "HOST:PORT", false,                          \
        "where it listens for other nodes, UDP (default: as cluster.json or --peers say; a node "  \
        "alone does not)",                                                                         \
        .kind = PD_SETTING_TEXT, .judge = is_place,                                                \
        .takes = "HOST:PORT, a name or an address in numbers")                                     \
    ROW(advertise_peer, "--advertise-peer", PD_OPTION_TEXT, "HOST:PORT", false,                    \
        "where other nodes reach it, when that is not where it listens", .kind = PD_SETTING_TEXT,  \
        .judge = is_known_place, .takes = "HOST:PORT, a name or an address in numbers")            \
    ROW(peers, "--peers", PD_OPTION_TEXT, "HOST:PORT", false,                                      \
        "begin a cluster with the nodes at these addresses, this one among them; or join theirs; " \
        "may be given again",                                                                      \
        .kind = PD_SETTING_LIST, .judge = is_known_place, .most = PD_MEMBERS_FILE_MAX,             \
        .takes = "HOST:PORT, a name or an address in numbers")                                     \
    ROW(expect, "--expect", PD_OPTION_TEXT, "N", false,                                            \
        "how many of --peers, from the first, begin the cluster; more than half of them "          \
        "(default: all)",                                                                          \
        .kind = PD_SETTING_NUMBER, .least = 1, .most = PD_MEMBERS_FILE_MAX,                        \
        .takes = "a number from 1 to 31")                                                          \
    ROW(secret_file, "--secret-file", PD_OPTION_FILE, "FILE", false,                               \
        "a file with the secret by which --peers know each other, mode 600",                       \
        .kind = PD_SETTING_TEXT, .takes = "a file")                                                \
    ROW(insecure, "--insecure", PD_OPTION_FLAG, NULL, false,                                       \
        "serve clients without TLS on an address that other machines reach: whoever reaches it "   \
        "may read and change everything",                                                          \
        .kind = PD_SETTING_SWITCH, .initial = "false", .takes = "true or false")                   \
    ROW(cert_file, "--cert-file", PD_OPTION_FILE, "FILE", false,                                   \
        "speak TLS with clients: the certificate, PEM; read again when it changes",                \
        .kind = PD_SETTING_TEXT, .takes = "a file")                                                \
    ROW(key_file, "--key-file", PD_OPTION_FILE, "FILE", false,                                     \
        "the key of --cert-file, PEM; read again when it changes", .kind = PD_SETTING_TEXT,        \
        .takes = "a file")                                                                         \
    ROW(trusted_ca_file, "--trusted-ca-file", PD_OPTION_FILE, "FILE", false,                       \
        "let only clients in whose certificate one of these has signed, PEM",                      \
        .kind = PD_SETTING_TEXT, .takes = "a file")                                                \
    ROW(client_cert_auth, "--client-cert-auth", PD_OPTION_FLAG, NULL, false,                       \
        "the same, in etcd's words: needs --trusted-ca-file", .kind = PD_SETTING_SWITCH,           \
        .initial = "false", .takes = "true or false")                                              \
    ROW(allow_host, "--allow-host", PD_OPTION_TEXT, "NAME", false,                                 \
        "answer HTTP requests for this name too: else only for addresses in numbers and "          \
        "localhost; '*': any name; may be given again",                                            \
        .kind = PD_SETTING_LIST, .judge = is_host, .most = PD_HTTP1_ALLOWED_MAX,                   \
        .takes = "a name without a port, or '*'")                                                  \
    ROW(allow_origin, "--allow-origin", PD_OPTION_TEXT, "ORIGIN", false,                           \
        "let pages from there use HTTP, as https://console.example.org; '*': from anywhere; may "  \
        "be given again",                                                                          \
        .kind = PD_SETTING_LIST, .judge = is_origin, .most = PD_HTTP1_ALLOWED_MAX,                 \
        .takes = "http://NAME or https://NAME, perhaps with a port, or '*'")                       \
    ROW(stop_grace, "--stop-grace", PD_OPTION_TEXT, "TIME", false,                                 \
        "at SIGTERM, let /readyz say for so long that it stops, before it does (default: 1s)",     \
        .kind = PD_SETTING_TIME, .initial = "1s", .most = 3600000,                                 \
        .takes = "a time as 5s or 500ms, 1h at most")                                              \
    ROW(disk_low, "--disk-low", PD_OPTION_TEXT, "SIZE", false,                                     \
        "refuse writes when less space is free (default: 256MiB)", .kind = PD_SETTING_SIZE,        \
        .initial = "256MiB", .most = UINT64_MAX, .takes = "a size as 256MiB")                      \
    ROW(app, "--app", PD_OPTION_FILE, "FILE", false,                                               \
        "run a module or an application file inside of the node; it finds the node's name in the " \
        "variable PANDO_NODE; what follows -- are its arguments",                                  \
        .kind = PD_SETTING_TEXT, .takes = "a file")                                                \
    ROW(app_memory, "--app-memory", PD_OPTION_TEXT, "SIZE", false,                                 \
        "of all its actors together: spawns and growth beyond are refused (default: half of the "  \
        "memory that the process may use)",                                                        \
        .kind = PD_SETTING_SIZE, .least = 1, .most = UINT64_MAX, .takes = "a size as 512MiB")      \
    ROW(allow_kv, "--allow-kv", PD_OPTION_TEXT, "PREFIX", false,                                   \
        "let the application touch the store's keys that begin so; '': all",                       \
        .kind = PD_SETTING_TEXT, .judge = is_any, .takes = "a prefix of keys; '' means all")       \
    ROW(dir, "--dir", PD_OPTION_FOLDER, "HOST[::GUEST]", false,                                    \
        "let the application use a directory; may be given again", .kind = PD_SETTING_LIST,        \
        .most = PD_RUN_DIRECTORIES_MAX, .takes = "HOST or HOST::GUEST")                            \
    ROW(quiet, "--quiet", PD_OPTION_FLAG, NULL, false,                                             \
        "say nothing but errors and that it is ready", .kind = PD_SETTING_SWITCH,                  \
        .initial = "false", .takes = "true or false")                                              \
    ROW(log_format, "--log-format", PD_OPTION_CHOICE, "text|json", false,                          \
        "what it says while it runs, as lines or as JSON with time and level (default: text)",     \
        .initial = "text", .judge = is_log_format, .takes = "text or json")                        \
    ROW(log_level, "--log-level", PD_OPTION_CHOICE, "info|warning|error", false,                   \
        "the least of it that is said (default: info)", .initial = "info", .judge = is_log_level,  \
        .takes = "info, warning or error")                                                         \
    ROW(slow_request, "--slow-request", PD_OPTION_TEXT, "TIME", false,                             \
        "tell of requests that take so long, with the beginning of their key and where the time "  \
        "went, ten a second at most; 0: of none (default: 100ms)",                                 \
        .kind = PD_SETTING_TIME, .initial = "100ms", .most = 3600000,                              \
        .takes = "a time as 100ms or 2s, 1h at most, or 0")                                        \
    ROW(retention, "--retention", PD_OPTION_TEXT, "TIME", false,                                   \
        "how long old revisions of keys can be read and watched from; the leader's counts; 0: "    \
        "until somebody compacts them (default: 24h)",                                             \
        .kind = PD_SETTING_TIME, .initial = "24h", .most = RETENTION_MAX_MS, .step = 1000,         \
        .takes = "a time as 90s, 24h or 7d, in whole seconds, 3650d at most, or 0")                \
    ROW(voters_max, "--voters-max", PD_OPTION_TEXT, "N", false,                                    \
        "a new member becomes a voter by itself while there are fewer; the leader's counts "       \
        "(default: 5)",                                                                            \
        .kind = PD_SETTING_NUMBER, .initial = "5", .least = 1, .most = PD_MEMBERS_FILE_MAX,        \
        .takes = "a number from 1 to 31")                                                          \
    ROW(log_segment, "--log-segment", PD_OPTION_TEXT, "SIZE", false,                               \
        "the size of the log's files, of a new node", .kind = PD_SETTING_SIZE, .least = 16 * MIB,  \
        .most = 1024 * MIB, .step = MIB, .takes = "whole MiB, 16MiB to 1GiB")                      \
    ROW(store_lag, "--store-lag", PD_OPTION_TEXT, "N", false,                                      \
        "how many entries the store may be behind the log", .kind = PD_SETTING_NUMBER,             \
        .least = LAG_MIN, .most = LAG_MAX, .takes = "a number from 100 to 60000")

#define AS_SETTING(member, flag, shell, value_name, hidden, text, ...)                             \
    {.key = #member, .offset = offsetof(struct pd_settings, member), __VA_ARGS__},
#define AS_OPTION(member, flag, shell, value_name, hidden, help, ...)                              \
    {.name = flag, .kind = shell, .value = value_name, .text = help, .is_hidden = hidden},

const struct pd_setting pd_settings_table[] = {ROWS(AS_SETTING){.key = NULL}};

#define COMMON_OPTIONS                                                                             \
    {.name = "--config",                                                                           \
     .kind = PD_OPTION_FILE,                                                                       \
     .value = "FILE",                                                                              \
     .text = "read settings from a YAML file (or the variable PANDO_CONFIG names it)"},            \
        {.name = "--print-config",                                                                 \
         .kind = PD_OPTION_FLAG,                                                                   \
         .text = "print the settings that would hold, and where each comes from"},

const struct pd_option pd_settings_options[] = {COMMON_OPTIONS ROWS(AS_OPTION){.name = NULL}};

const struct pd_option pd_settings_join_options[] = {
    {.name = "--role",
     .kind = PD_OPTION_CHOICE,
     .value = "voter|worker",
     .text = "what it becomes: a voter (default), or a worker, which runs actors and holds no log"},
    {.name = "--timeout",
     .kind = PD_OPTION_SECONDS,
     .value = "TIME",
     .text = "ask the members for so long (default: 60s)"},
    {.name = "--no-start",
     .kind = PD_OPTION_FLAG,
     .text = "join only; `pando start --data DIR` runs it later"},
    COMMON_OPTIONS ROWS(AS_OPTION){.name = NULL}};

_Static_assert(sizeof pd_settings_table / sizeof pd_settings_table[0] <= PD_SETTINGS_MAX,
               "each row has a place for its source");
_Static_assert(PD_HTTP1_ALLOWED_MAX <= PD_SETTINGS_LIST_MAX &&
                   PD_RUN_DIRECTORIES_MAX <= PD_SETTINGS_LIST_MAX,
               "a list has room for what its row allows");
