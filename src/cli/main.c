/* The `pando` command, also by the name of lunatic. */
#include "cli/command.h"
#include "cli/lunatic.h"
#include "cli/streams.h"
#include "host/descriptors.h"

int main(int count, char **words)
{
    pd_streams_hold();
    pd_descriptors_raise();
    if (count > 0 && pd_lunatic_is_called(words[0])) {
        return pd_streams_end(pd_lunatic_main(count - 1, words + 1));
    }
    return pd_streams_end(pd_command_main(count - 1, words + 1));
}
