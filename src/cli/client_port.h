/* client_port - what a node's port for clients needs besides an address. */
#ifndef PD_CLI_CLIENT_PORT_H
#define PD_CLI_CLIENT_PORT_H

#include "base/host.h"
#include "cli/settings.h"
#include "node/gateway_certificates.h"

/* Borrowed from the settings. */
struct pd_gateway_certificates_files pd_client_port_certificates(
    const struct pd_settings *settings);

/* Before anything is made, or joined: what is wrong with them is put right, and the same command
 * tried again. PD_EXIT_CODE_OK, or what to exit with, after it was told why. */
int pd_client_port_check(const struct pd_settings *settings, struct pd_host *host);

#endif
