#include "host/resolve.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool read_port(const char *text, uint16_t *port_out)
{
    uint32_t port = 0;
    size_t size = strspn(text, "0123456789");
    if (size == 0 || size > 5 || text[size] != '\0') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    *port_out = (uint16_t)port;
    return port <= UINT16_MAX;
}

bool pd_host_split_place(const char *text, char host[PD_RESOLVE_HOST_MAX], uint16_t *port_out)
{
    bool is_bracketed = text[0] == '[';
    const char *from = is_bracketed ? text + 1 : text;
    const char *end = strchr(from, is_bracketed ? ']' : ':');
    size_t size = end == NULL ? 0 : (size_t)(end - from);
    if (size == 0 || size >= PD_RESOLVE_HOST_MAX || memchr(from, ' ', size) != NULL) {
        return false;
    }
    memcpy(host, from, size);
    host[size] = '\0';
    const char *colon = is_bracketed ? end + 1 : end;
    return colon[0] == ':' && read_port(colon + 1, port_out);
}

static void take(const struct sockaddr *from, uint8_t ip[16])
{
    if (from->sa_family == AF_INET) {
        struct sockaddr_in address;
        memcpy(&address, from, sizeof address);
        memcpy(ip, mapped, sizeof mapped);
        memcpy(ip + sizeof mapped, &address.sin_addr, 4);
    } else {
        struct sockaddr_in6 address;
        memcpy(&address, from, sizeof address);
        memcpy(ip, &address.sin6_addr, 16);
    }
}

static bool is_internet(const struct sockaddr *address)
{
    return address != NULL && (address->sa_family == AF_INET || address->sa_family == AF_INET6);
}

enum pd_status pd_host_resolve(const char *place, struct pd_transport_address *address_out,
                               char text[PD_RESOLVE_TEXT_MAX])
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    char host[PD_RESOLVE_HOST_MAX];
    struct addrinfo *list = NULL;
    struct pd_transport_address address = {0};
    text[0] = '\0';
    if (!pd_host_split_place(place, host, &address.port)) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX,
                       "'%.100s' is no place: it is as node-1.example.org:2380, 192.0.2.1:2380 or "
                       "[2001:db8::1]:2380",
                       place);
        return PD_ERR_INVALID;
    }
    int error = getaddrinfo(host, NULL, &hints, &list);
    if (error != 0) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "'%s' has no address: %s", host,
                       gai_strerror(error));
        return PD_ERR_UNKNOWN;
    }
    const struct addrinfo *best = NULL;
    for (const struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        bool is_better = best == NULL || (best->ai_family != AF_INET && at->ai_family == AF_INET);
        if (is_internet(at->ai_addr) && is_better) {
            best = at;
        }
    }
    if (best != NULL) {
        take(best->ai_addr, address.ip);
    }
    freeaddrinfo(list);
    if (best == NULL) {
        (void)snprintf(text, PD_RESOLVE_TEXT_MAX, "'%s' has no internet address", host);
        return PD_ERR_UNKNOWN;
    }
    *address_out = address;
    return PD_OK;
}

bool pd_host_is_own_address(const struct pd_transport_address *address)
{
    struct ifaddrs *list = NULL;
    bool is_own = false;
    if (memcmp(address->ip, mapped, sizeof mapped) == 0 && address->ip[12] == 127) {
        return true; /* all of that network, and not only the one address that is listed */
    }
    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (const struct ifaddrs *at = list; at != NULL && !is_own; at = at->ifa_next) {
        uint8_t ip[16];
        if (is_internet(at->ifa_addr)) {
            take(at->ifa_addr, ip);
            is_own = memcmp(ip, address->ip, sizeof ip) == 0;
        }
    }
    freeifaddrs(list);
    return is_own;
}
