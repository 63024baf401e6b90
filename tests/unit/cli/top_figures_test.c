/* What `pando top` reads of a node's figures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/top_figures.h"

static void actors_are_read(void **state)
{
    static const char text[] = "# HELP pando_actors Actors that live.\n"
                               "# TYPE pando_actors gauge\n"
                               "pando_actors 12\n"
                               "pando_actors_ended_total{reason=\"normal\"} 99\n"
                               "pando_actors_turns_total 345\n"
                               "pando_actors_fuel_total 6.5e+06\n"
                               "pando_actors_memory_bytes 7340032\n"
                               "pando_actors{node=\"another\"} 13\n"
                               "pando_actors_of_another_kind 14\n";
    struct pd_top_figures figures;
    (void)state;
    pd_top_figures_read(text, &figures);
    assert_true(figures.actors == 12);
    assert_true(figures.actor_turns == 345);
    assert_true(figures.actor_fuel == 6500000);
    assert_true(figures.actor_memory_bytes == 7340032);
}

/* A node without an application has none to tell of, which is not the same as 0. */
static void a_node_without_an_application_has_no_actors(void **state)
{
    struct pd_top_figures figures;
    (void)state;
    pd_top_figures_read("pando_raft_term 3\n", &figures);
    assert_true(figures.term == 3);
    assert_true(figures.actors < 0);
    assert_true(figures.actor_memory_bytes < 0);
    pd_top_figures_read("pando_actors 0\n", &figures);
    assert_true(figures.actors == 0);
}

static void only_urls_of_client_ports_are_asked(void **state)
{
    static const char *const others[] = {"", "ftp://127.0.0.1:1", "127.0.0.1:1", "unix:/there"};
    const struct pd_link_config config = {0};
    struct pd_top_figures figures;
    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_int_equal(pd_top_figures_fetch(others[i], &config, 100, &figures), PD_ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(actors_are_read),
        cmocka_unit_test(a_node_without_an_application_has_no_actors),
        cmocka_unit_test(only_urls_of_client_ports_are_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
