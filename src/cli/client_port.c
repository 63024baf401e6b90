#include "cli/client_port.h"

#include "cli/command.h"
#include "cli/node_log.h"
#include "cli/settings_read.h"

struct pd_gateway_certificates_files pd_client_port_certificates(const struct pd_settings *settings)
{
    return (struct pd_gateway_certificates_files){.certificate = settings->cert_file,
                                                  .key = settings->key_file,
                                                  .authorities = settings->trusted_ca_file};
}

int pd_client_port_check(const struct pd_settings *settings, struct pd_host *host)
{
    char text[PD_GATEWAY_CERTIFICATES_TEXT_MAX];
    const struct pd_gateway_certificates_files files = pd_client_port_certificates(settings);
    if (files.certificate == NULL || pd_settings_has_no_clients(settings) ||
        pd_gateway_certificates_check(host, &files, text) == PD_OK) {
        return PD_EXIT_CODE_OK;
    }
    return pd_node_log_failed("%s", text);
}
