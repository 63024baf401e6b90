#include <stdio.h>

#include "build_info.h"
#include "cli/command.h"
#include "wasm/engine.h"

static int run_version(int count, char **arguments)
{
    int code = PD_EXIT_CODE_OK;
    if (!pd_command_parse(&pd_command_version, &count, arguments, NULL, &code)) {
        return code;
    }
    (void)printf("pando %s (%s, %s, %s)\n", PD_BUILD_VERSION, PD_BUILD_COMMIT, PD_BUILD_TYPE,
                 PD_BUILD_COMPILER);
    (void)printf("engine  %s\n", pd_engine_version_text());
    (void)printf("abi     lunatic 0.13.2, wasi_snapshot_preview1, pando 1\n");
    return PD_EXIT_CODE_OK;
}

const struct pd_command pd_command_version = {
    .name = "version",
    .arguments = "",
    .summary = "print the versions of build, engine and guest ABI",
    .examples = "pando version\n",
    .run = run_version,
};
