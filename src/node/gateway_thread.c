#include "node/gateway_thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "host/descriptors.h"
#include "host/real.h"
#include "node/gateway_writes.h"

#define OUTPUT_MOST (UINT64_C(1) << 30)
#define OUTPUT_LEAST (UINT64_C(64) << 20)

struct pd_gateway_thread {
    struct pd_gateway *gateway;
    struct pd_gateway_backend *backend;
    struct pd_gateway_certificates *certificates; /* NULL: no TLS */
    struct pd_gateway_thread_config config;
    struct pd_host *host;
    struct pd_thread thread;
    char url[PD_GATEWAY_URL_MAX];
};

bool pd_gateway_parse_address(const char *text, char address[PD_GATEWAY_URL_MAX],
                              uint16_t *port_out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon[1] < '0' || colon[1] > '9') {
        return false;
    }
    char *end = NULL;
    unsigned long port = strtoul(colon + 1, &end, 10);
    size_t size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    }
    if (*end != '\0' || port > UINT16_MAX || size == 0 || size >= PD_GATEWAY_URL_MAX) {
        return false;
    }
    memcpy(address, text, size);
    address[size] = '\0';
    *port_out = (uint16_t)port;
    return true;
}

static void run(void *argument)
{
    struct pd_gateway_thread *thread = argument;
    pd_gateway_run(thread->gateway);
}

/* For clients that do not read: not what the process needs for itself. */
static uint64_t output_bytes_max(void)
{
    uint64_t part = pd_real_host_memory_bytes() / 4;
    return part > OUTPUT_MOST ? OUTPUT_MOST : part < OUTPUT_LEAST ? OUTPUT_LEAST : part;
}

static void renew(void *state, struct pd_tls_credentials *credentials)
{
    const struct pd_gateway_thread *thread = state;
    pd_gateway_renew(thread->gateway, credentials);
}

static void note(void *state, const char *text)
{
    const struct pd_gateway_thread *thread = state;
    if (thread->config.note != NULL) {
        thread->config.note(thread->config.note_state, text);
    }
}

/* NULL with PD_OK: no TLS is wanted. */
static enum pd_status open_certificates(struct pd_gateway_thread *thread, char *text,
                                        struct pd_tls_credentials **credentials_out)
{
    char why[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    const struct pd_gateway_certificates_config config = {
        .host = thread->host,
        .files = thread->config.certificates,
        .look_ns = PD_GATEWAY_CERTIFICATES_LOOK_NS,
        .changed = renew,
        .note = note,
        .state = thread,
    };
    *credentials_out = NULL;
    if (config.files.certificate == NULL) {
        return PD_OK;
    }
    enum pd_status status =
        pd_gateway_certificates_open(&config, why, credentials_out, &thread->certificates);
    if (status != PD_OK) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "%.*s", (int)PD_GATEWAY_TEXT_MAX - 1, why);
    }
    return status;
}

static enum pd_status open_gateway(struct pd_gateway_thread *thread,
                                   const struct pd_gateway_thread_config *config, char *text)
{
    struct pd_tls_credentials *credentials = NULL;
    struct pd_gateway_config gateway = pd_gateway_config_default();
    enum pd_status status = open_certificates(thread, text, &credentials);
    if (status != PD_OK) {
        return status;
    }
    struct pd_gateway_writes_config writes = pd_gateway_writes_config_default();
    gateway.service.output_bytes_max = output_bytes_max();
    gateway.service.writes_max = writes.writes_max;
    gateway.service.write_bytes_max = writes.bytes_max;
    gateway.connections_max = pd_descriptors_of_process().clients;
    gateway.credentials = credentials;
    gateway.note = note;
    gateway.note_state = thread;
    gateway.address = config->address;
    gateway.port = config->port;
    gateway.http1.rules = config->allowed;
    gateway.http1.is_stopping = config->is_stopping;
    gateway.service.is_stopping = config->is_stopping;
    gateway.service.backend = pd_gateway_backend_interface(thread->backend);
    status = pd_gateway_open(&gateway, text, &thread->gateway);
    pd_tls_credentials_release(credentials);
    if (status != PD_OK) {
        return status;
    }
    bool is_ipv6 = strchr(config->address, ':') != NULL;
    (void)snprintf(thread->url, sizeof thread->url, "%s://%s%s%s:%u",
                   credentials != NULL ? "https" : "http", is_ipv6 ? "[" : "", config->address,
                   is_ipv6 ? "]" : "", (unsigned)pd_gateway_port(thread->gateway));
    pd_gateway_backend_set_url(thread->backend, thread->url);
    return PD_OK;
}

enum pd_status pd_gateway_thread_open(const struct pd_gateway_thread_config *config,
                                      char text[PD_GATEWAY_TEXT_MAX],
                                      struct pd_gateway_thread **thread_out)
{
    struct pd_gateway_thread *thread = pd_alloc_zeroed(1, sizeof *thread);
    if (thread == NULL) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "cannot serve clients: no memory");
        return PD_ERR_NO_MEMORY;
    }
    const struct pd_gateway_backend_config backend = {.server = config->server,
                                                      .host = config->host,
                                                      .folder = config->folder,
                                                      .name = "pando",
                                                      .more = config->more_metrics};
    thread->host = config->host;
    thread->config = *config;
    enum pd_status status = pd_gateway_backend_open(&backend, &thread->backend);
    if (status != PD_OK) {
        (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "cannot serve clients: %s",
                       pd_status_text(status));
    } else {
        status = open_gateway(thread, config, text);
    }
    if (status == PD_OK) {
        status = thread->host->ops->thread_start(thread->host, "pando-gateway", PD_THREAD_NORMAL,
                                                 run, thread, &thread->thread);
        if (status != PD_OK) {
            (void)snprintf(text, PD_GATEWAY_TEXT_MAX, "cannot serve clients: no thread");
            pd_gateway_stop(thread->gateway);
            pd_gateway_run(thread->gateway);
            pd_gateway_close(thread->gateway);
        }
    }
    if (status == PD_OK && thread->certificates != NULL &&
        pd_gateway_certificates_start(thread->certificates) != PD_OK) {
        note(thread, "no thread to look whether certificates change: restart the node when they "
                     "do");
    }
    if (status != PD_OK) {
        pd_gateway_certificates_close(thread->certificates);
        pd_gateway_backend_close(thread->backend);
        pd_free(thread);
        return status;
    }
    *thread_out = thread;
    return PD_OK;
}

const char *pd_gateway_thread_url(const struct pd_gateway_thread *thread)
{
    return thread->url;
}

void pd_gateway_thread_stopping(struct pd_gateway_thread *thread)
{
    pd_gateway_health_changed(thread->gateway);
}

void pd_gateway_thread_close(struct pd_gateway_thread *thread,
                             struct pd_gateway_counters *counters_out)
{
    if (thread == NULL) {
        return;
    }
    pd_gateway_certificates_close(thread->certificates);
    pd_gateway_stop(thread->gateway);
    thread->host->ops->thread_join(thread->host, thread->thread);
    if (counters_out != NULL) {
        pd_gateway_counters(thread->gateway, counters_out);
    }
    pd_gateway_close(thread->gateway);
    pd_gateway_backend_close(thread->backend);
    pd_free(thread);
}
