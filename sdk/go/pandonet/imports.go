//go:build wasip1

package pandonet

import "unsafe"

//go:wasmimport lunatic::networking resolve
func importResolve(name string, ms uint64, list unsafe.Pointer) uint32

//go:wasmimport lunatic::networking resolve_next
func importResolveNext(list uint64, kind, ip, port, flow, scope unsafe.Pointer) uint32

//go:wasmimport lunatic::networking drop_dns_iterator
func importDropList(list uint64)

//go:wasmimport lunatic::networking tcp_bind
func importTCPBind(kind uint32, ip unsafe.Pointer, port, flow, scope uint32, id unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_local_addr
func importTCPLocalAddr(listener uint64, list unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_peer_addr
func importTCPPeerAddr(stream uint64, list unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_accept
func importTCPAccept(listener uint64, id, peer unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_connect
func importTCPConnect(kind uint32, ip unsafe.Pointer, port, flow, scope uint32, ms uint64, id unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_write_vectored
func importTCPWrite(stream uint64, parts unsafe.Pointer, count uint32, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_read
func importTCPRead(stream uint64, to unsafe.Pointer, size uint32, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tcp_peek
func importTCPPeek(stream uint64, to unsafe.Pointer, size uint32, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking set_read_timeout
func importTCPReadTimeout(stream, ms uint64)

//go:wasmimport lunatic::networking set_write_timeout
func importTCPWriteTimeout(stream, ms uint64)

//go:wasmimport lunatic::networking set_peek_timeout
func importTCPPeekTimeout(stream, ms uint64)

//go:wasmimport lunatic::networking drop_tcp_listener
func importTCPDropListener(listener uint64)

//go:wasmimport lunatic::networking drop_tcp_stream
func importTCPDropStream(stream uint64)

//go:wasmimport lunatic::message push_tcp_stream
func importTCPPush(stream uint64) uint64

//go:wasmimport lunatic::message take_tcp_stream
func importTCPTake(index uint64) uint64

//go:wasmimport lunatic::networking tls_bind
func importTLSBind(kind uint32, ip unsafe.Pointer, port, flow, scope uint32, id unsafe.Pointer, certificate, key string) uint32

//go:wasmimport lunatic::networking tls_local_addr
func importTLSLocalAddr(listener uint64, list unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tls_accept
func importTLSAccept(listener uint64, id, peer unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tls_connect
func importTLSConnect(host string, port uint32, ms uint64, id, roots unsafe.Pointer, count uint32) uint32

//go:wasmimport lunatic::networking tls_write_vectored
func importTLSWrite(stream uint64, parts unsafe.Pointer, count uint32, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tls_read
func importTLSRead(stream uint64, to unsafe.Pointer, size uint32, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking tls_flush
func importTLSFlush(stream uint64, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking set_tls_read_timeout
func importTLSReadTimeout(stream, ms uint64)

//go:wasmimport lunatic::networking set_tls_write_timeout
func importTLSWriteTimeout(stream, ms uint64)

//go:wasmimport lunatic::networking drop_tls_listener
func importTLSDropListener(listener uint64)

//go:wasmimport lunatic::networking drop_tls_stream
func importTLSDropStream(stream uint64)

//go:wasmimport lunatic::message push_tls_stream
func importTLSPush(stream uint64) uint64

//go:wasmimport lunatic::message take_tls_stream
func importTLSTake(index uint64) uint64

//go:wasmimport lunatic::networking udp_bind
func importUDPBind(kind uint32, ip unsafe.Pointer, port, flow, scope uint32, id unsafe.Pointer) uint32

//go:wasmimport lunatic::networking udp_local_addr
func importUDPLocalAddr(socket uint64, list unsafe.Pointer) uint32

//go:wasmimport lunatic::networking udp_receive_from
func importUDPReceive(socket uint64, to unsafe.Pointer, size uint32, out, from unsafe.Pointer) uint32

//go:wasmimport lunatic::networking udp_send_to
func importUDPSend(socket uint64, bytes unsafe.Pointer, size, kind uint32, ip unsafe.Pointer, port, flow, scope uint32, out unsafe.Pointer) uint32

//go:wasmimport lunatic::networking drop_udp_socket
func importUDPDrop(socket uint64)

//go:wasmimport lunatic::message push_udp_socket
func importUDPPush(socket uint64) uint64

//go:wasmimport lunatic::message take_udp_socket
func importUDPTake(index uint64) uint64
