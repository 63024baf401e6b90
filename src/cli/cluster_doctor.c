/* Each look ends in one line: ok, careful or WRONG, what was seen, and what to do. */
#include "cli/cluster_doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "cli/cluster_doctor_node.h"
#include "cli/cluster_doctor_tls.h"
#include "cli/cluster_members.h"
#include "cli/command.h"
#include "cli/dialer.h"
#include "cli/store_text.h"
#include "host/descriptors.h"
#include "host/key_file.h"
#include "host/real.h"
#include "host/resolve.h"
#include "net/address.h"
#include "node/gateway_certificates.h"
#include "node/server_peers.h"

#define MS_NS UINT64_C(1000000)
#define SECOND_NS (1000 * MS_NS)
#define SYNCS 21u
#define BLOCK 4096u
#define SYNC_CAREFUL_NS (20 * MS_NS)
#define SYNC_WRONG_NS (150 * MS_NS) /* heartbeats wait 20 ms, elections 200 */
#define FREE_CAREFUL (UINT64_C(1) << 30)
#define FREE_WRONG (UINT64_C(256) << 20) /* writes are refused */
#define BUFFER_CAREFUL (UINT64_C(1) << 20)
#define FILES_CAREFUL 4096u
#define MEMORY_CAREFUL (UINT64_C(768) << 20)
#define CPU_CAREFUL 1000u /* thousandths of a processor */
#define TEXT_MAX 512u
#define MTU_CAREFUL 1280
#define DIAL_NS (3 * SECOND_NS)
#define CLOCK_CAREFUL_NS (500 * MS_NS)
#define DAY_S (UINT64_C(24) * 60 * 60)

enum verdict {
    VERDICT_OK = 0,
    VERDICT_CAREFUL,
    VERDICT_WRONG
};

struct doctor {
    const char *folder;
    struct pd_host *host;
    uint32_t careful;
    uint32_t wrong;
    json_t *checks; /* NULL: a line each */
};

static void tell(struct doctor *doctor, enum verdict verdict, const char *what, const char *format,
                 ...) PD_PRINTF(4, 5);

static void tell(struct doctor *doctor, enum verdict verdict, const char *what, const char *format,
                 ...)
{
    static const char *const words[] = {"ok", "careful", "WRONG"};
    static const char *const names[] = {"ok", "careful", "wrong"};
    char text[TEXT_MAX];
    va_list arguments;
    doctor->careful += verdict == VERDICT_CAREFUL;
    doctor->wrong += verdict == VERDICT_WRONG;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (doctor->checks == NULL) {
        (void)printf("%-8s %-12s %s\n", words[verdict], what, text);
        return;
    }
    (void)json_array_append_new(
        doctor->checks,
        json_pack("{s:s, s:s, s:s}", "verdict", names[verdict], "what", what, "text", text));
}

static enum verdict at_most(uint64_t seen, uint64_t careful, uint64_t wrong)
{
    return seen > wrong ? VERDICT_WRONG : seen > careful ? VERDICT_CAREFUL : VERDICT_OK;
}

/* -- The disk ---------------------------------------------------------------------------------- */

static int compare_u64(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

/* Sorted; 0: it could not be done, errno. */
static uint32_t time_syncs(struct doctor *doctor, const char *path, uint64_t took_ns[SYNCS])
{
    static const uint8_t block[BLOCK];
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    uint32_t count = 0;
    if (file < 0) {
        return 0;
    }
    for (; count < SYNCS; count++) {
        uint64_t begin_ns = pd_host_now_ns(doctor->host);
        if (pwrite(file, block, sizeof block, (off_t)(count % 4) * BLOCK) != BLOCK ||
            fdatasync(file) != 0) {
            break;
        }
        took_ns[count] = pd_host_now_ns(doctor->host) - begin_ns;
    }
    (void)close(file);
    (void)unlink(path);
    qsort(took_ns, count, sizeof took_ns[0], compare_u64);
    return count;
}

static void look_at_disk(struct doctor *doctor)
{
    char path[PD_NODE_PATH_MAX];
    uint64_t took_ns[SYNCS];
    struct statvfs space;
    (void)snprintf(path, sizeof path, "%s/doctor.%ld", doctor->folder, (long)getpid());
    uint32_t count = time_syncs(doctor, path, took_ns);
    if (count < SYNCS) {
        tell(doctor, VERDICT_WRONG, "disk", "'%s' cannot be written: %s", doctor->folder,
             strerror(errno));
        return;
    }
    uint64_t middle_ns = took_ns[SYNCS / 2];
    enum verdict verdict = at_most(middle_ns, SYNC_CAREFUL_NS, SYNC_WRONG_NS);
    tell(doctor, verdict, "disk", "a sync takes %.2f ms, %.2f at worst%s",
         (double)middle_ns / (double)MS_NS, (double)took_ns[SYNCS - 1] / (double)MS_NS,
         verdict == VERDICT_OK
             ? ""
             : ": every write waits for one; use a faster disk, or one of its own");
    if (statvfs(doctor->folder, &space) == 0) {
        uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
        verdict = free_bytes < FREE_WRONG     ? VERDICT_WRONG
                  : free_bytes < FREE_CAREFUL ? VERDICT_CAREFUL
                                              : VERDICT_OK;
        tell(doctor, verdict, "space", "%" PRIu64 " MiB free%s", free_bytes >> 20,
             verdict == VERDICT_OK ? "" : ": below 256 MiB writes are refused; make room");
    }
}

/* -- The machine ------------------------------------------------------------------------------- */

/* A file of one number; UINT64_MAX: it is not there, or says "max". */
static uint64_t read_number(const char *path)
{
    char text[64] = "";
    char *end = NULL;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return UINT64_MAX;
    }
    size_t size = fread(text, 1, sizeof text - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    return errno == 0 && end != text ? number : UINT64_MAX;
}

static void look_at_descriptors(struct doctor *doctor, const struct pd_cluster_doctor_node *node)
{
    struct pd_descriptors parts = pd_descriptors_divide(
        node->files < PD_DESCRIPTORS_USEFUL ? node->files : PD_DESCRIPTORS_USEFUL);
    const char *who = node->is_node ? "the node" : "a node that is started from here";
    if (parts.limit < PD_DESCRIPTORS_MIN) {
        tell(doctor, VERDICT_WRONG, "files",
             "%s may open %" PRIu64 ": it needs %u and does not start; `ulimit -Hn 65536`, or "
             "LimitNOFILE=",
             who, parts.limit, PD_DESCRIPTORS_MIN);
        return;
    }
    bool is_low = parts.limit < FILES_CAREFUL;
    tell(doctor, is_low ? VERDICT_CAREFUL : VERDICT_OK, "files",
         "%s may open %" PRIu64 ": %u clients at once, %u sockets of guests%s", who, parts.limit,
         parts.clients, parts.sockets,
         is_low ? ", which is not many; `ulimit -Hn 65536`, or LimitNOFILE=, and start it again"
                : "");
}

/* A quota below one processor stops even a single thread for a part of each period. */
static void look_at_groups(struct doctor *doctor, const struct pd_cluster_doctor_node *node)
{
    const char *whose = node->is_node ? "the node's" : "this shell's";
    if (node->memory != UINT64_MAX) {
        bool is_low = node->memory < MEMORY_CAREFUL;
        tell(doctor, is_low ? VERDICT_CAREFUL : VERDICT_OK, "memory",
             "%s control group may use %" PRIu64 " MiB%s", whose, node->memory >> 20,
             is_low ? ": a node wants 768 MiB; raise its limit" : "");
    }
    if (node->cpu != UINT64_MAX) {
        bool is_low = node->cpu < CPU_CAREFUL;
        tell(doctor, is_low ? VERDICT_CAREFUL : VERDICT_OK, "cpu",
             "%s control group may use %.2f processors; once they are used up all of it stops for "
             "the rest of a period%s",
             whose, (double)node->cpu / 1000,
             is_low ? ": others may take the node for dead meanwhile; raise cpu.max (CPUQuota=)"
                    : "");
    }
}

static void look_at_limits(struct doctor *doctor, struct pd_node_client *client)
{
    struct pd_cluster_doctor_node node;
    pd_cluster_doctor_node(client, &node);
    look_at_descriptors(doctor, &node);
    look_at_groups(doctor, &node);
    uint64_t buffer = read_number("/proc/sys/net/core/rmem_max");
    bool is_small = buffer < BUFFER_CAREFUL;
    if (buffer != UINT64_MAX) {
        tell(doctor, is_small ? VERDICT_CAREFUL : VERDICT_OK, "buffers",
             "UDP sockets may hold %" PRIu64 " KiB%s", buffer >> 10,
             is_small ? ": bursts between nodes are lost and sent again; `sysctl "
                        "net.core.rmem_max=4194304 net.core.wmem_max=4194304`"
                      : "");
    }
    struct timex clock = {0};
    int state = adjtimex(&clock);
    bool is_loose = state < 0 || (clock.status & STA_UNSYNC) != 0;
    tell(doctor, is_loose ? VERDICT_CAREFUL : VERDICT_OK, "clock", "%s",
         is_loose ? "nothing keeps it right: schedules and tickets' ends follow it; run chrony or "
                    "systemd-timesyncd"
                  : "is kept right");
}

static void look_at_key(struct doctor *doctor)
{
    char path[PD_NODE_PATH_MAX];
    char text[PD_KEY_FILE_TEXT_MAX];
    uint8_t secret[PD_KEY_FILE_SIZE];
    (void)snprintf(path, sizeof path, "%s/" PD_SERVER_KEY_NAME, doctor->folder);
    enum pd_status status = pd_host_key_file(doctor->host, path, false, secret, text);
    tell(doctor, status == PD_OK ? VERDICT_OK : VERDICT_WRONG, "key", "%s",
         status == PD_OK ? "is this user's alone" : text);
}

/* -- The members ------------------------------------------------------------------------------- */

/* What the path to an address carries; 0: unknown. */
static int path_mtu(const struct pd_transport_address *address)
{
    struct sockaddr_in6 system;
    int mtu = 0;
    socklen_t size = sizeof mtu;
    int descriptor = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    pd_net_address_to_system(address, &system);
    if (descriptor < 0 ||
        connect(descriptor, (const struct sockaddr *)&system, sizeof system) != 0 ||
        getsockopt(descriptor, IPPROTO_IPV6, IPV6_MTU, &mtu, &size) != 0) {
        mtu = 0;
    }
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
    return mtu;
}

/* One address of a member. */
struct visit {
    char place[PD_KV_MEMBER_ADDRESS_MAX + 1];
    bool is_there;
    bool is_silent;
    char why[PD_RESOLVE_TEXT_MAX]; /* it is not there */
    uint64_t took_ns;
    int mtu;
    bool has_clock; /* and how far it is ahead of the one here, and how exactly that is known */
    int64_t ahead_ns;
    uint64_t error_ns;
};

static void visit(const struct doctor *doctor, struct pd_dialer *dialer,
                  const struct pd_kv_member *member, uint32_t at, struct visit *visit_out)
{
    struct pd_transport_address address;
    *visit_out = (struct visit){.is_there = false};
    (void)snprintf(visit_out->place, sizeof visit_out->place, "%.*s", (int)member->peers[at].size,
                   (const char *)member->peers[at].bytes);
    if (pd_host_resolve(visit_out->place, &address, visit_out->why) != PD_OK) {
        return;
    }
    uint64_t begin_ns = pd_host_now_ns(doctor->host);
    visit_out->is_there = pd_dialer_dial(dialer, member->key, &address);
    visit_out->took_ns = pd_host_now_ns(doctor->host) - begin_ns;
    visit_out->has_clock =
        visit_out->is_there && pd_dialer_clock(dialer, &visit_out->ahead_ns, &visit_out->error_ns);
    visit_out->mtu = path_mtu(&address);
    visit_out->is_silent = !visit_out->is_there;
    if (visit_out->is_silent) {
        (void)snprintf(visit_out->why, sizeof visit_out->why,
                       "%.127s (UDP) does not answer (%.200s)", visit_out->place, dialer->why);
    }
}

/* other: where the member answers instead; NULL: nowhere. */
static void tell_visit(struct doctor *doctor, const char *what, const struct visit *visit,
                       const char *other)
{
    if (visit->is_there) {
        bool is_narrow = visit->mtu != 0 && visit->mtu < MTU_CAREFUL;
        tell(doctor, is_narrow ? VERDICT_CAREFUL : VERDICT_OK, what,
             "%s proves its key within %.1f ms, MTU %d%s", visit->place,
             (double)visit->took_ns / (double)MS_NS, visit->mtu,
             is_narrow ? ": QUIC wants 1280; look at tunnels on the way" : "");
    } else if (other != NULL) {
        tell(doctor, VERDICT_CAREFUL, what, "%s: it is reached at %s alone", visit->why, other);
    } else {
        tell(doctor, VERDICT_WRONG, what, "%s%s", visit->why,
             visit->is_silent ? ": is the node down, or a firewall in between?" : "");
    }
}

/* What is not beyond its own error says nothing. */
static void tell_clock(struct doctor *doctor, const char *what, const struct visit *visit)
{
    if (!visit->has_clock) {
        tell(doctor, VERDICT_OK, what, "its program does not say what time it is there");
        return;
    }
    bool is_behind = visit->ahead_ns < 0;
    uint64_t apart_ns = is_behind ? 0 - (uint64_t)visit->ahead_ns : (uint64_t)visit->ahead_ns;
    bool is_far = apart_ns > CLOCK_CAREFUL_NS && apart_ns > visit->error_ns;
    tell(doctor, is_far ? VERDICT_CAREFUL : VERDICT_OK, what,
         "its clock is %.1f ms %s the one here, give or take %.1f%s",
         (double)apart_ns / (double)MS_NS, is_behind ? "behind" : "ahead of",
         (double)visit->error_ns / (double)MS_NS,
         is_far ? ": schedules, tickets' ends and certificates follow it; let chrony or "
                  "systemd-timesyncd keep both right"
                : "");
}

/* All its addresses: who wants it tries them in turn, so one that answers is enough. */
static void dial(struct doctor *doctor, struct pd_dialer *dialer,
                 const struct pd_members_item *item)
{
    struct visit visits[PD_KV_MEMBER_ADDRESSES_MAX];
    char what[PD_KV_MEMBER_NAME_MAX + 1];
    const struct pd_kv_member *member = &item->member;
    const char *answers = NULL;
    const struct visit *there = NULL;
    (void)snprintf(what, sizeof what, "%.*s", (int)member->name.size,
                   member->name.size > 0 ? (const char *)member->name.bytes : "");
    for (uint32_t i = 0; i < member->peer_count; i++) {
        visit(doctor, dialer, member, i, &visits[i]);
        answers = visits[i].is_there ? visits[i].place : answers;
        there = visits[i].is_there && (there == NULL || !there->has_clock) ? &visits[i] : there;
    }
    for (uint32_t i = 0; i < member->peer_count; i++) {
        tell_visit(doctor, what, &visits[i], answers);
    }
    if (there != NULL) {
        tell_clock(doctor, what, there);
    }
}

/* What a member shows to clients, if it speaks TLS with them. */
static void look_at_certificate(struct doctor *doctor, const char *what, struct pd_span client)
{
    char url[PD_KV_MEMBER_ADDRESS_MAX + 1];
    uint64_t end_s = 0;
    uint64_t now_s = doctor->host->ops->wall_ns(doctor->host) / SECOND_NS;
    (void)snprintf(url, sizeof url, "%.*s", (int)client.size, (const char *)client.bytes);
    if (strncmp(url, "https://", 8) != 0) {
        return;
    }
    if (pd_cluster_doctor_certificate(url, DIAL_NS / MS_NS, &end_s) != PD_OK) {
        tell(doctor, VERDICT_WRONG, what,
             "%s shows no certificate: is the node down, or a firewall in between?", url);
    } else if (end_s <= now_s) {
        tell(doctor, VERDICT_WRONG, what,
             "the certificate of %s ended %" PRIu64 " days ago: clients refuse it; replace its "
             "file, which is read again by itself",
             url, (now_s - end_s) / DAY_S);
    } else {
        uint64_t left_s = end_s - now_s;
        bool is_soon = left_s < PD_GATEWAY_CERTIFICATES_SOON_S;
        tell(doctor, is_soon ? VERDICT_CAREFUL : VERDICT_OK, what,
             "the certificate of %s ends in %" PRIu64 " days%s", url, left_s / DAY_S,
             is_soon ? ": replace its file, which is read again by itself" : "");
    }
}

static void look_at_certificates(struct doctor *doctor, const struct pd_cluster_members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        char what[PD_KV_MEMBER_NAME_MAX + 1];
        const struct pd_kv_member *member = &members->items[i].member;
        (void)snprintf(what, sizeof what, "%.*s", (int)member->name.size,
                       member->name.size > 0 ? (const char *)member->name.bytes : "");
        for (uint32_t k = 0; members->items[i].is_listed && k < member->client_count; k++) {
            look_at_certificate(doctor, what, member->clients[k]);
        }
    }
}

static void dial_members(struct doctor *doctor, const struct pd_cluster_members *members)
{
    static struct pd_dialer dialer;
    char why[PD_DIALER_TEXT_MAX];
    if (pd_dialer_open(&dialer, doctor->host, why) != PD_OK) {
        tell(doctor, VERDICT_WRONG, "network", "%s", why);
        return;
    }
    for (uint32_t i = 0; i < members->count; i++) {
        if (members->items[i].is_listed && members->items[i].member.peer_count > 0) {
            dial(doctor, &dialer, &members->items[i]);
        }
    }
    pd_dialer_close(&dialer);
}

static void look_at_voters(struct doctor *doctor, const struct pd_cluster_members *members)
{
    char lacking[PD_CLUSTER_LACKING_TEXT_MAX];
    const struct pd_cluster_voters voters = pd_cluster_voters_of(members);
    bool is_even = voters.count % 2 == 0;
    pd_cluster_lacking_text(&voters, lacking);
    if (lacking[0] != '\0') {
        tell(doctor, voters.may_fail == 0 ? VERDICT_WRONG : VERDICT_CAREFUL, "voters",
             "%" PRIu32 ", %" PRIu32 " more may fail%s: start those that are down, or remove them "
             "if they are gone for ever; those that are behind fetch what they lack",
             voters.count, voters.may_fail, lacking);
        return;
    }
    tell(doctor, is_even || voters.count == 1 ? VERDICT_CAREFUL : VERDICT_OK, "voters",
         "%" PRIu32 ", %" PRIu32 " may fail%s", voters.count, voters.may_fail,
         is_even             ? ": one less would tolerate as much; add one or remove one"
         : voters.count == 1 ? ": add two nodes, and one may fail"
                             : "");
}

static void look_at_cluster(struct doctor *doctor, struct pd_node_client *client)
{
    static struct pd_cluster_members members; /* too large for a frame */
    if (pd_cluster_members_read(client, &members) != PD_OK) {
        tell(doctor, VERDICT_WRONG, "cluster", "%s", client->text);
        return;
    }
    pd_cluster_heard_read(client, &members);
    look_at_voters(doctor, &members);
    dial_members(doctor, &members);
    look_at_certificates(doctor, &members);
    pd_cluster_members_free(&members);
}

static void sum_up(const struct doctor *doctor)
{
    if (doctor->checks == NULL) {
        (void)printf("\n%" PRIu32 " wrong, %" PRIu32 " to be careful with\n", doctor->wrong,
                     doctor->careful);
    } else {
        pd_store_print_json(json_pack("{s:o, s:I, s:I}", "checks", doctor->checks, "wrong",
                                      (json_int_t)doctor->wrong, "careful",
                                      (json_int_t)doctor->careful));
    }
}

int pd_cluster_doctor(const char *folder, bool is_json, struct pd_node_client *client)
{
    struct doctor doctor = {.folder = folder};
    struct pd_real_host *real = NULL;
    if (pd_real_host_create(1, 4, &real) != PD_OK) {
        return pd_command_failed("no memory or threads");
    }
    doctor.checks = is_json ? json_array() : NULL;
    doctor.host = pd_real_host_interface(real);
    look_at_disk(&doctor);
    look_at_limits(&doctor, client);
    look_at_key(&doctor);
    look_at_cluster(&doctor, client);
    pd_real_host_destroy(real);
    sum_up(&doctor);
    return doctor.wrong == 0 ? PD_EXIT_CODE_OK : PD_EXIT_CODE_FAILED;
}
