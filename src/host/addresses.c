#include "host/addresses.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/if.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/host.h"

#define READ_BYTES 8192u
#define LINK_LOCAL_V4 0xa9fe0000u /* 169.254.0.0/16 */
#define LINK_LOCAL_V4_MASK 0xffff0000u
#define LOOPBACK_V4 0x7f000000u
#define LOOPBACK_V4_MASK 0xff000000u

/* 0: it does not count. */
static uint64_t digest_of(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        uint32_t ip = ntohl(v4.sin_addr.s_addr);
        bool counts =
            (ip & LINK_LOCAL_V4_MASK) != LINK_LOCAL_V4 && (ip & LOOPBACK_V4_MASK) != LOOPBACK_V4;
        return counts ? pd_hash_bytes(AF_INET, &v4.sin_addr, sizeof v4.sin_addr) : 0;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof v6);
        bool counts = !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr) && !IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
        return counts ? pd_hash_bytes(AF_INET6, &v6.sin6_addr, sizeof v6.sin6_addr) : 0;
    }
    return 0;
}

uint64_t pd_addresses_digest(const struct ifaddrs *list)
{
    const unsigned up = IFF_UP | IFF_RUNNING;
    uint64_t digest = 0;
    for (const struct ifaddrs *entry = list; entry != NULL; entry = entry->ifa_next) {
        if (entry->ifa_addr != NULL && (entry->ifa_flags & up) == up) {
            digest += digest_of(entry->ifa_addr); /* in whatever order */
        }
    }
    return digest;
}

/* False: no memory or files. */
static bool look(uint64_t *digest_out)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0) {
        return false;
    }
    *digest_out = pd_addresses_digest(list);
    freeifaddrs(list);
    return true;
}

enum pd_status pd_addresses_open(struct pd_addresses *addresses)
{
    const struct sockaddr_nl name = {.nl_family = AF_NETLINK,
                                     .nl_groups =
                                         RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
    *addresses = (struct pd_addresses){
        .file = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)};
    if (addresses->file < 0 ||
        bind(addresses->file, (const struct sockaddr *)&name, sizeof name) != 0 ||
        !look(&addresses->seen)) {
        pd_addresses_close(addresses);
        return PD_ERR_UNSUPPORTED;
    }
    return PD_OK;
}

void pd_addresses_close(struct pd_addresses *addresses)
{
    if (addresses->file >= 0) {
        (void)close(addresses->file);
    }
    addresses->file = -1;
}

/* -- Words ------------------------------------------------------------------------------------- */

/* Its value, if it is as long as that; NULL: it has none. */
static const uint8_t *attribute(const uint8_t *bytes, size_t size, uint16_t type, size_t wanted)
{
    struct rtattr head;
    for (size_t at = 0; at + sizeof head <= size; at += RTA_ALIGN(head.rta_len)) {
        memcpy(&head, bytes + at, sizeof head);
        if (head.rta_len < sizeof head || head.rta_len > size - at) {
            return NULL;
        }
        if ((head.rta_type & NLA_TYPE_MASK) == type && head.rta_len - sizeof head >= wanted) {
            return bytes + at + sizeof head;
        }
    }
    return NULL;
}

/* Of an address that came, went, or was renewed. */
static bool address_counts(const uint8_t *bytes, size_t size)
{
    struct ifaddrmsg head;
    if (size < sizeof head) {
        return true;
    }
    memcpy(&head, bytes, sizeof head);
    bool is_v4 = head.ifa_family == AF_INET;
    if (!is_v4 && head.ifa_family != AF_INET6) {
        return false;
    }
    size_t from = NLMSG_ALIGN(sizeof head);
    size_t length = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    const uint8_t *rest = bytes + (from < size ? from : size);
    size_t rest_size = from < size ? size - from : 0;
    const uint8_t *ip = attribute(rest, rest_size, IFA_LOCAL, length);
    ip = ip == NULL ? attribute(rest, rest_size, IFA_ADDRESS, length) : ip;
    if (ip == NULL) {
        return true;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    memcpy(is_v4 ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr, ip, length);
    return digest_of(is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6) != 0;
}

/* Of an interface: whether it is up is not said apart from all else, so most count. */
static bool link_counts(const uint8_t *bytes, size_t size)
{
    struct ifinfomsg head;
    if (size < sizeof head) {
        return true;
    }
    memcpy(&head, bytes, sizeof head);
    size_t from = NLMSG_ALIGN(sizeof head);
    bool is_of_radio = from < size && attribute(bytes + from, size - from, IFLA_WIRELESS, 0);
    return head.ifi_family != AF_BRIDGE && !is_of_radio; /* a bridge's port; a scan */
}

bool pd_addresses_word_counts(const uint8_t *bytes, size_t size)
{
    struct nlmsghdr head;
    for (size_t at = 0; at < size; at += NLMSG_ALIGN(head.nlmsg_len)) {
        if (size - at < sizeof head) {
            return true;
        }
        memcpy(&head, bytes + at, sizeof head);
        if (head.nlmsg_len < sizeof head || head.nlmsg_len > size - at) {
            return true;
        }
        const uint8_t *body = bytes + at + NLMSG_HDRLEN;
        size_t body_size = head.nlmsg_len - NLMSG_HDRLEN;
        bool is_address = head.nlmsg_type == RTM_NEWADDR || head.nlmsg_type == RTM_DELADDR;
        bool is_link = head.nlmsg_type == RTM_NEWLINK || head.nlmsg_type == RTM_DELLINK;
        if ((is_address && address_counts(body, body_size)) ||
            (is_link && link_counts(body, body_size)) || head.nlmsg_type == NLMSG_OVERRUN) {
            return true;
        }
    }
    return false;
}

void pd_addresses_read(struct pd_addresses *addresses)
{
    uint8_t bytes[READ_BYTES];
    for (uint32_t i = 0; i < PD_ADDRESSES_READS_MAX; i++) {
        ssize_t size = recv(addresses->file, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);
        if (size < 0 && errno == ENOBUFS) {
            addresses->is_due = true; /* there was no room for what it said */
        } else if (size < 0 && errno != EINTR) {
            return;
        } else if (size >= 0) {
            addresses->is_due = addresses->is_due || (size_t)size > sizeof bytes ||
                                pd_addresses_word_counts(bytes, (size_t)size);
        }
    }
}

/* -- Looks ------------------------------------------------------------------------------------- */

uint64_t pd_addresses_due_ns(const struct pd_addresses *addresses)
{
    return addresses->is_due ? addresses->next_ns : PD_TIME_NEVER;
}

bool pd_addresses_have_changed(struct pd_addresses *addresses, uint64_t now_ns)
{
    uint64_t digest = 0;
    if (pd_addresses_due_ns(addresses) > now_ns) {
        return false;
    }
    addresses->is_due = false;
    addresses->looks++;
    addresses->begun_ns = now_ns;
    addresses->next_ns = now_ns + PD_ADDRESSES_PAUSE_NS;
    if (!look(&digest)) {
        return true; /* the word is taken, and nobody gives it again */
    }
    if (digest == addresses->seen) {
        return false;
    }
    addresses->seen = digest;
    return true;
}

void pd_addresses_rest(struct pd_addresses *addresses, uint64_t now_ns)
{
    uint64_t took_ns = now_ns - addresses->begun_ns;
    uint64_t next_ns = took_ns > PD_ADDRESSES_PAUSE_MAX_NS / PD_ADDRESSES_SHARE
                           ? now_ns + PD_ADDRESSES_PAUSE_MAX_NS
                           : addresses->begun_ns + PD_ADDRESSES_SHARE * took_ns;
    if (next_ns > addresses->next_ns) {
        addresses->next_ns = next_ns;
    }
}
