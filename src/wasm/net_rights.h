/* net_rights - which addresses and names an actor may reach. Pure but for memory of lists.
 *
 * Model      A right is none, local (loopback), a list, or all. A list has entries
 *
 *              10.0.0.0/8      10.0.0.0/8:443     [fd00::]/8:443    192.0.2.7:80
 *              api.example:443  api.example:*     *.example:443
 *
 *            where an address without a prefix is one address, and one without a port, or with *,
 *            means all ports. A mapped address (::ffff:a.b.c.d) is its IPv4 address in every check.
 * Names      An entry that is a name admits no address by itself. It lets the actor resolve the
 *            name, and what came of it is *granted* to this actor, for that port, until its TTL
 *            ends, within PD_NET_GRANT_S_MIN and _MAX; without a TTL (/etc/hosts) for
 *            PD_NET_GRANT_S_ELSE. But never what lies on this machine or link, whatever a name
 *            server says: only a CIDR can name that.
 * Sharing    Lists are immutable and reference counted. Rights only shrink: `within` compares.
 * Bounds     PD_NET_ENTRIES_MAX entries a list, PD_NET_GRANTS_MAX granted addresses an actor; a
 *            newer one takes the place of the oldest. */
#ifndef PD_WASM_NET_RIGHTS_H
#define PD_WASM_NET_RIGHTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/host_sockets.h"
#include "base/status.h"

#define PD_NET_ENTRIES_MAX 256u
#define PD_NET_GRANTS_MAX 64u
#define PD_NET_GRANT_S_MIN 5u /* so that what was resolved can be connected to */
#define PD_NET_GRANT_S_MAX 3600u
#define PD_NET_GRANT_S_ELSE 60u
#define PD_NET_ALL_PORTS 65536u

enum pd_network_right {
    PD_NETWORK_NONE = 0,
    PD_NETWORK_LOCAL = 1, /* loopback only */
    PD_NETWORK_LIST = 2,  /* the entries of a list */
    PD_NETWORK_ALL = 3
};

struct pd_net_list;

/* --- Lists ------------------------------------------------------------------------------------ */

/* Entries with commas between them. `why` gets a sentence on failure.
 * PD_ERR_INVALID, PD_ERR_FULL, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_list_parse(const char *text, struct pd_net_list **list_out,
                                              char *why, size_t why_size);

/* Whether this is one entry, as a list has them. */
bool pd_net_entry_is_valid(const char *text, size_t size);

/* True: the entry admits nothing that the bound does not: `bound_entry`, or, if that is NULL, what
 * is local. Both are valid. */
bool pd_net_entry_within(const char *entry, const char *bound_entry);

struct pd_net_list *pd_net_list_share(struct pd_net_list *list); /* NULL is allowed, for both */
void pd_net_list_release(struct pd_net_list *list);

/* What both allow, as a right of its own: *kind_out, and a list if that is one.
 * PD_ERR_FULL, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_right_common(enum pd_network_right one,
                                                const struct pd_net_list *one_list,
                                                enum pd_network_right other,
                                                const struct pd_net_list *other_list,
                                                enum pd_network_right *kind_out,
                                                struct pd_net_list **list_out);

/* True: the child's right admits nothing that the parent's does not. */
bool pd_net_right_within(enum pd_network_right child, const struct pd_net_list *child_list,
                         enum pd_network_right parent, const struct pd_net_list *parent_list);

/* --- Checks ----------------------------------------------------------------------------------- */

/* What resolves of names have granted to one actor. Zero is empty. */
struct pd_net_grants {
    struct pd_net_grant {
        uint8_t ip[16];
        uint32_t port; /* or PD_NET_ALL_PORTS */
        uint64_t until_ns;
    } entries[PD_NET_GRANTS_MAX];
    uint32_t count;
    uint32_t next; /* takes the next one */
};

/* May it ask for this name (no address), to reach that port? */
bool pd_net_may_resolve(enum pd_network_right kind, const struct pd_net_list *list,
                        const char *name, size_t name_size, uint16_t port);

/* May it connect or send there? `grants` may be NULL. The unspecified address is loopback here, as
 * it is for the system: pd_net_normalize first. */
bool pd_net_may_reach(enum pd_network_right kind, const struct pd_net_list *list,
                      const struct pd_net_grants *grants, const struct pd_socket_address *address,
                      uint64_t now_ns);

/* May it bind there? The unspecified address is all addresses here. Port 0 asks for all ports. */
bool pd_net_may_bind(enum pd_network_right kind, const struct pd_net_list *list,
                     const struct pd_socket_address *address);

/* Where one really gets by reaching for the address: 0.0.0.0 and :: are loopback. */
void pd_net_normalize(struct pd_socket_address *address);

/* A name that it may resolve had this address: grant it, unless it is of this machine or link. */
void pd_net_grant(struct pd_net_grants *grants, const struct pd_net_list *list, const char *name,
                  size_t name_size, uint16_t port, const struct pd_lookup_result *result,
                  uint64_t now_ns);

/* --- Texts ------------------------------------------------------------------------------------ */

#define PD_NET_ADDRESS_TEXT_SIZE 80u

/* "192.0.2.7:80", "[2001:db8::1%2]:80". */
void pd_net_address_text(const struct pd_socket_address *address,
                         char text[PD_NET_ADDRESS_TEXT_SIZE]);

/* An address without a port. False: it is none (a name, most likely). */
bool pd_net_ip_parse(const char *text, size_t size, uint8_t ip_out[16]);

#endif
