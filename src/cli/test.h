/* test - `pando test`, also on behalf of `pando run` when cargo calls that as its runner. */
#ifndef PD_CLI_TEST_H
#define PD_CLI_TEST_H

#include <stdbool.h>

/* True: cargo runs this file as a test, and not as a benchmark: CARGO_MANIFEST_DIR is set, the file
 * lies in target/wasm32-{wasi,wasip1,unknown-unknown}, in the `deps` of a profile, and none of the
 * guest's arguments is --bench. */
bool pd_test_is_cargos(const char *file, int argument_count, char **arguments);

struct pd_run_options;

/* Run the file's tests with the options of `pando run`, for cargo; the guest's arguments are words
 * of `pando test`. Returns the exit code. */
int pd_test_run_for_cargo(const struct pd_run_options *options);

#endif
