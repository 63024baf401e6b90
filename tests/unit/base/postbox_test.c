/* The box from which one takes what many put in. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/postbox.h"

#define PUTTERS 4u
#define LETTERS 20000u

struct letter {
    struct pd_posted link;
    uint32_t from;
    uint32_t number;
};

struct putter {
    struct pd_postbox *box;
    uint32_t id;
    struct letter letters[LETTERS];
    pthread_t thread;
};

static void it_comes_oldest_first_and_whole(void **state)
{
    (void)state;
    struct pd_postbox box = {NULL};
    struct letter letters[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    assert_true(pd_postbox_is_empty(&box));
    assert_null(pd_postbox_take(&box));
    assert_true(pd_postbox_put(&box, &letters[0].link));
    assert_false(pd_postbox_put(&box, &letters[1].link));
    assert_false(pd_postbox_put(&box, &letters[2].link));
    assert_false(pd_postbox_is_empty(&box));
    struct pd_posted *link = pd_postbox_take(&box);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ptr_equal(link, &letters[i].link);
        link = link->next;
    }
    assert_null(link);
    assert_true(pd_postbox_is_empty(&box));
    assert_true(pd_postbox_put(&box, &letters[1].link));
}

static void *put_all(void *argument)
{
    struct putter *putter = argument;
    for (uint32_t i = 0; i < LETTERS; i++) {
        putter->letters[i] = (struct letter){.from = putter->id, .number = i};
        (void)pd_postbox_put(putter->box, &putter->letters[i].link);
    }
    return NULL;
}

static void nothing_is_lost_and_each_putters_order_stays(void **state)
{
    (void)state;
    static struct putter putters[PUTTERS];
    struct pd_postbox box = {NULL};
    for (uint32_t i = 0; i < PUTTERS; i++) {
        putters[i].box = &box;
        putters[i].id = i;
        assert_int_equal(pthread_create(&putters[i].thread, NULL, put_all, &putters[i]), 0);
    }
    uint32_t next[PUTTERS] = {0};
    uint32_t count = 0;
    while (count < PUTTERS * LETTERS) {
        struct pd_posted *link = pd_postbox_take(&box);
        while (link != NULL) {
            const struct letter *letter = pd_container_of(link, struct letter, link);
            assert_int_equal(letter->number, next[letter->from]);
            next[letter->from]++;
            count++;
            link = link->next;
        }
    }
    for (uint32_t i = 0; i < PUTTERS; i++) {
        assert_int_equal(pthread_join(putters[i].thread, NULL), 0);
    }
    assert_true(pd_postbox_is_empty(&box));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_oldest_first_and_whole),
        cmocka_unit_test(nothing_is_lost_and_each_putters_order_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
