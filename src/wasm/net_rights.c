#include "wasm/net_rights.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define IP_BITS 128u
#define V4_BITS 96u /* of the mapped prefix */
#define LABEL_MAX 63u
#define ENTRY_MAX 300u
#define NS_PER_S UINT64_C(1000000000)

/* An entry is a name, all names beneath one, or addresses. */
enum entry_kind {
    ENTRY_NAME,
    ENTRY_BENEATH,
    ENTRY_ADDRESSES
};

struct entry {
    uint8_t kind; /* enum entry_kind */
    uint8_t bits; /* of `ip` that count */
    uint8_t name_size;
    uint32_t port; /* or PD_NET_ALL_PORTS */
    uint8_t ip[16];
    char name[PD_LOOKUP_NAME_MAX]; /* in small letters */
};

struct pd_net_list {
    atomic_uint_least32_t references;
    uint32_t count;
    uint32_t capacity;
    struct entry entries[];
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* --- What addresses are ----------------------------------------------------------------------- */

static bool is_prefix(const uint8_t *ip, const uint8_t *prefix, uint32_t bits)
{
    uint32_t bytes = bits / 8;
    if (memcmp(ip, prefix, bytes) != 0) {
        return false;
    }
    uint32_t left = bits % 8;
    return left == 0 || ((ip[bytes] ^ prefix[bytes]) >> (8 - left)) == 0;
}

struct range {
    uint8_t ip[16];
    uint8_t bits;
};

static bool is_in_any(const uint8_t *ip, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_prefix(ip, ranges[i].ip, ranges[i].bits)) {
            return true;
        }
    }
    return false;
}

static const struct range loopback[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127}, V4_BITS + 8},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, IP_BITS},
};
#define LOOPBACK_COUNT (sizeof loopback / sizeof loopback[0])

/* What no name can grant, besides loopback and this machine's own addresses: "this host",
 * link-local (cloud metadata lives there), multicast, broadcast; and every way to write IPv4 within
 * IPv6 that some gateway may undo: compatible, translated (64:ff9b::/96, its local kin,
 * ::ffff:0:0:0/96), 6to4 and Teredo. */
static const struct range never_by_name[] = {
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0}, V4_BITS + 8},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254}, V4_BITS + 16},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 224}, V4_BITS + 4},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 255, 255, 255, 255}, IP_BITS},
    {{0}, V4_BITS},
    {{0, 0x64, 0xff, 0x9b}, V4_BITS},
    {{0, 0x64, 0xff, 0x9b, 0, 1}, 48},
    {{0x20, 0x02}, 16},
    {{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, V4_BITS},
    {{0x20, 0x01}, 32},
    {{0xfe, 0x80}, 10},
    {{0xfe, 0xc0}, 10},
    {{0xff}, 8},
};
#define NEVER_COUNT (sizeof never_by_name / sizeof never_by_name[0])

static bool is_loopback(const uint8_t *ip)
{
    return is_in_any(ip, loopback, LOOPBACK_COUNT);
}

void pd_net_normalize(struct pd_socket_address *address)
{
    static const uint8_t any_v4[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    static const uint8_t any_v6[16] = {0};
    if (memcmp(address->ip, any_v4, sizeof any_v4) == 0) {
        address->ip[12] = 127;
        address->ip[15] = 1;
    } else if (memcmp(address->ip, any_v6, sizeof any_v6) == 0) {
        address->ip[15] = 1;
    }
}

/* --- Reading ---------------------------------------------------------------------------------- */

bool pd_net_ip_parse(const char *text, size_t size, uint8_t ip_out[16])
{
    char copy[INET6_ADDRSTRLEN];
    if (size == 0 || size >= sizeof copy || memchr(text, '\0', size) != NULL) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    memcpy(ip_out, mapped, sizeof mapped);
    return inet_pton(AF_INET, copy, ip_out + sizeof mapped) == 1 ||
           inet_pton(AF_INET6, copy, ip_out) == 1;
}

/* At most `max`. */
static bool read_number(const char *text, size_t size, uint32_t max, uint32_t *number_out)
{
    uint32_t number = 0;
    if (size == 0 || size > 5) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = number * 10 + (uint32_t)(text[i] - '0');
    }
    *number_out = number;
    return number <= max;
}

static char small(char letter)
{
    return letter >= 'A' && letter <= 'Z' ? (char)(letter - 'A' + 'a') : letter;
}

static bool is_name_letter(char letter)
{
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' ||
           letter == '_' || letter == '.';
}

/* Into small letters, without the dot that may end it. 0: it is no name. */
static size_t read_name(const char *text, size_t size, char name[PD_LOOKUP_NAME_MAX])
{
    if (size > 0 && text[size - 1] == '.') {
        size--;
    }
    if (size == 0 || size > PD_LOOKUP_NAME_MAX) {
        return 0;
    }
    size_t label = 0;
    for (size_t i = 0; i < size; i++) {
        name[i] = small(text[i]);
        label = name[i] == '.' ? 0 : label + 1;
        bool is_empty_label = name[i] == '.' && (i == 0 || name[i - 1] == '.');
        if (!is_name_letter(name[i]) || is_empty_label || label > LABEL_MAX) {
            return 0;
        }
    }
    return size;
}

/* The bits behind the prefix must be zero, so that nobody means less than what he gets. */
static bool read_addresses(const char *host, size_t host_size, const char *prefix,
                           size_t prefix_size, struct entry *entry)
{
    if (!pd_net_ip_parse(host, host_size, entry->ip)) {
        return false;
    }
    bool is_v4 = memchr(host, ':', host_size) == NULL;
    uint32_t bits = is_v4 ? IP_BITS - V4_BITS : IP_BITS;
    if (prefix != NULL && !read_number(prefix, prefix_size, bits, &bits)) {
        return false;
    }
    bits += is_v4 ? V4_BITS : 0;
    for (uint32_t bit = bits; bit < IP_BITS; bit++) {
        if ((entry->ip[bit / 8] & (0x80u >> (bit % 8))) != 0) {
            return false;
        }
    }
    entry->kind = ENTRY_ADDRESSES;
    entry->bits = (uint8_t)bits;
    return true;
}

static bool read_host_name(const char *host, size_t host_size, struct entry *entry)
{
    entry->kind = ENTRY_NAME;
    if (host_size > 2 && host[0] == '*' && host[1] == '.') {
        entry->kind = ENTRY_BENEATH;
        host += 2;
        host_size -= 2;
    }
    entry->name_size = (uint8_t)read_name(host, host_size, entry->name);
    /* What ends in a number looks like an address that was mistyped. */
    return entry->name_size > 0 &&
           (entry->name[entry->name_size - 1] < '0' || entry->name[entry->name_size - 1] > '9' ||
            strspn(host, "0123456789./") < host_size);
}

/* The parts of "[host]/prefix:port", each but the host perhaps absent. */
struct parts {
    const char *host;
    size_t host_size;
    const char *prefix; /* or NULL */
    size_t prefix_size;
    const char *port; /* or NULL */
    size_t port_size;
};

static bool split(const char *text, size_t size, struct parts *parts)
{
    const char *end = text + size;
    const char *at = text;
    *parts = (struct parts){.host = text};
    if (size > 0 && text[0] == '[') {
        const char *close = memchr(text, ']', size);
        if (close == NULL) {
            return false;
        }
        parts->host = text + 1;
        parts->host_size = (size_t)(close - text) - 1;
        at = close + 1;
        /* "[fd00::/8]:443" is as good as "[fd00::]/8:443". */
        const char *inner = memchr(parts->host, '/', parts->host_size);
        if (inner != NULL) {
            parts->prefix = inner + 1;
            parts->prefix_size = (size_t)(close - inner) - 1;
            parts->host_size = (size_t)(inner - parts->host);
        }
    } else {
        /* More than one colon without brackets: an IPv6 address, which has no port then. */
        const char *colon = memchr(text, ':', size);
        bool is_v6 = colon != NULL && memchr(colon + 1, ':', (size_t)(end - colon) - 1) != NULL;
        while (at < end && *at != '/' && (is_v6 || *at != ':')) {
            at++;
        }
        parts->host_size = (size_t)(at - text);
    }
    if (at < end && *at == '/' && parts->prefix == NULL) {
        parts->prefix = ++at;
        while (at < end && *at != ':') {
            at++;
        }
        parts->prefix_size = (size_t)(at - parts->prefix);
    }
    if (at < end && *at == ':') {
        parts->port = at + 1;
        parts->port_size = (size_t)(end - parts->port);
        at = end;
    }
    return at == end;
}

static bool read_entry(const char *text, size_t size, struct entry *entry)
{
    memset(entry, 0, sizeof *entry);
    struct parts parts;
    if (size == 0 || size > ENTRY_MAX || !split(text, size, &parts)) {
        return false;
    }
    entry->port = PD_NET_ALL_PORTS;
    bool is_any_port = parts.port == NULL || (parts.port_size == 1 && parts.port[0] == '*');
    if (!is_any_port &&
        (!read_number(parts.port, parts.port_size, UINT16_MAX, &entry->port) || entry->port == 0)) {
        return false;
    }
    if (read_addresses(parts.host, parts.host_size, parts.prefix, parts.prefix_size, entry)) {
        return true;
    }
    /* A name needs its ports said: "example" alone is more likely a slip than a wish for all. */
    return parts.prefix == NULL && parts.port != NULL && text[0] != '[' &&
           read_host_name(parts.host, parts.host_size, entry);
}

bool pd_net_entry_is_valid(const char *text, size_t size)
{
    struct entry entry;
    return read_entry(text, size, &entry);
}

static struct pd_net_list *list_create(uint32_t capacity)
{
    struct pd_net_list *list = pd_alloc(sizeof *list + (size_t)capacity * sizeof list->entries[0]);
    if (list != NULL) {
        atomic_init(&list->references, 1);
        list->count = 0;
        list->capacity = capacity;
    }
    return list;
}

enum pd_status pd_net_list_parse(const char *text, struct pd_net_list **list_out, char *why,
                                 size_t why_size)
{
    uint32_t count = 1;
    for (const char *at = text; *at != '\0'; at++) {
        count += *at == ',';
    }
    if (count > PD_NET_ENTRIES_MAX) {
        (void)snprintf(why, why_size, "at most %u entries are allowed", PD_NET_ENTRIES_MAX);
        return PD_ERR_FULL;
    }
    struct pd_net_list *list = list_create(count);
    if (list == NULL) {
        (void)snprintf(why, why_size, "no memory");
        return PD_ERR_NO_MEMORY;
    }
    const char *at = text;
    for (uint32_t i = 0; i < count; i++) {
        at += strspn(at, " ");
        size_t size = strcspn(at, ",");
        size_t tidy = size;
        while (tidy > 0 && at[tidy - 1] == ' ') {
            tidy--;
        }
        if (!read_entry(at, tidy, &list->entries[i])) {
            (void)snprintf(why, why_size,
                           "'%.*s' is no entry: write host:port, host:*, 10.0.0.0/8 or "
                           "[fd00::]/8:443",
                           (int)(tidy < ENTRY_MAX ? tidy : ENTRY_MAX), at);
            pd_free(list);
            return PD_ERR_INVALID;
        }
        at += size + 1;
    }
    list->count = count;
    *list_out = list;
    return PD_OK;
}

struct pd_net_list *pd_net_list_share(struct pd_net_list *list)
{
    if (list != NULL) {
        atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    }
    return list;
}

void pd_net_list_release(struct pd_net_list *list)
{
    if (list != NULL &&
        atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) == 1) {
        pd_free(list);
    }
}

/* --- Comparing -------------------------------------------------------------------------------- */

static bool port_covers(uint32_t port, uint32_t of)
{
    return port == PD_NET_ALL_PORTS || port == of;
}

static bool name_is_beneath(const char *name, size_t name_size, const struct entry *entry)
{
    return name_size > (size_t)entry->name_size + 1 &&
           name[name_size - entry->name_size - 1] == '.' &&
           memcmp(name + name_size - entry->name_size, entry->name, entry->name_size) == 0;
}

static bool name_is(const char *name, size_t name_size, const struct entry *entry)
{
    return name_size == entry->name_size && memcmp(name, entry->name, name_size) == 0;
}

/* IPv4 lies within IPv6 as mapped addresses, but a network of IPv6, were it all of it, admits none
 * of them. */
static bool holds(const struct entry *entry, const uint8_t *ip)
{
    bool is_v4 = memcmp(ip, mapped, sizeof mapped) == 0;
    return is_prefix(ip, entry->ip, entry->bits) && (entry->bits >= V4_BITS || !is_v4);
}

/* All that `inner` admits, `outer` admits too, ports aside. */
static bool host_covers(const struct entry *outer, const struct entry *inner)
{
    switch ((enum entry_kind)outer->kind) {
    case ENTRY_ADDRESSES:
        return inner->kind == ENTRY_ADDRESSES && inner->bits >= outer->bits &&
               holds(outer, inner->ip);
    case ENTRY_NAME:
        return inner->kind == ENTRY_NAME && name_is(inner->name, inner->name_size, outer);
    case ENTRY_BENEATH:
        return (inner->kind != ENTRY_ADDRESSES &&
                name_is_beneath(inner->name, inner->name_size, outer)) ||
               (inner->kind == ENTRY_BENEATH && name_is(inner->name, inner->name_size, outer));
    }
    return false;
}

/* What both admit is an entry again, or nothing: of two, one lies in the other or they are
 * apart. */
static bool common(const struct entry *one, const struct entry *other, struct entry *entry_out)
{
    if (host_covers(one, other)) {
        *entry_out = *other;
    } else if (host_covers(other, one)) {
        *entry_out = *one;
    } else {
        return false;
    }
    if (!port_covers(one->port, other->port) && !port_covers(other->port, one->port)) {
        return false;
    }
    entry_out->port = one->port == PD_NET_ALL_PORTS ? other->port : one->port;
    return true;
}

/* What `local` is as entries. */
static const struct entry local_entries[] = {
    {.kind = ENTRY_ADDRESSES,
     .bits = V4_BITS + 8,
     .port = PD_NET_ALL_PORTS,
     .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127}},
    {.kind = ENTRY_ADDRESSES,
     .bits = IP_BITS,
     .port = PD_NET_ALL_PORTS,
     .ip = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
    {.kind = ENTRY_NAME, .name_size = 9, .port = PD_NET_ALL_PORTS, .name = "localhost"},
};
#define LOCAL_COUNT (sizeof local_entries / sizeof local_entries[0])

/* The entries of a right that is neither none nor all. */
static const struct entry *entries_of(enum pd_network_right kind, const struct pd_net_list *list,
                                      uint32_t *count_out)
{
    if (kind == PD_NETWORK_LIST && list != NULL) {
        *count_out = list->count;
        return list->entries;
    }
    *count_out = kind == PD_NETWORK_LIST ? 0 : LOCAL_COUNT;
    return local_entries;
}

static bool is_covered(const struct entry *inner, const struct entry *outer, uint32_t outer_count)
{
    for (uint32_t i = 0; i < outer_count; i++) {
        if (host_covers(&outer[i], inner) && port_covers(outer[i].port, inner->port)) {
            return true;
        }
    }
    return false;
}

bool pd_net_entry_within(const char *entry, const char *bound_entry)
{
    struct entry inner;
    struct entry outer;
    if (!read_entry(entry, strlen(entry), &inner)) {
        return false;
    }
    if (bound_entry == NULL) {
        return is_covered(&inner, local_entries, LOCAL_COUNT);
    }
    return read_entry(bound_entry, strlen(bound_entry), &outer) && is_covered(&inner, &outer, 1);
}

bool pd_net_right_within(enum pd_network_right child, const struct pd_net_list *child_list,
                         enum pd_network_right parent, const struct pd_net_list *parent_list)
{
    if (child == PD_NETWORK_NONE || parent == PD_NETWORK_ALL) {
        return true;
    }
    if (parent == PD_NETWORK_NONE || child == PD_NETWORK_ALL) {
        return false;
    }
    if (child == parent && child_list == parent_list) {
        return true;
    }
    uint32_t child_count = 0;
    uint32_t parent_count = 0;
    const struct entry *inner = entries_of(child, child_list, &child_count);
    const struct entry *outer = entries_of(parent, parent_list, &parent_count);
    for (uint32_t i = 0; i < child_count; i++) {
        if (!is_covered(&inner[i], outer, parent_count)) {
            return false;
        }
    }
    return true;
}

static enum pd_status common_list(const struct entry *one, uint32_t one_count,
                                  const struct entry *other, uint32_t other_count,
                                  struct pd_net_list **list_out)
{
    uint32_t capacity = one_count * other_count;
    capacity = capacity > PD_NET_ENTRIES_MAX ? PD_NET_ENTRIES_MAX : capacity;
    struct pd_net_list *list = list_create(capacity);
    if (list == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = 0; i < one_count; i++) {
        for (uint32_t j = 0; j < other_count; j++) {
            struct entry entry;
            if (!common(&one[i], &other[j], &entry)) {
                continue;
            }
            if (list->count == list->capacity) {
                pd_free(list);
                return PD_ERR_FULL;
            }
            list->entries[list->count++] = entry;
        }
    }
    *list_out = list;
    return PD_OK;
}

enum pd_status pd_net_right_common(enum pd_network_right one, const struct pd_net_list *one_list,
                                   enum pd_network_right other,
                                   const struct pd_net_list *other_list,
                                   enum pd_network_right *kind_out, struct pd_net_list **list_out)
{
    *list_out = NULL;
    if (pd_net_right_within(one, one_list, other, other_list) ||
        pd_net_right_within(other, other_list, one, one_list)) {
        bool is_one = pd_net_right_within(one, one_list, other, other_list);
        struct pd_net_list *list = NULL;
        enum pd_status status = PD_OK;
        *kind_out = is_one ? one : other;
        const struct pd_net_list *from = is_one ? one_list : other_list;
        if (*kind_out == PD_NETWORK_LIST && from != NULL) {
            list = list_create(from->count);
            status = list == NULL ? PD_ERR_NO_MEMORY : PD_OK;
        }
        if (list != NULL) {
            memcpy(list->entries, from->entries, from->count * sizeof from->entries[0]);
            list->count = from->count;
        }
        *list_out = list;
        return status;
    }
    uint32_t one_count = 0;
    uint32_t other_count = 0;
    const struct entry *ones = entries_of(one, one_list, &one_count);
    const struct entry *others = entries_of(other, other_list, &other_count);
    *kind_out = PD_NETWORK_LIST;
    return common_list(ones, one_count, others, other_count, list_out);
}

/* --- Checks ----------------------------------------------------------------------------------- */

static bool admits_name(const struct pd_net_list *list, const char *name, size_t name_size,
                        uint32_t port)
{
    char tidy[PD_LOOKUP_NAME_MAX];
    size_t tidy_size = read_name(name, name_size, tidy);
    for (uint32_t i = 0; tidy_size > 0 && list != NULL && i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        bool is_it = (entry->kind == ENTRY_NAME && name_is(tidy, tidy_size, entry)) ||
                     (entry->kind == ENTRY_BENEATH && name_is_beneath(tidy, tidy_size, entry));
        if (is_it && port_covers(entry->port, port)) {
            return true;
        }
    }
    return false;
}

bool pd_net_may_resolve(enum pd_network_right kind, const struct pd_net_list *list,
                        const char *name, size_t name_size, uint16_t port)
{
    static const char localhost[] = "localhost";
    char tidy[PD_LOOKUP_NAME_MAX];
    switch (kind) {
    case PD_NETWORK_NONE:
        return false;
    case PD_NETWORK_LOCAL:
        return read_name(name, name_size, tidy) == sizeof localhost - 1 &&
               memcmp(tidy, localhost, sizeof localhost - 1) == 0;
    case PD_NETWORK_LIST:
        return admits_name(list, name, name_size, port);
    case PD_NETWORK_ALL:
        return true;
    }
    return false;
}

static bool admits_address(const struct pd_net_list *list, const uint8_t *ip, uint32_t port)
{
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        const struct entry *entry = &list->entries[i];
        if (entry->kind == ENTRY_ADDRESSES && port_covers(entry->port, port) && holds(entry, ip)) {
            return true;
        }
    }
    return false;
}

static bool is_granted(const struct pd_net_grants *grants, const uint8_t *ip, uint32_t port,
                       uint64_t now_ns)
{
    for (uint32_t i = 0; grants != NULL && i < grants->count; i++) {
        const struct pd_net_grant *grant = &grants->entries[i];
        if (now_ns < grant->until_ns && port_covers(grant->port, port) &&
            memcmp(grant->ip, ip, sizeof grant->ip) == 0) {
            return true;
        }
    }
    return false;
}

bool pd_net_may_reach(enum pd_network_right kind, const struct pd_net_list *list,
                      const struct pd_net_grants *grants, const struct pd_socket_address *address,
                      uint64_t now_ns)
{
    switch (kind) {
    case PD_NETWORK_NONE:
        return false;
    case PD_NETWORK_LOCAL:
        return is_loopback(address->ip);
    case PD_NETWORK_LIST:
        return admits_address(list, address->ip, address->port) ||
               is_granted(grants, address->ip, address->port, now_ns);
    case PD_NETWORK_ALL:
        return true;
    }
    return false;
}

bool pd_net_may_bind(enum pd_network_right kind, const struct pd_net_list *list,
                     const struct pd_socket_address *address)
{
    switch (kind) {
    case PD_NETWORK_NONE:
        return false;
    case PD_NETWORK_LOCAL:
        return is_loopback(address->ip);
    case PD_NETWORK_LIST:
        return admits_address(list, address->ip,
                              address->port == 0 ? PD_NET_ALL_PORTS : address->port);
    case PD_NETWORK_ALL:
        return true;
    }
    return false;
}

/* How long an answer admits its address. */
static uint64_t lifetime_ns(uint32_t ttl_s)
{
    if (ttl_s == PD_LOOKUP_TTL_NONE) {
        ttl_s = PD_NET_GRANT_S_ELSE;
    }
    ttl_s = ttl_s < PD_NET_GRANT_S_MIN ? PD_NET_GRANT_S_MIN : ttl_s;
    ttl_s = ttl_s > PD_NET_GRANT_S_MAX ? PD_NET_GRANT_S_MAX : ttl_s;
    return ttl_s * NS_PER_S;
}

void pd_net_grant(struct pd_net_grants *grants, const struct pd_net_list *list, const char *name,
                  size_t name_size, uint16_t port, const struct pd_lookup_result *result,
                  uint64_t now_ns)
{
    const uint8_t *ip = result->address.ip;
    if (result->is_own || is_loopback(ip) || is_in_any(ip, never_by_name, NEVER_COUNT)) {
        return;
    }
    struct pd_net_grant grant = {
        .port = admits_name(list, name, name_size, PD_NET_ALL_PORTS) ? PD_NET_ALL_PORTS : port,
        .until_ns = now_ns + lifetime_ns(result->ttl_s),
    };
    memcpy(grant.ip, ip, sizeof grant.ip);
    for (uint32_t i = 0; i < grants->count; i++) {
        struct pd_net_grant *known = &grants->entries[i];
        if (known->port == grant.port && memcmp(known->ip, grant.ip, sizeof grant.ip) == 0) {
            /* Each answer lasts as long as it says, whatever a later one says. */
            known->until_ns = grant.until_ns > known->until_ns ? grant.until_ns : known->until_ns;
            return;
        }
    }
    grants->entries[grants->next] = grant;
    grants->next = (grants->next + 1) % PD_NET_GRANTS_MAX;
    grants->count += grants->count < PD_NET_GRANTS_MAX ? 1 : 0;
}

/* --- Texts ------------------------------------------------------------------------------------ */

void pd_net_address_text(const struct pd_socket_address *address,
                         char text[PD_NET_ADDRESS_TEXT_SIZE])
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (pd_socket_address_is_v4(address)) {
        (void)inet_ntop(AF_INET, address->ip + sizeof mapped, ip, sizeof ip);
        (void)snprintf(text, PD_NET_ADDRESS_TEXT_SIZE, "%s:%u", ip, address->port);
        return;
    }
    (void)inet_ntop(AF_INET6, address->ip, ip, sizeof ip);
    if (address->scope == 0) {
        (void)snprintf(text, PD_NET_ADDRESS_TEXT_SIZE, "[%s]:%u", ip, address->port);
    } else {
        (void)snprintf(text, PD_NET_ADDRESS_TEXT_SIZE, "[%s%%%u]:%u", ip, address->scope,
                       address->port);
    }
}
