#include "wasm/sqlite_places.h"

#include <pthread.h>

#include "base/assert.h"

struct line {
    struct pd_list waiting;
    uint32_t held_count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* All of this under the lock. */
static struct line lines[PD_SQLITE_LINE_COUNT];
static bool has_lines;
static uint32_t held_count;
static uint32_t resting_count;
static uint32_t next_line; /* whose turn it is */

static void make_lines(void)
{
    for (uint32_t i = 0; i < PD_SQLITE_LINE_COUNT && !has_lines; i++) {
        pd_list_init(&lines[i].waiting);
    }
    has_lines = true;
}

static void hold(struct pd_sqlite_place *place)
{
    place->state = PD_SQLITE_PLACE_HELD;
    lines[place->line].held_count++;
    held_count++;
}

static void let_go(struct pd_sqlite_place *place)
{
    pd_assert(held_count > 0);
    pd_assert(lines[place->line].held_count > 0);
    lines[place->line].held_count--;
    held_count--;
}

static bool has_room(const struct line *line)
{
    return held_count < PD_SQLITE_PLACES_MAX && line->held_count < PD_SQLITE_PLACES_OF_ONE_MAX;
}

/* The first of the next line that may have a place now, out of it; NULL: none. */
static struct pd_sqlite_place *call_next(void)
{
    for (uint32_t i = 0; i < PD_SQLITE_LINE_COUNT; i++) {
        uint32_t number = (next_line + i) % PD_SQLITE_LINE_COUNT;
        struct pd_list *first = pd_list_first(&lines[number].waiting);
        if (first != NULL && has_room(&lines[number])) {
            pd_list_remove(first);
            next_line = (number + 1) % PD_SQLITE_LINE_COUNT;
            return pd_container_of(first, struct pd_sqlite_place, node);
        }
    }
    return NULL;
}

static void hand_out(void)
{
    struct pd_sqlite_place *place = NULL;
    while ((place = call_next()) != NULL) {
        hold(place);
        place->wake(place->process);
    }
}

bool pd_sqlite_place_take(struct pd_sqlite_place *place, uint64_t owner,
                          void (*wake)(void *process), void *process)
{
    place->line = (uint32_t)(owner % PD_SQLITE_LINE_COUNT);
    place->wake = wake;
    place->process = process;
    pthread_mutex_lock(&lock);
    pd_assert(place->state == PD_SQLITE_PLACE_NONE);
    make_lines();
    /* Where there is room nobody waits who could have it: it was handed out. */
    struct line *line = &lines[place->line];
    bool is_held = has_room(line);
    if (is_held) {
        hold(place);
    } else {
        place->state = PD_SQLITE_PLACE_WAITING;
        pd_list_append(&line->waiting, &place->node);
    }
    pthread_mutex_unlock(&lock);
    return is_held;
}

bool pd_sqlite_place_is_held(const struct pd_sqlite_place *place)
{
    pthread_mutex_lock(&lock);
    bool is_held = place->state == PD_SQLITE_PLACE_HELD;
    pthread_mutex_unlock(&lock);
    return is_held;
}

void pd_sqlite_place_give(struct pd_sqlite_place *place)
{
    pthread_mutex_lock(&lock);
    switch (place->state) {
    case PD_SQLITE_PLACE_NONE:
        break;
    case PD_SQLITE_PLACE_WAITING:
        pd_list_remove(&place->node);
        break;
    case PD_SQLITE_PLACE_HELD:
        let_go(place);
        hand_out();
        break;
    case PD_SQLITE_PLACE_RESTING:
        resting_count--;
        break;
    }
    place->state = PD_SQLITE_PLACE_NONE;
    pthread_mutex_unlock(&lock);
}

void pd_sqlite_place_rest(struct pd_sqlite_place *place)
{
    pthread_mutex_lock(&lock);
    if (place->state == PD_SQLITE_PLACE_HELD && resting_count < PD_SQLITE_RESTING_MAX) {
        resting_count++;
        let_go(place);
        place->state = PD_SQLITE_PLACE_RESTING;
        hand_out();
    }
    pthread_mutex_unlock(&lock);
}

void pd_sqlite_place_resume(struct pd_sqlite_place *place)
{
    pthread_mutex_lock(&lock);
    if (place->state == PD_SQLITE_PLACE_RESTING) {
        resting_count--;
        hold(place);
    }
    pthread_mutex_unlock(&lock);
}
