#include "cli/node_folder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "client/node_client.h"
#include "host/disk.h"
#include "host/folder.h"
#include "host/key_file.h"
#include "node/server.h"

int pd_node_folder_hold(const char *folder, struct pd_disk **disk_out)
{
    enum pd_status status = pd_host_disk_open(folder, true, disk_out);
    if (status == PD_OK) {
        return PD_EXIT_CODE_OK;
    }
    if (status == PD_ERR_EXISTS) {
        return pd_command_failed("a node runs in '%s': stop it, or choose another folder with "
                                 "--data",
                                 folder);
    }
    return status == PD_ERR_UNKNOWN
               ? pd_command_failed("cannot make the folder '%s': the one above it does not exist",
                                   folder)
               : pd_command_failed("cannot use the folder '%s': %s%s", folder, strerror(errno),
                                   pd_host_folder_remedy(errno));
}

int pd_node_folder_key(struct pd_host *host, const char *folder,
                       struct pd_net_identity *identity_out)
{
    char path[PD_NODE_PATH_MAX];
    char why[PD_KEY_FILE_TEXT_MAX];
    uint8_t secret[PD_KEY_FILE_SIZE];
    if ((size_t)snprintf(path, sizeof path, "%s/" PD_SERVER_KEY_NAME, folder) >= sizeof path) {
        return pd_command_failed("the path of the folder is too long");
    }
    if (pd_host_key_file(host, path, true, secret, why) != PD_OK) {
        return pd_command_failed("%s", why);
    }
    pd_net_identity_init(identity_out, secret);
    return PD_EXIT_CODE_OK;
}
