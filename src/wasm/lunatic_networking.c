/* lunatic::networking: the table. */
#include "wasm/abi_tables.h"
#include "wasm/net_calls.h"

#define MODULE "lunatic::networking"

#define ROW(function, signature)                                                                   \
    {                                                                                              \
        MODULE, #function, signature, PD_CALL_DEFERRED, pd_net_##function                          \
    }

const struct pd_import pd_lunatic_networking_imports[] = {
    ROW(resolve, "iiIi->i"),
    ROW(resolve_next, "Iiiiii->i"),
    ROW(drop_dns_iterator, "I->"),
    ROW(tcp_bind, "iiiiii->i"),
    ROW(tcp_local_addr, "Ii->i"),
    ROW(tcp_peer_addr, "Ii->i"),
    ROW(tcp_accept, "Iii->i"),
    ROW(tcp_connect, "iiiiiIi->i"),
    ROW(tcp_write_vectored, "Iiii->i"),
    ROW(tcp_read, "Iiii->i"),
    ROW(tcp_peek, "Iiii->i"),
    ROW(tcp_flush, "Ii->i"),
    ROW(set_read_timeout, "II->"),
    ROW(get_read_timeout, "I->I"),
    ROW(set_write_timeout, "II->"),
    ROW(get_write_timeout, "I->I"),
    ROW(set_peek_timeout, "II->"),
    ROW(get_peek_timeout, "I->I"),
    ROW(clone_tcp_stream, "I->I"),
    ROW(drop_tcp_listener, "I->"),
    ROW(drop_tcp_stream, "I->"),
    ROW(tls_bind, "iiiiiiiiii->i"),
    ROW(tls_local_addr, "Ii->i"),
    ROW(tls_accept, "Iii->i"),
    ROW(tls_connect, "iiiIiii->i"),
    ROW(tls_write_vectored, "Iiii->i"),
    ROW(tls_read, "Iiii->i"),
    ROW(tls_flush, "Ii->i"),
    ROW(set_tls_read_timeout, "II->"),
    ROW(get_tls_read_timeout, "I->I"),
    ROW(set_tls_write_timeout, "II->"),
    ROW(get_tls_write_timeout, "I->I"),
    ROW(clone_tls_stream, "I->I"),
    ROW(drop_tls_listener, "I->"),
    ROW(drop_tls_stream, "I->"),
    ROW(udp_bind, "iiiiii->i"),
    ROW(udp_local_addr, "Ii->i"),
    ROW(udp_peer_addr, "Ii->i"),
    ROW(udp_receive, "Iiii->i"),
    ROW(udp_receive_from, "Iiiii->i"),
    ROW(udp_send, "Iiii->i"),
    ROW(udp_send_to, "Iiiiiiiii->i"),
    ROW(udp_connect, "IiiiiiIi->i"),
    ROW(clone_udp_socket, "I->I"),
    ROW(drop_udp_socket, "I->"),
    ROW(set_udp_socket_broadcast, "Ii->"),
    ROW(get_udp_socket_broadcast, "I->i"),
    ROW(set_udp_socket_ttl, "Ii->"),
    ROW(get_udp_socket_ttl, "I->i"),
};
const size_t pd_lunatic_networking_import_count =
    sizeof pd_lunatic_networking_imports / sizeof pd_lunatic_networking_imports[0];

const struct pd_import pd_pando_network_imports[] = {
    {"pando::network", "config_allow", "Iiii->i", PD_CALL_DEFERRED, pd_net_config_allow},
};
const size_t pd_pando_network_import_count =
    sizeof pd_pando_network_imports / sizeof pd_pando_network_imports[0];
