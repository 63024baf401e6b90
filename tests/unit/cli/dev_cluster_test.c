/* The folders of `pando dev`: what belongs to a cluster is never taken for a new one's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/dev_cluster.h"
#include "host/real.h"
#include "node/server_peers.h"
#include "support/remove_tree.h"

static struct pd_real_host *real;
static char folder[64];
static char text[PD_DEV_TEXT_MAX];
static uint16_t base_port;

static enum pd_status open_cluster(uint64_t *cluster_id_out)
{
    static struct pd_dev_cluster cluster;
    enum pd_status status = pd_dev_cluster_open(pd_real_host_interface(real), folder, 0, base_port,
                                                "http", text, &cluster);
    *cluster_id_out = cluster.cluster_id;
    pd_dev_cluster_close(&cluster);
    return status;
}

/* A new cluster, on ports that are free. */
static int set_up(void **state)
{
    (void)state;
    uint64_t cluster_id = 0;
    enum pd_status status = PD_ERR_EXISTS;
    assert_int_equal(pd_real_host_create(1, 4, &real), PD_OK);
    (void)snprintf(folder, sizeof folder, "/tmp/pando-dev-XXXXXX");
    assert_non_null(mkdtemp(folder));
    base_port = (uint16_t)(20000 + getpid() % 10000);
    for (uint32_t i = 0; i < 100 && status == PD_ERR_EXISTS; i++) {
        base_port = (uint16_t)(base_port + 37);
        status = open_cluster(&cluster_id);
    }
    assert_int_equal(status, PD_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)remove_tree(folder);
    pd_real_host_destroy(real);
    return 0;
}

static void name_file(char *path, size_t path_max, const char *node, const char *name)
{
    (void)snprintf(path, path_max, "%s/%s/%s", folder, node, name);
}

static void remove_file(const char *node, const char *name)
{
    char path[128];
    name_file(path, sizeof path, node, name);
    assert_int_equal(unlink(path), 0);
}

static void write_file(const char *node, const char *name, const char *content)
{
    char path[128];
    name_file(path, sizeof path, node, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(content, file);
    assert_int_equal(fclose(file), 0);
}

static void read_file(const char *node, const char *name, char *content, size_t content_max)
{
    char path[128];
    name_file(path, sizeof path, node, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    content[fread(content, 1, content_max - 1, file)] = '\0';
    assert_int_equal(fclose(file), 0);
}

/* It is refused, and what node-2 knows of the cluster is what it knew. */
static void is_refused(const char *words)
{
    static char before[8192];
    static char after[8192];
    uint64_t cluster_id = 0;
    read_file("node-2", "cluster.json", before, sizeof before);
    assert_int_equal(open_cluster(&cluster_id), PD_ERR_CORRUPT);
    assert_non_null(strstr(text, words));
    read_file("node-2", "cluster.json", after, sizeof after);
    assert_string_equal(before, after);
}

static void an_existing_cluster_is_kept(void **state)
{
    (void)state;
    uint64_t first = 0;
    uint64_t second = 0;
    assert_int_equal(open_cluster(&first), PD_OK);
    assert_int_equal(open_cluster(&second), PD_OK);
    assert_int_not_equal(first, 0);
    assert_int_equal(first, second);
}

/* It would get another key, and the others a member that nobody has let in. */
static void an_emptied_node_is_no_new_one(void **state)
{
    (void)state;
    remove_file("node-1", "cluster.json");
    remove_file("node-1", PD_SERVER_KEY_NAME);
    is_refused("node-1");
    write_file("node-1", "cluster.json", "{}");
    is_refused("node-1");
}

static void an_emptied_first_node_begins_no_new_cluster(void **state)
{
    (void)state;
    write_file("node-2", "node.json", "{}");
    remove_file("node-0", "cluster.json");
    is_refused("node-0");
}

/* A first start that was broken off before node-0's file was there. */
static void a_start_that_was_broken_off_begins_anew(void **state)
{
    (void)state;
    uint64_t cluster_id = 0;
    remove_file("node-0", "cluster.json");
    assert_int_equal(open_cluster(&cluster_id), PD_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_existing_cluster_is_kept),
        TEST(an_emptied_node_is_no_new_one),
        TEST(an_emptied_first_node_begins_no_new_cluster),
        TEST(a_start_that_was_broken_off_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
