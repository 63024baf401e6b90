/* net_calls - the functions of lunatic::networking, by the files that have them; see the table in
 * lunatic_networking.c. docs/networking.md says what each answers. */
#ifndef PD_WASM_NET_CALLS_H
#define PD_WASM_NET_CALLS_H

#include "wasm/hostcall.h"

enum pd_call_result pd_net_resolve(struct pd_call *call);
enum pd_call_result pd_net_resolve_next(struct pd_call *call);
enum pd_call_result pd_net_drop_dns_iterator(struct pd_call *call);
enum pd_call_result pd_net_tcp_bind(struct pd_call *call);
enum pd_call_result pd_net_tcp_local_addr(struct pd_call *call);
enum pd_call_result pd_net_tcp_peer_addr(struct pd_call *call);
enum pd_call_result pd_net_tcp_accept(struct pd_call *call);
enum pd_call_result pd_net_tcp_connect(struct pd_call *call);
enum pd_call_result pd_net_tcp_write_vectored(struct pd_call *call);
enum pd_call_result pd_net_tcp_read(struct pd_call *call);
enum pd_call_result pd_net_tcp_peek(struct pd_call *call);
enum pd_call_result pd_net_tcp_flush(struct pd_call *call);
enum pd_call_result pd_net_set_read_timeout(struct pd_call *call);
enum pd_call_result pd_net_get_read_timeout(struct pd_call *call);
enum pd_call_result pd_net_set_write_timeout(struct pd_call *call);
enum pd_call_result pd_net_get_write_timeout(struct pd_call *call);
enum pd_call_result pd_net_set_peek_timeout(struct pd_call *call);
enum pd_call_result pd_net_get_peek_timeout(struct pd_call *call);
enum pd_call_result pd_net_clone_tcp_stream(struct pd_call *call);
enum pd_call_result pd_net_drop_tcp_listener(struct pd_call *call);
enum pd_call_result pd_net_drop_tcp_stream(struct pd_call *call);
enum pd_call_result pd_net_udp_bind(struct pd_call *call);
enum pd_call_result pd_net_udp_local_addr(struct pd_call *call);
enum pd_call_result pd_net_udp_peer_addr(struct pd_call *call);
enum pd_call_result pd_net_udp_receive(struct pd_call *call);
enum pd_call_result pd_net_udp_receive_from(struct pd_call *call);
enum pd_call_result pd_net_udp_send(struct pd_call *call);
enum pd_call_result pd_net_udp_send_to(struct pd_call *call);
enum pd_call_result pd_net_udp_connect(struct pd_call *call);
enum pd_call_result pd_net_clone_udp_socket(struct pd_call *call);
enum pd_call_result pd_net_drop_udp_socket(struct pd_call *call);
enum pd_call_result pd_net_set_udp_socket_broadcast(struct pd_call *call);
enum pd_call_result pd_net_get_udp_socket_broadcast(struct pd_call *call);
enum pd_call_result pd_net_set_udp_socket_ttl(struct pd_call *call);
enum pd_call_result pd_net_get_udp_socket_ttl(struct pd_call *call);
enum pd_call_result pd_net_tls_bind(struct pd_call *call);
enum pd_call_result pd_net_tls_local_addr(struct pd_call *call);
enum pd_call_result pd_net_tls_accept(struct pd_call *call);
enum pd_call_result pd_net_tls_connect(struct pd_call *call);
enum pd_call_result pd_net_tls_write_vectored(struct pd_call *call);
enum pd_call_result pd_net_tls_read(struct pd_call *call);
enum pd_call_result pd_net_tls_flush(struct pd_call *call);
enum pd_call_result pd_net_set_tls_read_timeout(struct pd_call *call);
enum pd_call_result pd_net_get_tls_read_timeout(struct pd_call *call);
enum pd_call_result pd_net_set_tls_write_timeout(struct pd_call *call);
enum pd_call_result pd_net_get_tls_write_timeout(struct pd_call *call);
enum pd_call_result pd_net_clone_tls_stream(struct pd_call *call);
enum pd_call_result pd_net_drop_tls_listener(struct pd_call *call);
enum pd_call_result pd_net_drop_tls_stream(struct pd_call *call);

/* pando::network::config_allow */
enum pd_call_result pd_net_config_allow(struct pd_call *call);

#endif
