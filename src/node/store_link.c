#include "node/store_link.h"

#include "actor/runtime.h"
#include "base/alloc.h"
#include "base/list.h"

#define BATCH_MAX 32u

struct pd_store_server_link {
    struct pd_store_link link; /* first */
    struct pd_server_client client;
    struct pd_server *server;
    struct pd_host *host;
    struct pd_store_port *port;
    struct pd_event closed;
};

static struct pd_store_server_link *link_of(struct pd_store_link *link)
{
    return pd_container_of(link, struct pd_store_server_link, link);
}

/* Given by this thread, and the core not yet woken for them. A scheduler thread has one runtime,
 * and that one store. */
static _Thread_local uint32_t quiet_count;

static enum pd_status submit(struct pd_store_link *link, uint64_t correlation, struct pd_span bytes)
{
    struct pd_store_server_link *self = link_of(link);
    struct pd_scheduler *here = pd_scheduler_current();
    if (here == NULL || !pd_store_port_interface(self->port)->is_flushed ||
        (quiet_count == 0 && !pd_scheduler_has_others(here))) {
        return pd_server_submit(self->server, &self->client, correlation, bytes);
    }
    quiet_count++;
    return pd_server_submit_quietly(self->server, &self->client, correlation, bytes);
}

static void flush(struct pd_store_link *link, bool is_last)
{
    if (quiet_count > 0 && (is_last || quiet_count >= BATCH_MAX)) {
        quiet_count = 0;
        pd_server_nudge(link_of(link)->server);
    }
}

static enum pd_status read_hot(struct pd_store_link *link, struct pd_span key, uint8_t *room,
                               size_t room_max, struct pd_kv_record *record_out)
{
    return pd_server_read_hot(link_of(link)->server, key, room, room_max, record_out);
}

static const char *why_down(struct pd_store_link *link)
{
    (void)link;
    return "the node is stopping";
}

static const struct pd_store_link_ops ops = {
    .submit = submit, .flush = flush, .read_hot = read_hot, .text = why_down};

/* While the core is held: a copy and a wake. */
static void on_answer(struct pd_server_client *client, uint64_t correlation, struct pd_span bytes)
{
    struct pd_store_server_link *self =
        pd_container_of(client, struct pd_store_server_link, client);
    pd_store_port_answer(self->port, correlation, bytes);
}

static void on_closed(struct pd_server_client *client)
{
    struct pd_store_server_link *self =
        pd_container_of(client, struct pd_store_server_link, client);
    self->host->ops->event_set(self->host, &self->closed);
}

enum pd_status pd_store_server_link_open(struct pd_server *server,
                                         const struct pd_store_port_config *config,
                                         struct pd_store_server_link **link_out)
{
    struct pd_store_server_link *self = pd_alloc_zeroed(1, sizeof *self);
    if (self == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    self->link.ops = &ops;
    self->client.answer = on_answer;
    self->client.closed = on_closed;
    self->client.name = "app";
    self->server = server;
    self->host = config->host;
    enum pd_status status = pd_store_port_open(config, &self->link, &self->port);
    if (status == PD_OK) {
        status = pd_server_client_open(server, &self->client);
    }
    if (status != PD_OK) {
        pd_store_port_close(self->port);
        pd_free(self);
        return status;
    }
    *link_out = self;
    return PD_OK;
}

struct pd_store_port *pd_store_server_link_port(struct pd_store_server_link *link)
{
    return link->port;
}

void pd_store_server_link_close(struct pd_store_server_link *link)
{
    if (link == NULL) {
        return;
    }
    pd_server_client_close(link->server, &link->client);
    while (!link->host->ops->event_wait(link->host, &link->closed, PD_TIME_NEVER)) {
        /* It is set once, at the end. */
    }
    pd_store_port_close(link->port);
    pd_free(link);
}
