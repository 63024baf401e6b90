/* The client library in one walk: keys, a transaction, a lease that is kept alive, and a watch.
 *
 *     cc example.c $(pkg-config --cflags --libs pando) -o example
 *     ./example unix:pando-data/pando.sock */
#include <inttypes.h>
#include <pando/client.h>
#include <stdio.h>
#include <string.h>

/* Whether it is done; else what was wrong. */
static bool is_done(const struct pando_client *client, enum pando_status status, const char *what)
{
    if (status != PANDO_OK) {
        (void)fprintf(stderr, "%s: %s (%s)\n", what, pando_client_message(client),
                      pando_status_text(status));
    }
    return status == PANDO_OK;
}

static bool show_keys(struct pando_client *client)
{
    const struct pando_keys all = pando_prefix(pando_text("example/"));
    struct pando_result *result = NULL;
    if (!is_done(client, pando_get(client, &all, 0, 0, 0, &result), "get")) {
        return false;
    }
    for (size_t i = 0; i < pando_result_count(result); i++) {
        const struct pando_record *record = pando_result_record(result, i);
        (void)printf("%.*s = %.*s\n", (int)record->key.size, (const char *)record->key.data,
                     (int)record->value.size, (const char *)record->value.data);
    }
    pando_result_free(result);
    return true;
}

/* Taken by whoever finds it free, and only by one: create revision 0 means that it is not there. */
static bool take_lock(struct pando_client *client, int64_t lease, bool *taken_out)
{
    const struct pando_keys lock = pando_key(pando_text("example/lock"));
    struct pando_txn_result *result = NULL;
    struct pando_txn *txn = pando_txn_new();
    if (txn == NULL) {
        return false;
    }
    pando_txn_if_number(txn, PANDO_COMPARE_CREATE, lock.key, PANDO_IS_EQUAL, 0);
    pando_txn_put(txn, PANDO_THEN, lock.key, pando_text("me"), lease);
    pando_txn_get(txn, PANDO_ELSE, &lock);
    bool is_good = is_done(client, pando_txn_commit(client, txn, &result), "txn");
    if (is_good) {
        *taken_out = pando_txn_succeeded(result);
    }
    pando_txn_result_free(result);
    pando_txn_free(txn);
    return is_good;
}

static bool hold_lock(struct pando_client *client)
{
    int64_t lease = 0;
    bool first = false;
    bool second = false;
    struct pando_keeper *keeper = NULL;
    bool is_good = is_done(client, pando_lease_grant(client, 60, 0, &lease, NULL), "grant") &&
                   is_done(client, pando_keeper_start(client, lease, &keeper), "keep") &&
                   take_lock(client, lease, &first) && take_lock(client, lease, &second);
    if (is_good) {
        (void)printf("lock: %s, then %s, the lease is %s\n", first ? "taken" : "not taken",
                     second ? "taken twice" : "held",
                     pando_keeper_look(keeper) == PANDO_KEEPER_ALIVE ? "alive" : "in doubt");
        pando_keeper_stop(keeper);
        /* Its keys go with it. */
        is_good = is_done(client, pando_lease_revoke(client, lease, NULL), "revoke");
    }
    return is_good;
}

/* What happened since `revision`, until the last key is deleted. */
static bool show_history(struct pando_client *client, int64_t revision)
{
    const struct pando_keys all = pando_prefix(pando_text("example/"));
    const struct pando_bytes last = pando_text("example/b");
    const struct pando_event *event = NULL;
    struct pando_watch *watch = NULL;
    bool is_over = false;
    if (!is_done(client, pando_watch_open(client, &all, revision, 0, &watch), "watch")) {
        return false;
    }
    while (!is_over && pando_watch_next(watch, 60000, &event) == PANDO_OK) {
        bool is_delete = event->kind == PANDO_EVENT_DELETE;
        if (is_delete || event->kind == PANDO_EVENT_PUT) {
            (void)printf("%s %.*s\n", is_delete ? "deleted" : "put", (int)event->record.key.size,
                         (const char *)event->record.key.data);
        }
        is_over = is_delete && event->record.key.size == last.size &&
                  memcmp(event->record.key.data, last.data, last.size) == 0;
    }
    if (!is_over) {
        (void)fprintf(stderr, "watch: %s\n", pando_watch_message(watch));
    }
    pando_watch_close(watch);
    return is_over;
}

static bool walk(struct pando_client *client)
{
    const struct pando_keys all = pando_prefix(pando_text("example/"));
    int64_t first = 0;
    int64_t deleted = 0;
    bool is_good =
        is_done(client, pando_put(client, pando_text("example/a"), pando_text("1"), 0, &first),
                "put") &&
        is_done(client, pando_put(client, pando_text("example/b"), pando_text("2"), 0, NULL),
                "put") &&
        show_keys(client) && hold_lock(client) &&
        is_done(client, pando_delete(client, &all, &deleted, NULL), "delete");
    if (is_good) {
        (void)printf("%" PRId64 " deleted\n", deleted);
    }
    return is_good && show_history(client, first);
}

int main(int count, char **words)
{
    struct pando_client *client = NULL;
    struct pando_config config = PANDO_CONFIG_INIT;
    const char *endpoints[PANDO_ENDPOINTS_MAX];
    if (count < 2 || count > PANDO_ENDPOINTS_MAX + 1) {
        (void)fprintf(stderr, "usage: example ENDPOINT...\n"
                              "as unix:pando-data/pando.sock or tcp:127.0.0.1:2379\n");
        return 2;
    }
    for (int i = 1; i < count; i++) {
        endpoints[i - 1] = words[i];
    }
    config.endpoints = endpoints;
    config.endpoint_count = (size_t)count - 1;
    enum pando_status opened = pando_client_open(&config, &client);
    bool is_good = is_done(client, opened, "open") && walk(client);
    pando_client_close(client);
    return is_good ? 0 : 1;
}
