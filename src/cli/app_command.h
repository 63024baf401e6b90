/* app_command - application files as the commands see them. */
#ifndef PD_CLI_APP_COMMAND_H
#define PD_CLI_APP_COMMAND_H

struct pd_app;

/* Read a file; every mistake is printed with line and key. PD_EXIT_CODE_OK: *app_out is the
 * caller's. Else what to exit with: 1 for a file with mistakes. */
int pd_app_command_load(const char *file, struct pd_app **app_out);

#endif
