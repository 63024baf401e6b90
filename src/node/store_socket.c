/* The link through a node's socket. */
#include "base/alloc.h"
#include "base/list.h"
#include "node/store_link.h"

#define MIB (UINT64_C(1) << 20)
#define RECONNECT_MS 250u

struct pd_store_socket_link {
    struct pd_store_link link; /* first */
    struct pd_frames_client *client;
    struct pd_store_port *port;
};

static enum pd_status submit(struct pd_store_link *link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_store_socket_link *self = pd_container_of(link, struct pd_store_socket_link, link);
    return pd_frames_client_send(self->client, correlation, bytes);
}

static const char *why_down(struct pd_store_link *link)
{
    (void)link;
    return "the node is gone: no node listens on its socket";
}

static const struct pd_store_link_ops ops = {.submit = submit, .read_hot = NULL, .text = why_down};

static void on_frame(void *state, uint64_t correlation, struct pd_span bytes)
{
    const struct pd_store_socket_link *self = state;
    pd_store_port_answer(self->port, correlation, bytes);
}

static void on_lost(void *state)
{
    const struct pd_store_socket_link *self = state;
    pd_store_port_lost(self->port);
}

static void on_up(void *state)
{
    const struct pd_store_socket_link *self = state;
    pd_store_port_up(self->port);
}

enum pd_status pd_store_socket_link_open(const char *path,
                                         const struct pd_store_port_config *config,
                                         char text[PD_FRAMES_TEXT_MAX],
                                         struct pd_store_socket_link **link_out)
{
    text[0] = '\0';
    struct pd_store_socket_link *self = pd_alloc_zeroed(1, sizeof *self);
    if (self == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    self->link.ops = &ops;
    const struct pd_frames_client_config client = {.path = path,
                                                   .host = config->host,
                                                   .frame_bytes_max = (uint32_t)(32 * MIB),
                                                   .output_bytes_max = 2 * config->bytes_max,
                                                   .reconnect_ms = RECONNECT_MS,
                                                   .frame = on_frame,
                                                   .lost = on_lost,
                                                   .up = on_up,
                                                   .state = self};
    enum pd_status status = pd_store_port_open(config, &self->link, &self->port);
    if (status == PD_OK) {
        status = pd_frames_client_open(&client, text, &self->client);
    }
    if (status != PD_OK) {
        pd_store_port_close(self->port);
        pd_free(self);
        return status;
    }
    *link_out = self;
    return PD_OK;
}

struct pd_store_port *pd_store_socket_link_port(struct pd_store_socket_link *link)
{
    return link->port;
}

void pd_store_socket_link_close(struct pd_store_socket_link *link)
{
    if (link != NULL) {
        pd_frames_client_close(link->client);
        pd_store_port_close(link->port);
        pd_free(link);
    }
}
