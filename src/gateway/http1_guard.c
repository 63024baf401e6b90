#include "gateway/http1_guard.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static bool is_same(struct pd_span text, const char *words)
{
    return strlen(words) == text.size &&
           strncasecmp((const char *)text.bytes, words, text.size) == 0;
}

static bool ends_in(struct pd_span text, const char *words)
{
    size_t size = strlen(words);
    return text.size > size &&
           is_same((struct pd_span){text.bytes + text.size - size, size}, words);
}

static bool is_digits(struct pd_span text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9') {
            return false;
        }
    }
    return true;
}

/* The name before the port; no bytes: it is none. */
static struct pd_span name_of(struct pd_span host)
{
    const struct pd_span none = {NULL, 0};
    if (host.size == 0) {
        return none;
    }
    const uint8_t *end = host.bytes[0] == '[' ? memchr(host.bytes, ']', host.size)
                                              : memchr(host.bytes, ':', host.size);
    if (host.bytes[0] == '[') {
        if (end == NULL) {
            return none;
        }
        end++;
    }
    size_t size = end == NULL ? host.size : (size_t)(end - host.bytes);
    struct pd_span rest = {host.bytes + size, host.size - size};
    if (rest.size > 0 &&
        (rest.bytes[0] != ':' || !is_digits((struct pd_span){rest.bytes + 1, rest.size - 1}))) {
        return none;
    }
    return (struct pd_span){host.bytes, size};
}

static bool is_address(struct pd_span name)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t address[16];
    bool is_v6 = name.size >= 2 && name.bytes[0] == '[';
    struct pd_span inner =
        is_v6 ? (struct pd_span){name.bytes + 1, name.size - 2} : name; /* without brackets */
    if (inner.size == 0 || inner.size >= sizeof text ||
        memchr(inner.bytes, 0, inner.size) != NULL) {
        return false;
    }
    memcpy(text, inner.bytes, inner.size);
    text[inner.size] = '\0';
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, text, address) == 1;
}

bool pd_http1_host_is_good(const struct pd_http1_rules *rules, struct pd_span host)
{
    struct pd_span name = name_of(host);
    if (name.size == 0) {
        return false;
    }
    if (is_same(name, "localhost") || ends_in(name, ".localhost") || is_address(name)) {
        return true;
    }
    for (uint32_t i = 0; i < rules->host_count; i++) {
        if (strcmp(rules->hosts[i], "*") == 0 || is_same(name, rules->hosts[i])) {
            return true;
        }
    }
    return false;
}

enum pd_http1_origin pd_http1_origin_of(const struct pd_http1_rules *rules, struct pd_span origin,
                                        struct pd_span host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t size = strlen(schemes[i]);
        if (origin.size == size + host.size &&
            is_same((struct pd_span){origin.bytes, size}, schemes[i]) &&
            strncasecmp((const char *)origin.bytes + size, (const char *)host.bytes, host.size) ==
                0) {
            return PD_HTTP1_ORIGIN_OWN;
        }
    }
    for (uint32_t i = 0; i < rules->origin_count; i++) {
        if (strcmp(rules->origins[i], "*") == 0 || is_same(origin, rules->origins[i])) {
            return PD_HTTP1_ORIGIN_ALLOWED;
        }
    }
    return PD_HTTP1_ORIGIN_FOREIGN;
}
