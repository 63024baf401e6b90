/* What control groups allow of memory and processor time, in files as the kernel has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/cgroup.h"
#include "support/remove_tree.h"

static char folder[] = "/tmp/cgroup_test_XXXXXX";
static char groups[256];

static void put(const char *path, const char *text)
{
    char whole[512];
    (void)snprintf(whole, sizeof whole, "%s/%s", folder, path);
    for (char *at = whole + strlen(folder) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(whole, 0700);
        *at = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    (void)state;
    memcpy(strrchr(folder, '_'), "_XXXXXX", sizeof "_XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(groups, sizeof groups, "%s/groups", folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return remove_tree(folder);
}

static uint64_t max(void)
{
    return pd_cgroup_memory_max(groups, folder);
}

static uint64_t cpu(void)
{
    return pd_cgroup_cpu_max(groups, folder);
}

static void a_quota_is_a_part_of_a_period(void **state)
{
    (void)state;
    assert_int_equal(cpu(), UINT64_MAX);
    put("groups", "0::/outer/inner\n3:cpuset:/set\n4:cpu,cpuacct:/old/one\n");
    put("outer/inner/cpu.max", "max 100000\n");
    assert_int_equal(cpu(), UINT64_MAX);
    put("outer/cpu.max", "250000 100000\n");
    assert_int_equal(cpu(), 2500);
    put("outer/inner/cpu.max", "150000 100000\n");
    assert_int_equal(cpu(), 1500);
    put("cpu/old/one/cpu.cfs_period_us", "50000\n");
    put("cpu/old/one/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(cpu(), 1500);
    put("cpu/old/cpu.cfs_period_us", "50000\n");
    put("cpu/old/cpu.cfs_quota_us", "25000\n");
    assert_int_equal(cpu(), 500);
    put("cpu.max", "20000 0\n");
    put("outer/cpu.max", "nonsense\n");
    put("cpu/old/cpu.cfs_quota_us", "99999999999999999999999\n");
    assert_int_equal(cpu(), 1500);
}

static void without_groups_there_is_no_limit(void **state)
{
    (void)state;
    assert_int_equal(max(), UINT64_MAX);
    put("groups", "");
    assert_int_equal(max(), UINT64_MAX);
    put("groups", "nonsense\n0:\n0::relative\n::\n");
    assert_int_equal(max(), UINT64_MAX);
}

static void the_least_of_the_groups_around_counts(void **state)
{
    (void)state;
    put("groups", "0::/outer/inner\n");
    put("outer/inner/memory.max", "max\n");
    assert_int_equal(max(), UINT64_MAX);
    put("outer/memory.max", "5000\n");
    assert_int_equal(max(), 5000);
    put("outer/inner/memory.max", "3000\n");
    assert_int_equal(max(), 3000);
    put("memory.max", "1000\n"); /* the group of a container */
    assert_int_equal(max(), 1000);
    put("groups", "0::/elsewhere\n");
    assert_int_equal(max(), 1000);
}

static void the_first_version_is_read_too(void **state)
{
    (void)state;
    put("groups", "5:cpu,cpuacct:/a\n4:hugetlb,memory:/outer/inner\n3:memory_pressure:/b\n0::/\n");
    put("memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("memory/b/memory.limit_in_bytes", "1\n"); /* another controller's */
    assert_int_equal(max(), UINT64_MAX);
    put("memory/outer/memory.limit_in_bytes", "7000\n");
    assert_int_equal(max(), 7000);
    put("memory/outer/inner/memory.limit_in_bytes", "6000\n");
    assert_int_equal(max(), 6000);
    put("memory/memory.limit_in_bytes", "500\n");
    assert_int_equal(max(), 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_quota_is_a_part_of_a_period, setup, teardown),
        cmocka_unit_test_setup_teardown(without_groups_there_is_no_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_of_the_groups_around_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_first_version_is_read_too, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
