#include "node/address.h"

#include <arpa/inet.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *port_out)
{
    uint32_t port = 0;
    size_t size = strlen(text);
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9' || port > UINT16_MAX) {
            return false;
        }
        port = port * 10 + (uint32_t)(text[i] - '0');
    }
    *port_out = (uint16_t)port;
    return size > 0 && port > 0 && port <= UINT16_MAX;
}

enum pd_status pd_address_parse(struct pd_span text, struct pd_transport_address *address_out)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char room[PD_ADDRESS_TEXT_MAX];
    if (text.size == 0 || text.size >= sizeof room || memchr(text.bytes, 0, text.size) != NULL) {
        return PD_ERR_INVALID;
    }
    memcpy(room, text.bytes, text.size);
    room[text.size] = '\0';
    char *colon = strrchr(room, ':');
    *address_out = (struct pd_transport_address){0};
    if (colon == NULL || colon == room || !parse_port(colon + 1, &address_out->port)) {
        return PD_ERR_INVALID;
    }
    *colon = '\0';
    if (room[0] == '[' && colon[-1] == ']') {
        colon[-1] = '\0';
        return inet_pton(AF_INET6, room + 1, address_out->ip) == 1 ? PD_OK : PD_ERR_INVALID;
    }
    memcpy(address_out->ip, mapped, sizeof mapped);
    return inet_pton(AF_INET, room, address_out->ip + sizeof mapped) == 1 ? PD_OK : PD_ERR_INVALID;
}
