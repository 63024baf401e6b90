#include "net/address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool parse_port(const char *text, uint16_t *port_out)
{
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 5) {
        return false;
    }
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    *port_out = (uint16_t)port;
    return *end == '\0' && port <= UINT16_MAX;
}

enum pd_status pd_net_address_parse(const char *text, struct pd_transport_address *address_out)
{
    bool is_bracketed = text[0] == '[';
    const char *host = is_bracketed ? text + 1 : text;
    const char *end = strchr(host, is_bracketed ? ']' : ':');
    char copy[PD_NET_ADDRESS_TEXT_MAX];
    if (end == NULL || (size_t)(end - host) >= sizeof copy) {
        return PD_ERR_INVALID;
    }
    memcpy(copy, host, (size_t)(end - host));
    copy[end - host] = '\0';
    const char *colon = is_bracketed ? end + 1 : end;
    struct pd_transport_address address;
    if (colon[0] != ':' || !parse_port(colon + 1, &address.port)) {
        return PD_ERR_INVALID;
    }
    if (!is_bracketed) {
        memcpy(address.ip, mapped, sizeof mapped);
    }
    if (inet_pton(is_bracketed ? AF_INET6 : AF_INET, copy,
                  is_bracketed ? address.ip : address.ip + sizeof mapped) != 1) {
        return PD_ERR_INVALID;
    }
    *address_out = address;
    return PD_OK;
}

void pd_net_address_print(const struct pd_transport_address *address,
                          char text[PD_NET_ADDRESS_TEXT_MAX])
{
    char ip[INET6_ADDRSTRLEN] = "";
    bool is_mapped = memcmp(address->ip, mapped, sizeof mapped) == 0;
    (void)inet_ntop(is_mapped ? AF_INET : AF_INET6,
                    is_mapped ? address->ip + sizeof mapped : address->ip, ip, sizeof ip);
    (void)snprintf(text, PD_NET_ADDRESS_TEXT_MAX, is_mapped ? "%s:%u" : "[%s]:%u", ip,
                   (unsigned)address->port);
}

bool pd_net_address_is_equal(const struct pd_transport_address *one,
                             const struct pd_transport_address *other)
{
    return one->port == other->port && memcmp(one->ip, other->ip, sizeof one->ip) == 0;
}

void pd_net_address_to_system(const struct pd_transport_address *address,
                              struct sockaddr_in6 *system_out)
{
    memset(system_out, 0, sizeof *system_out);
    system_out->sin6_family = AF_INET6;
    system_out->sin6_port = htons(address->port);
    memcpy(&system_out->sin6_addr, address->ip, sizeof address->ip);
}
