#include "host/descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/host_sockets.h"

#define STORE_MAX 512u
#define PROBES_MAX 16u

static uint32_t at_most(uint64_t number, uint32_t most)
{
    return number < most ? (uint32_t)number : most;
}

struct pd_descriptors pd_descriptors_divide(uint64_t limit)
{
    uint64_t most = limit < PD_DESCRIPTORS_MIN ? PD_DESCRIPTORS_MIN : limit;
    uint32_t own = at_most(most / 4, PD_DESCRIPTORS_OWN_MAX);
    if (own < PD_DESCRIPTORS_OWN_MIN) {
        own = PD_DESCRIPTORS_OWN_MIN;
    }
    uint64_t eighth = (most - own) / 8;
    return (struct pd_descriptors){
        .limit = limit,
        .own = own,
        .store = at_most(own / 2, STORE_MAX),
        .clients = at_most(2 * eighth, PD_DESCRIPTORS_CLIENTS_MAX),
        .tools = at_most(eighth, PD_DESCRIPTORS_TOOLS_MAX),
        .sockets = at_most(3 * eighth, PD_SOCKETS_MAX),
        .files = at_most(2 * eighth, PD_DESCRIPTORS_FILES_MAX),
    };
}

struct pd_descriptors pd_descriptors_of_process(void)
{
    struct rlimit limit;
    bool is_known = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < PD_DESCRIPTORS_USEFUL;
    return pd_descriptors_divide(is_known ? limit.rlim_cur : PD_DESCRIPTORS_USEFUL);
}

void pd_descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    rlim_t wanted = limit.rlim_max < PD_DESCRIPTORS_USEFUL ? limit.rlim_max : PD_DESCRIPTORS_USEFUL;
    if (limit.rlim_cur < wanted) {
        limit.rlim_cur = wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool pd_descriptors_are_left(uint32_t count)
{
    int probes[PROBES_MAX];
    uint32_t opened = 0;
    bool are_left = true;
    while (are_left && opened < count && opened < PROBES_MAX) {
        /* The first is a file of its own, for the system's bound; the others only numbers. */
        probes[opened] =
            opened == 0 ? eventfd(0, EFD_CLOEXEC) : fcntl(probes[0], F_DUPFD_CLOEXEC, 0);
        are_left = probes[opened] >= 0 || (errno != EMFILE && errno != ENFILE);
        if (probes[opened] < 0) {
            break;
        }
        opened++;
    }
    while (opened > 0) {
        (void)close(probes[--opened]);
    }
    return are_left;
}
