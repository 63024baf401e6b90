/* net_world - endpoints in virtual time, joined by links that lose, repeat, delay, reorder, cut
 * short and damage datagrams as a seed says. */
#ifndef PD_TEST_NET_WORLD_H
#define PD_TEST_NET_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/host.h"
#include "base/random.h"
#include "net/endpoint.h"

#define NODES_MAX 4u
#define FLIGHTS_MAX 8192u
#define SEEN_MAX 4096u
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)
#define PPM 1000000u

struct flight {
    uint64_t arrives_ns; /* 0: the place is free */
    uint64_t number;
    struct pd_transport_address from;
    struct pd_transport_address to;
    uint8_t ecn;
    size_t size;
    uint8_t bytes[PD_DATAGRAM_BYTES_MAX];
};

/* What an endpoint told, by number: enough for the tests to ask. */
struct seen {
    enum pd_net_event_kind kind;
    uint64_t node;
    uint64_t link;
    enum pd_transport_lane lane;
    uint64_t correlation;
    enum pd_status status;
    size_t size;
    uint64_t first; /* eight bytes of what it held */
    uint64_t time_ns;
    const char *text;
};

struct world;

struct station {
    struct world *world;
    struct pd_net_endpoint *endpoint; /* NULL: it does not run */
    struct pd_net_identity identity;
    struct pd_random random;
    struct pd_transport_address address;  /* as others see it */
    struct pd_transport_address previous; /* packets to it are lost */
    struct pd_net_account *account;
    struct seen seen[SEEN_MAX];
    uint32_t seen_count;
    uint64_t kinds[PD_NET_ENDED + 1]; /* how often each was told */
    bool echoes;                      /* answers each request with itself */
    uint64_t last_link;               /* told open */
    uint64_t bad_bytes;
    uint32_t services_less;  /* that it does not offer, from the end */
    uint32_t gone;           /* the node that it takes for a removed member; 0: none */
    uint64_t still_until_ns; /* until then its process gets no time: datagrams wait for it */
};

struct world {
    uint64_t now_ns;
    struct pd_random random;
    struct station stations[NODES_MAX];
    struct flight *flights; /* FLIGHTS_MAX of them; not of the heap that tests make fail */
    uint64_t sent;
    uint64_t breaks_at; /* when so many were sent nothing passes; 0: never */
    uint64_t delay_ns;
    uint32_t loss_ppm;
    uint32_t repeat_ppm;
    uint32_t reorder_ppm;
    uint32_t cut_short_ppm;
    uint32_t damage_ppm;
    bool is_cut[NODES_MAX][NODES_MAX];
    uint8_t room[PD_NET_ROOM_SIZE];
};

static inline void world_random(void *state, uint8_t *bytes, size_t size)
{
    pd_random_fill(state, bytes, size);
}

static inline struct pd_transport_address world_address(uint32_t node, uint16_t port)
{
    struct pd_transport_address address = {.port = port};
    address.ip[10] = 0xff;
    address.ip[11] = 0xff;
    address.ip[12] = 10;
    address.ip[15] = (uint8_t)node;
    return address;
}

static inline void world_init(struct world *world, uint64_t seed)
{
    static struct flight flights[FLIGHTS_MAX];
    memset(world, 0, sizeof *world);
    world->flights = flights;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        flights[i].arrives_ns = 0;
    }
    world->now_ns = SECOND;
    world->delay_ns = MS;
    pd_random_init(&world->random, seed, "net world");
}

static inline struct pd_net_limits world_limits(void)
{
    struct pd_net_limits limits = pd_net_limits_default();
    limits.connections_max = 64;
    return limits;
}

static bool world_admit(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    (void)key;
    return *(const bool *)state;
}

static bool everybody = true;

static bool world_was_removed(void *state, const uint8_t key[PD_NET_KEY_SIZE])
{
    const struct station *station = state;
    return station->gone != 0 && memcmp(station->world->stations[station->gone - 1].identity.key,
                                        key, PD_NET_KEY_SIZE) == 0;
}

/* Node numbers count from 1; station 0 is node 1. Its key stays when it is started anew. */
static inline void world_start(struct world *world, uint32_t node,
                               const struct pd_net_limits *limits)
{
    static const struct pd_net_service services[] = {
        {.name = "pando-client/1", .admit = world_admit, .state = &everybody},
        {.name = "pando-blob/1"},
    };
    struct station *station = &world->stations[node - 1];
    uint8_t secret[PD_NET_KEY_SIZE];
    memset(secret, (int)node, sizeof secret);
    pd_net_identity_init(&station->identity, secret);
    station->world = world;
    station->address = station->address.port == 0 ? world_address(node, 7000) : station->address;
    pd_random_init(&station->random, pd_random_next(&world->random), "station");
    if (station->account == NULL) {
        station->account = pd_net_account_create();
        assert_non_null(station->account);
    }
    const struct pd_net_endpoint_config config = {
        .identity = &station->identity,
        .limits = *limits,
        .services = services,
        .service_count = 2 - station->services_less,
        .random = world_random,
        .random_state = &station->random,
        .was_removed = world_was_removed,
        .removed_state = station,
        .local = station->address,
        .now_ns = world->now_ns,
    };
    assert_int_equal(pd_net_endpoint_open(&config, &station->endpoint), PD_OK);
}

static inline void world_stop(struct world *world, uint32_t node)
{
    pd_net_endpoint_close(world->stations[node - 1].endpoint);
    world->stations[node - 1].endpoint = NULL;
}

static inline void world_deinit(struct world *world)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        world_stop(world, i + 1);
        pd_net_account_release(world->stations[i].account);
    }
}

static inline bool strikes(struct world *world, uint32_t ppm)
{
    return ppm > 0 && pd_random_below(&world->random, PPM) < ppm;
}

static inline struct station *world_at(struct world *world,
                                       const struct pd_transport_address *address)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct station *station = &world->stations[i];
        if (station->endpoint != NULL && memcmp(&station->address, address, sizeof *address) == 0) {
            return station;
        }
    }
    return NULL;
}

static inline void world_put(struct world *world, const struct pd_transport_address *from,
                             const struct pd_transport_address *to, uint8_t ecn,
                             const uint8_t *bytes, size_t size)
{
    uint32_t place = 0;
    while (place < FLIGHTS_MAX && world->flights[place].arrives_ns != 0) {
        place++;
    }
    bool is_broken = world->breaks_at != 0 && world->sent >= world->breaks_at;
    if (place == FLIGHTS_MAX || size == 0 || size > PD_DATAGRAM_BYTES_MAX || is_broken) {
        return; /* a queue that is full loses as well */
    }
    uint64_t delay = world->delay_ns;
    if (strikes(world, world->reorder_ppm)) {
        delay += pd_random_below(&world->random, 4 * world->delay_ns);
    }
    struct flight *flight = &world->flights[place];
    flight->arrives_ns = world->now_ns + delay;
    flight->number = ++world->sent;
    flight->from = *from;
    flight->to = *to;
    flight->ecn = ecn;
    flight->size = size;
    memcpy(flight->bytes, bytes, size);
    if (strikes(world, world->cut_short_ppm)) {
        flight->size = pd_random_below(&world->random, size);
    }
    if (strikes(world, world->damage_ppm)) {
        flight->bytes[pd_random_below(&world->random, size)] ^=
            (uint8_t)(1 + pd_random_below(&world->random, 255));
    }
}

static inline void world_send(struct world *world, struct station *from,
                              const struct pd_datagram *datagram)
{
    const struct station *to = world_at(world, &datagram->remote);
    if (to != NULL && world->is_cut[from - world->stations][to - world->stations]) {
        return;
    }
    size_t step = datagram->segment_size == 0 ? datagram->size : datagram->segment_size;
    for (size_t at = 0; at < datagram->size; at += step) {
        size_t rest = datagram->size - at;
        uint32_t copies = strikes(world, world->repeat_ppm) ? 2 : 1;
        while (copies-- > 0 && !strikes(world, world->loss_ppm)) {
            world_put(world, &from->address, &datagram->remote, datagram->ecn, datagram->bytes + at,
                      rest < step ? rest : step);
        }
    }
}

static inline struct pd_net_buffer *world_buffer(struct station *station, uint64_t correlation,
                                                 uint64_t first, size_t size)
{
    uint8_t *bytes = pd_alloc_zeroed(1, size < 8 ? 8 : size);
    assert_non_null(bytes);
    for (size_t i = 8; i < size; i++) {
        bytes[i] = (uint8_t)(first + i);
    }
    pd_put_u64(bytes, first);
    struct pd_net_buffer *buffer =
        pd_net_buffer_make(station->account, correlation, (struct pd_span){bytes, size});
    assert_non_null(buffer);
    pd_free(bytes);
    return buffer;
}

static inline void world_take(struct station *station)
{
    struct pd_net_event event;
    while (pd_net_endpoint_next_event(station->endpoint, &event)) {
        struct seen seen = {.kind = event.kind,
                            .node = event.node,
                            .link = event.link,
                            .lane = event.lane,
                            .correlation = event.correlation,
                            .status = event.status,
                            .size = event.bytes.size,
                            .time_ns = station->world->now_ns,
                            .text = event.text};
        seen.first = event.bytes.size >= 8 ? pd_get_u64(event.bytes.bytes) : 0;
        for (size_t i = 8; i < event.bytes.size; i++) {
            station->bad_bytes += event.bytes.bytes[i] != (uint8_t)(seen.first + i) ? 1 : 0;
        }
        station->seen[station->seen_count++ % SEEN_MAX] = seen;
        station->kinds[event.kind]++;
        station->last_link = event.kind == PD_NET_LINK_OPENED ? event.link : station->last_link;
        if (event.kind == PD_NET_REQUEST && station->echoes) {
            pd_net_endpoint_answer(
                station->endpoint, event.link, event.correlation,
                pd_net_buffer_make(station->account, event.correlation, event.bytes), true);
        }
    }
}

static inline bool world_runs(const struct world *world, uint32_t place)
{
    const struct station *station = &world->stations[place];
    return station->endpoint != NULL && world->now_ns >= station->still_until_ns;
}

/* Everything that may leave or be told now. */
static inline void world_settle(struct world *world)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct station *station = &world->stations[i];
        struct pd_datagram datagram;
        if (!world_runs(world, i)) {
            continue;
        }
        world_take(station);
        while (pd_net_endpoint_next_datagram(station->endpoint, world->now_ns, world->room,
                                             &datagram)) {
            world_send(world, station, &datagram);
        }
        uint64_t deadline_ns = pd_net_endpoint_deadline_ns(station->endpoint);
        uint32_t seen_count = station->seen_count;
        world_take(station);
        if (station->seen_count > seen_count) { /* they are told without delay */
            assert_int_equal(deadline_ns, world->now_ns + 1);
        }
        pd_net_endpoint_check(station->endpoint);
    }
}

static inline struct flight *world_next_flight(struct world *world)
{
    struct flight *next = NULL;
    for (uint32_t i = 0; i < FLIGHTS_MAX; i++) {
        struct flight *flight = &world->flights[i];
        if (flight->arrives_ns != 0 &&
            (next == NULL || flight->arrives_ns < next->arrives_ns ||
             (flight->arrives_ns == next->arrives_ns && flight->number < next->number))) {
            next = flight;
        }
    }
    return next;
}

static inline void world_arrive(struct world *world, struct flight *flight)
{
    struct station *station = world_at(world, &flight->to);
    if (station != NULL && world->now_ns < station->still_until_ns) {
        flight->arrives_ns = station->still_until_ns;
        return;
    }
    if (station != NULL) {
        const struct pd_datagram datagram = {.remote = flight->from,
                                             .ecn = flight->ecn,
                                             .bytes = flight->bytes,
                                             .size = flight->size};
        pd_net_endpoint_receive(station->endpoint, world->now_ns, &datagram);
    }
    flight->arrives_ns = 0;
}

/* When something happens next: a datagram comes, or a deadline passes. */
static inline uint64_t world_next_ns(struct world *world)
{
    const struct flight *flight = world_next_flight(world);
    uint64_t next = flight == NULL ? PD_TIME_NEVER : flight->arrives_ns;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        const struct station *station = &world->stations[i];
        if (station->endpoint != NULL) {
            uint64_t deadline = pd_net_endpoint_deadline_ns(station->endpoint);
            deadline = deadline < station->still_until_ns ? station->still_until_ns : deadline;
            next = deadline < next ? deadline : next;
        }
    }
    return next;
}

static inline void world_expire(struct world *world, bool has_stood_still)
{
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        struct station *station = &world->stations[i];
        if (world_runs(world, i) && (!has_stood_still || station->still_until_ns > 0)) {
            pd_net_endpoint_expire(station->endpoint, world->now_ns);
            world_take(station);
            station->still_until_ns = 0;
        }
    }
}

/* One step of time. False: `until` is reached. */
static inline bool world_step(struct world *world, uint64_t until_ns)
{
    world_settle(world);
    uint64_t next = world_next_ns(world);
    if (next > until_ns) {
        world->now_ns = until_ns;
        return false;
    }
    assert_true(next >= world->now_ns);
    world->now_ns = next;
    world_expire(world, true); /* who stood still sees its timers first, then what has come */
    struct flight *flight = world_next_flight(world);
    while (flight != NULL && flight->arrives_ns <= world->now_ns) {
        world_arrive(world, flight);
        flight = world_next_flight(world);
    }
    world_expire(world, false);
    return true;
}

static inline void world_run(struct world *world, uint64_t for_ns)
{
    uint64_t until_ns = world->now_ns + for_ns;
    while (world_step(world, until_ns)) {
    }
    world_settle(world);
}

/* Until a station was told something of a kind `count` times in all. */
static inline void world_wait(struct world *world, uint32_t node, enum pd_net_event_kind kind,
                              uint64_t count)
{
    uint64_t until_ns = world->now_ns + 120 * SECOND;
    while (world->stations[node - 1].kinds[kind] < count) {
        if (!world_step(world, until_ns)) {
            break;
        }
    }
    world_settle(world);
    assert_true(world->stations[node - 1].kinds[kind] >= count);
}

static inline struct pd_transport_peer world_peer(struct world *world, uint32_t node)
{
    const struct station *station = &world->stations[node - 1];
    struct pd_transport_peer peer = {
        .node = node, .address_count = 1, .addresses = {station->address}};
    memcpy(peer.key, station->identity.key, PD_NET_KEY_SIZE);
    return peer;
}

/* Everybody who runs knows everybody who runs. */
static inline void world_introduce(struct world *world)
{
    struct pd_transport_peer peers[NODES_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        if (world->stations[i].endpoint != NULL) {
            peers[count++] = world_peer(world, i + 1);
        }
    }
    for (uint32_t i = 0; i < NODES_MAX; i++) {
        if (world->stations[i].endpoint != NULL) {
            assert_int_equal(
                pd_net_endpoint_set_peers(world->stations[i].endpoint, world->now_ns, peers, count),
                PD_OK);
        }
    }
}

static inline enum pd_status world_say(struct world *world, uint32_t from, uint32_t to,
                                       enum pd_transport_lane lane, uint64_t first, size_t size)
{
    struct station *station = &world->stations[from - 1];
    return pd_net_endpoint_send(station->endpoint, to, lane, world_buffer(station, 0, first, size));
}

static inline struct pd_net_counters world_counters(struct world *world, uint32_t node)
{
    struct pd_net_counters counters;
    pd_net_endpoint_counters(world->stations[node - 1].endpoint, &counters);
    return counters;
}

#endif
