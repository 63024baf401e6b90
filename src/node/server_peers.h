/* server_peers - the other nodes, as a server's owner gives them: an identity and a transport.
 *
 * Model      While the folder is held the server asks for the node's key; when it knows who it is,
 *            for a transport. What the transport brings joins the core's queue, bounded; its table
 *            of peers follows the directory of members, and before that is known, cluster.json.
 * Clients    Any node serves any client: what only the leader may do is passed on to it by the
 *            node, under a number and, if it is a write without a session of the client's, in a
 *            session of the node's own. So it is asked for again when the leader has changed, and
 *            happens once. While nobody leads it waits, until the request's time is over.
 * Ownership  The transport is the owner's: started and stopped by the server, closed by the owner's
 *            function.
 * Bounds     packets and their bytes that the core has not taken up: what comes then is dropped and
 *            counted, and raft copes. Requests that are passed on: then BUSY. */
#ifndef PD_NODE_SERVER_PEERS_H
#define PD_NODE_SERVER_PEERS_H

#include "base/disk.h"
#include "base/transport.h"
#include "kv/member.h"

/* In a node's folder. */
#define PD_SERVER_KEY_NAME "node.key"
#define PD_SERVER_IDENTITY_NAME "node.json"
#define PD_SERVER_SWITCH_PREFIX "restored-" /* before the names of what takes their places */

/* Whether a folder without node.json may become a node's. PD_ERR_DENIED: it holds what a node does
 * not put there; PD_ERR_NO_MEMORY, PD_ERR_IO. text, of PD_SERVER_TEXT_MAX bytes: what to do. */
PD_NODISCARD enum pd_status pd_server_folder_judge(struct pd_disk *root, const char *folder,
                                                   char *text);

struct pd_server_peers_config {
    /* NULL: this node is alone for ever, and has no key. The folder is held; a new node's key is
     * made, and durable when it returns PD_OK. Else `text`, of text_max bytes, says what to do. */
    enum pd_status (*identify)(void *state, const char *folder, bool is_new,
                               uint8_t key_out[PD_TRANSPORT_KEY_SIZE], char *text, size_t text_max);
    /* Before it listens: whether another process runs with this node's key, at one of the addresses
     * of `own`; which one is told in `place`. Waits a little (twin.h). NULL: nobody looks. */
    bool (*has_twin)(void *state, const struct pd_kv_member *own,
                     char place[PD_KV_MEMBER_ADDRESS_MAX + 1]);
    /* Listen at `address`. Not called for a node that has none, and is alone. */
    enum pd_status (*open)(void *state, const char *address, char *text, size_t text_max,
                           struct pd_transport **transport_out);
    void (*close)(void *state, struct pd_transport *transport);
    /* A member's address that is no number: what it stands for, known without waiting. names: a
     * number that is another one when answers have changed. NULL: only numbers are addresses. */
    bool (*find_name)(void *state, const char *place, struct pd_transport_address *address_out);
    uint64_t (*names)(void *state);
    /* The core: those that were members and never will be again, by id; whenever there are others.
     * Borrowed for the call. NULL: nobody is told that it was removed. */
    void (*removed)(void *state, const uint64_t *nodes, uint32_t count);
    void *state;
    /* What the directory is to say of this node; borrowed for pd_server_open. NULL: as cluster.json
     * has it. */
    const char *name;
    const char *peer_address;   /* "HOST:PORT" */
    const char *client_address; /* "http://HOST:PORT" */
    const char *program;        /* its version; NULL: it is told nobody */
    /* A member is connected from none of its addresses for so long: the directory is told where it
     * is. Longer than it takes to say so itself. */
    uint64_t found_after_ns;
    uint32_t packets_max;
    uint64_t packet_bytes_max;
    uint32_t forwards_max; /* of this node's clients; likewise of other nodes' */
    uint64_t forward_bytes_max;
};

struct pd_server_peers_counters {
    uint64_t packets;
    uint64_t packets_dropped; /* the core's queue was full */
    uint64_t sends_dropped;   /* not connected, or the lane is full */
    uint64_t forwards;        /* requests that were passed on */
    uint64_t forwards_again;  /* of those: asked for once more */
    uint64_t served;          /* for other nodes */
};

#endif
