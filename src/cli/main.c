/* The `pando` command. */
#include "cli/command.h"

int main(int count, char **words)
{
    return pd_command_main(count - 1, words + 1);
}
