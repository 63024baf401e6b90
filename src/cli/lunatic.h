/* lunatic - Pando called by the name of Lunatic, so that its users' scripts and cargo runners go
 * on. It takes the arguments of Lunatic 0.13's `run`, and gives guests what that does: the
 * environment, the current directory, and every right. */
#ifndef PD_CLI_LUNATIC_H
#define PD_CLI_LUNATIC_H

#include <stdbool.h>

/* True: the program's own name, without its folder, is `lunatic`. */
bool pd_lunatic_is_called(const char *program);

/* `arguments` begin behind the program's name. Returns the exit code. */
int pd_lunatic_main(int count, char **arguments);

#endif
