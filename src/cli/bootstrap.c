#include "cli/bootstrap.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk_has.h"
#include "cli/command.h"
#include "cli/joiner.h"
#include "cli/node_folder.h"
#include "cli/settings_read.h"
#include "host/disk.h"
#include "host/resolve.h"
#include "host/udp.h"
#include "net/net.h"
#include "node/gather_net.h"
#include "node/members.h"
#include "node/server.h"

#define SECOND_NS UINT64_C(1000000000)
#define ANSWER_NS SECOND_NS      /* of all peers */
#define AGAIN_NS (SECOND_NS / 5) /* between two rounds */
#define JOIN_S 60u
#define SECRET_MIN 16u
#define NOTE_MAX 1024u

struct bootstrap {
    struct pd_host *host;
    const struct pd_settings *settings;
    const char *client_url;
    struct pd_span secret;
    struct pd_disk *disk;
    struct pd_net_identity identity;
    /* Peers. */
    uint32_t founders;
    uint32_t own_place;
    bool is_resolved[PD_GATHER_PLACES_MAX];
    struct pd_transport_address addresses[PD_GATHER_PLACES_MAX];
    struct pd_transport_address listen;
    struct pd_udp *udp;
    struct pd_net *net;
    struct pd_gather_net *gather;
    char told[NOTE_MAX]; /* what was said last */
};

/* -- The secret -------------------------------------------------------------------------------- */

static int judge_secret(int file, const char *path, struct pd_bootstrap_secret *secret)
{
    struct stat about;
    if (fstat(file, &about) != 0) {
        return pd_command_failed("cannot look at '%s': %s", path, strerror(errno));
    }
    if ((about.st_mode & 077) != 0 || about.st_uid != geteuid()) {
        return pd_command_failed("the secret '%s' belongs to user %u and has mode %03o: others may "
                                 "have read it. It must be this user's with mode 600",
                                 path, (unsigned)about.st_uid, (unsigned)(about.st_mode & 0777));
    }
    ssize_t size = read(file, secret->bytes, sizeof secret->bytes);
    if (size < 0 || (size_t)size == sizeof secret->bytes) {
        return pd_command_failed("cannot read the secret '%s': %s", path,
                                 size < 0 ? strerror(errno) : "it is longer than 4095 bytes");
    }
    size_t end = (size_t)size;
    size_t begin = 0;
    while (end > 0 && isspace(secret->bytes[end - 1])) {
        end--;
    }
    while (begin < end && isspace(secret->bytes[begin])) {
        begin++;
    }
    if (end - begin < SECRET_MIN) {
        return pd_command_failed("the secret '%s' is shorter than %u bytes: make one with `head -c "
                                 "32 /dev/urandom | base64`",
                                 path, SECRET_MIN);
    }
    memmove(secret->bytes, secret->bytes + begin, end - begin);
    secret->size = end - begin;
    return PD_EXIT_CODE_OK;
}

int pd_bootstrap_read_secret(const struct pd_settings *settings,
                             struct pd_bootstrap_secret *secret_out)
{
    const char *path = settings->secret_file;
    secret_out->size = 0;
    if (path == NULL) {
        return PD_EXIT_CODE_OK;
    }
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return pd_command_failed("cannot open the secret '%s': %s", path, strerror(errno));
    }
    int code = judge_secret(file, path, secret_out);
    (void)close(file);
    return code;
}

/* -- The folder -------------------------------------------------------------------------------- */

/* *agreed_out: the set that this node agreed on in an earlier start, or 0. *is_done_out: the folder
 * is a node's. */
static int look_at_folder(struct bootstrap *bootstrap, uint64_t *agreed_out, bool *is_done_out)
{
    struct pd_members_file file;
    char text[PD_SERVER_TEXT_MAX] = "";
    char why[128];
    const char *folder = bootstrap->settings->data;
    *agreed_out = 0;
    /* The second one: it was being restored, and the start goes on with that. */
    *is_done_out = pd_disk_has(bootstrap->disk, PD_SERVER_IDENTITY_NAME) ||
                   pd_disk_has(bootstrap->disk, PD_SERVER_SWITCH_PREFIX PD_SERVER_IDENTITY_NAME);
    if (*is_done_out) {
        bool is_alone = !pd_disk_has(bootstrap->disk, PD_MEMBERS_FILE_NAME) &&
                        !pd_disk_has(bootstrap->disk, PD_SERVER_SWITCH_PREFIX PD_MEMBERS_FILE_NAME);
        bool listens =
            bootstrap->settings->listen_peer != NULL || bootstrap->settings->advertise_peer != NULL;
        if (is_alone && !listens) {
            return pd_command_failed(
                "'%s' holds a node alone, which the others of `peers` would not hear: they might "
                "begin a second cluster. Start it without `peers`, or say where it listens with "
                "--listen-peer, and let the others join it",
                folder);
        }
        return PD_EXIT_CODE_OK;
    }
    if (pd_server_folder_judge(bootstrap->disk, folder, text) != PD_OK) {
        return pd_command_failed("%s", text);
    }
    enum pd_status status = pd_members_file_read(bootstrap->disk, why, sizeof why, &file);
    if (status == PD_ERR_UNKNOWN) {
        return PD_EXIT_CODE_OK;
    }
    if (status != PD_OK) {
        return pd_command_failed("'%s/" PD_MEMBERS_FILE_NAME "' cannot be used: %s", folder, why);
    }
    *is_done_out = file.start != PD_MEMBERS_START_GATHER;
    *agreed_out = *is_done_out ? 0 : file.cluster_id;
    pd_members_file_deinit(&file);
    return PD_EXIT_CODE_OK;
}

/* The set, in the place of what the file said before. */
static bool write_set(struct bootstrap *bootstrap, struct pd_members_file *file,
                      enum pd_members_start start)
{
    file->start = start;
    return pd_members_file_write(bootstrap->disk, file) == PD_OK;
}

/* -- Places ------------------------------------------------------------------------------------ */

static void note(struct bootstrap *bootstrap, const char *text)
{
    if (strcmp(bootstrap->told, text) != 0 && !bootstrap->settings->quiet) {
        (void)fprintf(stderr, "pando: %s\n", text);
    }
    (void)snprintf(bootstrap->told, sizeof bootstrap->told, "%s", text);
}

static void pause_for(struct bootstrap *bootstrap, uint64_t duration_ns)
{
    struct pd_event never = {0};
    (void)bootstrap->host->ops->event_wait(bootstrap->host, &never,
                                           pd_host_now_ns(bootstrap->host) + duration_ns);
}

/* The names that have an address now; those of before keep theirs when they have none any more.
 * False: some never had one, of which `text` tells. */
static bool resolve_places(struct bootstrap *bootstrap, char text[PD_RESOLVE_TEXT_MAX])
{
    const struct pd_setting_list *peers = &bootstrap->settings->peers;
    bool is_all = true;
    for (uint32_t i = 0; i < peers->count; i++) {
        struct pd_transport_address address;
        char why[PD_RESOLVE_TEXT_MAX];
        if (pd_host_resolve(peers->texts[i], &address, why) == PD_OK) {
            bootstrap->addresses[i] = address;
            bootstrap->is_resolved[i] = true;
        } else if (!bootstrap->is_resolved[i]) {
            (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "%s", why);
            is_all = false;
        }
    }
    return is_all;
}

/* Where this node is in the list, by what it was told, or by the machine's addresses. *is_only_out:
 * no other place could be it, too. */
static uint32_t find_own_place(const struct bootstrap *bootstrap, bool *is_only_out)
{
    const struct pd_settings *settings = bootstrap->settings;
    const char *told =
        settings->advertise_peer != NULL ? settings->advertise_peer : settings->listen_peer;
    uint32_t found = PD_GATHER_NOWHERE;
    *is_only_out = true;
    for (uint32_t i = 0; i < settings->peers.count && told != NULL; i++) {
        if (strcmp(settings->peers.texts[i], told) == 0) {
            return i;
        }
    }
    for (uint32_t i = 0; i < settings->peers.count && settings->advertise_peer == NULL; i++) {
        const struct pd_transport_address *address = &bootstrap->addresses[i];
        if (bootstrap->is_resolved[i] && pd_host_is_own_address(address) &&
            (settings->listen_peer == NULL || address->port == bootstrap->listen.port)) {
            *is_only_out = found == PD_GATHER_NOWHERE;
            found = i;
        }
    }
    return found;
}

/* Until it is known where this node listens, and which place is its own. */
static int find_itself(struct bootstrap *bootstrap)
{
    const struct pd_settings *settings = bootstrap->settings;
    char text[PD_RESOLVE_TEXT_MAX];
    bool is_all = false;
    if (settings->listen_peer != NULL &&
        pd_host_resolve(settings->listen_peer, &bootstrap->listen, text) != PD_OK) {
        return pd_command_failed("cannot listen for other nodes: %s", text);
    }
    while (!is_all) {
        bool is_only = true;
        is_all = resolve_places(bootstrap, text);
        bootstrap->own_place = find_own_place(bootstrap, &is_only);
        if (!is_only) {
            return pd_command_failed("more than one of the peers is an address of this machine: "
                                     "say which one is this node, with --listen-peer");
        }
        if (bootstrap->own_place != PD_GATHER_NOWHERE) {
            break;
        }
        if (!is_all) {
            note(bootstrap, text);
            pause_for(bootstrap, SECOND_NS);
        }
    }
    if (settings->listen_peer != NULL) {
        return PD_EXIT_CODE_OK;
    }
    if (bootstrap->own_place == PD_GATHER_NOWHERE) {
        return pd_command_failed("none of the peers is an address of this machine: say where this "
                                 "node listens for the others, with --listen-peer");
    }
    if (!bootstrap->is_resolved[bootstrap->own_place]) {
        return pd_command_failed("cannot listen for other nodes: %s", text);
    }
    bootstrap->listen = bootstrap->addresses[bootstrap->own_place];
    return PD_EXIT_CODE_OK;
}

/* Where the others reach this node. */
static const char *own_address(const struct bootstrap *bootstrap)
{
    const struct pd_settings *settings = bootstrap->settings;
    return settings->advertise_peer != NULL            ? settings->advertise_peer
           : bootstrap->own_place != PD_GATHER_NOWHERE ? settings->peers.texts[bootstrap->own_place]
                                                       : settings->listen_peer;
}

/* -- Gathering --------------------------------------------------------------------------------- */

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

static bool is_sound(const struct pd_kv_member *member)
{
    uint8_t room[PD_KV_MEMBER_BYTES_MAX];
    struct pd_kv_writer writer = {.bytes = room, .bytes_max = sizeof room};
    struct pd_kv_member back = {0};
    pd_kv_member_encode(&writer, member);
    return !writer.is_full &&
           pd_kv_member_decode((struct pd_span){room, writer.size}, &back) == PD_OK;
}

static int create_gather(struct bootstrap *bootstrap, uint64_t agreed)
{
    struct pd_kv_member own = {.role = PD_KV_MEMBER_VOTER,
                               .name = span_of(bootstrap->settings->name),
                               .peer_count = 1,
                               .client_count = bootstrap->client_url != NULL};
    own.peers[0] = span_of(own_address(bootstrap));
    own.clients[0] = span_of(bootstrap->client_url);
    memcpy(own.key, bootstrap->identity.key, sizeof own.key);
    if (!is_sound(&own)) {
        return pd_command_failed("a node's name has at most %u letters without spaces, an address "
                                 "%u",
                                 PD_KV_MEMBER_NAME_MAX, PD_KV_MEMBER_ADDRESS_MAX);
    }
    const struct pd_gather_net_config config = {.host = bootstrap->host,
                                                .identity = &bootstrap->identity,
                                                .secret = bootstrap->secret,
                                                .own = &own};
    if (pd_gather_net_create(&config, &bootstrap->gather) != PD_OK) {
        return pd_command_failed("no memory");
    }
    struct pd_gather *machine = pd_gather_net_hold(bootstrap->gather);
    pd_gather_look_for(machine, bootstrap->settings->peers.count, bootstrap->founders,
                       bootstrap->own_place);
    if (agreed != 0) {
        pd_gather_set_state(machine, PD_GATHER_AGREED, agreed);
    }
    pd_gather_net_release(bootstrap->gather);
    return PD_EXIT_CODE_OK;
}

static int open_net(struct bootstrap *bootstrap)
{
    char why[PD_UDP_TEXT_MAX];
    const struct pd_udp_config udp = {.host = bootstrap->host, .address = bootstrap->listen};
    struct pd_net_config config = pd_net_config_default();
    if (pd_udp_open(&udp, why, &bootstrap->udp) != PD_OK) {
        return pd_command_failed("%s", why);
    }
    const struct pd_net_offer offer = pd_gather_net_offer(bootstrap->gather);
    config.host = bootstrap->host;
    config.loop = pd_udp_loop(bootstrap->udp);
    config.identity = &bootstrap->identity;
    config.offers = &offer;
    config.offer_count = 1;
    if (pd_net_open(&config, &bootstrap->net) != PD_OK) {
        return pd_command_failed("cannot speak to other nodes: no memory or threads");
    }
    pd_gather_net_attach(bootstrap->gather, bootstrap->net);
    return PD_EXIT_CODE_OK;
}

static void close_net(struct bootstrap *bootstrap)
{
    if (bootstrap->net != NULL) {
        pd_net_close(bootstrap->net);
    }
    if (bootstrap->udp != NULL) {
        pd_udp_close(bootstrap->udp);
    }
    pd_gather_net_destroy(bootstrap->gather);
}

static void run_round(struct bootstrap *bootstrap)
{
    char text[PD_RESOLVE_TEXT_MAX];
    (void)resolve_places(bootstrap, text); /* who has no address is told of as one that is away */
    for (uint32_t i = 0; i < bootstrap->settings->peers.count; i++) {
        if (i != bootstrap->own_place && bootstrap->is_resolved[i]) {
            pd_gather_net_ask(bootstrap->gather, i, &bootstrap->addresses[i]);
        }
    }
    pd_gather_net_wait(bootstrap->gather, pd_host_now_ns(bootstrap->host) + ANSWER_NS);
}

/* What is still missing, and at whom. */
static void tell(struct bootstrap *bootstrap, const char *text)
{
    char line[NOTE_MAX];
    size_t size = (size_t)snprintf(line, sizeof line, "%s", text);
    for (uint32_t i = 0; i < bootstrap->settings->peers.count && size < sizeof line; i++) {
        const char *why = i == bootstrap->own_place    ? NULL
                          : !bootstrap->is_resolved[i] ? "it has no address"
                                                       : pd_gather_net_why(bootstrap->gather, i);
        if (why != NULL) {
            size += (size_t)snprintf(line + size, sizeof line - size, "; %s: %s",
                                     bootstrap->settings->peers.texts[i], why);
        }
    }
    note(bootstrap, line);
}

/* From here on this node agrees to no other set. */
static int agree(struct bootstrap *bootstrap)
{
    static struct pd_members_file file; /* too large for a frame */
    struct pd_gather *machine = pd_gather_net_hold(bootstrap->gather);
    pd_gather_put_set(machine, &file);
    bool is_written = write_set(bootstrap, &file, PD_MEMBERS_START_GATHER);
    if (is_written) {
        pd_gather_set_state(machine, PD_GATHER_AGREED, file.cluster_id);
    }
    pd_gather_net_release(bootstrap->gather);
    return is_written ? PD_EXIT_CODE_OK
                      : pd_command_failed("cannot write '%s/" PD_MEMBERS_FILE_NAME "': %s",
                                          bootstrap->settings->data, strerror(errno));
}

static int begin(struct bootstrap *bootstrap)
{
    static struct pd_members_file file;
    char why[128] = "";
    enum pd_status status = pd_members_file_read(bootstrap->disk, why, sizeof why, &file);
    bool is_written = status == PD_OK && write_set(bootstrap, &file, PD_MEMBERS_START_NEW);
    uint64_t cluster_id = file.cluster_id;
    uint32_t count = file.count;
    pd_members_file_deinit(&file);
    if (!is_written) {
        return pd_command_failed("cannot write '%s/" PD_MEMBERS_FILE_NAME "': %s",
                                 bootstrap->settings->data, why[0] != '\0' ? why : strerror(errno));
    }
    (void)printf("cluster %016" PRIx64 " begins with %" PRIu32 " members, of which this is node "
                 "%016" PRIx64 "\n",
                 cluster_id, count, pd_members_node_of(bootstrap->identity.key));
    (void)fflush(stdout);
    return PD_EXIT_CODE_OK;
}

/* The ticket, if the cluster is there already; else begun, or failed. */
static int gather(struct bootstrap *bootstrap, char ticket[PD_GATHER_TICKET_MAX])
{
    int code = PD_EXIT_CODE_OK;
    ticket[0] = '\0';
    while (code == PD_EXIT_CODE_OK) {
        char text[PD_GATHER_TEXT_MAX];
        run_round(bootstrap);
        struct pd_gather *machine = pd_gather_net_hold(bootstrap->gather);
        enum pd_gather_next next = pd_gather_next(machine, text);
        if (next == PD_GATHER_JOIN) {
            memcpy(ticket, machine->ticket, sizeof machine->ticket);
        }
        pd_gather_net_release(bootstrap->gather);
        switch (next) {
        case PD_GATHER_WAIT:
            tell(bootstrap, text);
            pause_for(bootstrap, AGAIN_NS);
            break;
        case PD_GATHER_AGREE:
            code = agree(bootstrap);
            break;
        case PD_GATHER_BEGIN:
            return begin(bootstrap);
        case PD_GATHER_JOIN:
            return PD_EXIT_CODE_OK;
        case PD_GATHER_STUCK:
            return pd_command_failed("%s", text);
        }
    }
    return code;
}

static int gather_and_close(struct bootstrap *bootstrap, uint64_t agreed,
                            char ticket[PD_GATHER_TICKET_MAX])
{
    int code = pd_node_folder_key(bootstrap->host, bootstrap->settings->data, &bootstrap->identity);
    code = code == PD_EXIT_CODE_OK ? find_itself(bootstrap) : code;
    code = code == PD_EXIT_CODE_OK ? create_gather(bootstrap, agreed) : code;
    code = code == PD_EXIT_CODE_OK ? open_net(bootstrap) : code;
    code = code == PD_EXIT_CODE_OK ? gather(bootstrap, ticket) : code;
    close_net(bootstrap);
    return code;
}

static int join(const struct bootstrap *bootstrap, const char *ticket)
{
    const struct pd_settings *settings = bootstrap->settings;
    const struct pd_join_wish wish = {
        .ticket = ticket,
        .folder = settings->data,
        .name = settings->name,
        .listen_peer =
            settings->listen_peer != NULL ? settings->listen_peer : own_address(bootstrap),
        .advertise_peer = own_address(bootstrap),
        .client_url = bootstrap->client_url,
        .listen_client = pd_settings_has_no_clients(settings) ? NULL : settings->listen_client,
        .timeout_s = JOIN_S};
    return pd_join_by_ticket(bootstrap->host, &wish);
}

int pd_bootstrap(struct pd_host *host, const struct pd_settings *settings,
                 const struct pd_bootstrap_secret *secret, const char *client_url)
{
    static struct bootstrap bootstrap; /* too large for a frame */
    static char ticket[PD_GATHER_TICKET_MAX];
    uint64_t agreed = 0;
    bool is_done = false;
    if (settings->peers.count == 0) {
        return PD_EXIT_CODE_OK;
    }
    bootstrap = (struct bootstrap){.host = host,
                                   .settings = settings,
                                   .client_url = client_url,
                                   .secret = {secret->bytes, secret->size},
                                   .founders = settings->expect == 0 ? settings->peers.count
                                                                     : (uint32_t)settings->expect,
                                   .own_place = PD_GATHER_NOWHERE};
    int code = pd_node_folder_hold(bootstrap.settings->data, &bootstrap.disk);
    code = code == PD_EXIT_CODE_OK ? look_at_folder(&bootstrap, &agreed, &is_done) : code;
    if (code == PD_EXIT_CODE_OK && !is_done) {
        code = gather_and_close(&bootstrap, agreed, ticket);
    }
    if (bootstrap.disk != NULL) {
        bootstrap.disk->ops->close_disk(bootstrap.disk);
    }
    return code == PD_EXIT_CODE_OK && ticket[0] != '\0' ? join(&bootstrap, ticket) : code;
}
