#include "host/addresses.h"

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

bool pd_addresses_have_changed(struct pd_addresses *addresses)
{
    uint8_t bytes[READ_BYTES];
    uint64_t digest = 0;
    /* What it says is asked for below, all of it: also what there was no room for (ENOBUFS). */
    while (recv(addresses->file, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC) > 0) {
    }
    if (!look(&digest)) {
        return true; /* the word is taken, and nobody gives it again */
    }
    if (digest == addresses->seen) {
        return false;
    }
    addresses->seen = digest;
    return true;
}
