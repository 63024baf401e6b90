/* Pages go back, and only whole ones of what is unused: what is in use stays as it is, at every
 * place of a ring. Reading what was given back gives zeros on Linux, which shows that it went. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/pages.h"

#define PAGES 8u

struct area {
    uint8_t *bytes;
    uint64_t page;
    uint64_t size;
};

static struct area make_area(void)
{
    struct area area = {.page = (uint64_t)sysconf(_SC_PAGESIZE)};
    area.size = PAGES * area.page;
    area.bytes = mmap(NULL, area.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(area.bytes != MAP_FAILED);
    memset(area.bytes, 7, area.size);
    return area;
}

static void drop_area(struct area *area)
{
    assert_int_equal(munmap(area->bytes, area->size), 0);
}

static uint64_t count(const struct area *area, uint8_t byte)
{
    uint64_t found = 0;
    for (uint64_t i = 0; i < area->size; i++) {
        found += area->bytes[i] == byte;
    }
    return found;
}

static void whole_pages_go_back_and_no_byte_beside_them(void **state)
{
    (void)state;
    struct area area = make_area();
    pd_pages_forget(area.bytes + 1, area.page - 1); /* not one whole page */
    pd_pages_forget(area.bytes + 1, 0);
    pd_pages_forget(area.bytes + area.page - 1, area.page);
    assert_int_equal(count(&area, 7), area.size);
    pd_pages_forget(area.bytes + 1, 2 * area.page); /* the second page, and one byte */
    assert_int_equal(count(&area, 0), area.page);
    assert_int_equal(area.bytes[area.page - 1], 7);
    assert_int_equal(area.bytes[area.page], 0);
    assert_int_equal(area.bytes[2 * area.page], 7);
    drop_area(&area);
}

static void a_ring_keeps_what_is_in_use(void **state)
{
    (void)state;
    struct area area = make_area();
    for (uint64_t tail = 0; tail < 2 * area.size; tail += area.page / 2) {
        for (uint64_t used = 0; used <= area.size; used += area.page / 2) {
            memset(area.bytes, 7, area.size);
            for (uint64_t at = tail; at < tail + used; at++) {
                area.bytes[at % area.size] = 9;
            }
            pd_pages_forget_unused(area.bytes, area.size, tail, tail + used);
            assert_int_equal(count(&area, 9), used);
            /* Of what is not in use, at most the pieces of pages at its three ends are left. */
            assert_true(count(&area, 7) <= 3 * area.page / 2);
            assert_int_equal(count(&area, 7) + count(&area, 0) + used, area.size);
        }
    }
    drop_area(&area);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_pages_go_back_and_no_byte_beside_them),
        cmocka_unit_test(a_ring_keeps_what_is_in_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
