//go:build wasip1

package pandonet

import (
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"pando"
)

// Socket sends and receives datagrams; a [net.PacketConn] without deadlines.
type Socket struct {
	id       uint64
	isClosed bool
}

// ListenPacket binds a socket to an address of numbers; port 0 is any free one, which
// [Socket.LocalAddr] tells. network: "udp".
func ListenPacket(network, address string) (*Socket, error) {
	if network != "udp" {
		return nil, failure("listen", network, nil, net.UnknownNetworkError(network))
	}
	where, err := literal(address)
	if err != nil {
		return nil, failure("listen", network, nil, err)
	}
	at := placeOf(where)
	var id uint64
	code := importUDPBind(at.kind, unsafe.Pointer(&at.ip), at.port, at.flow, at.scope, unsafe.Pointer(&id))
	if err := done(code, id); err != nil {
		return nil, failure("listen", network, net.UDPAddrFromAddrPort(where), err)
	}
	return &Socket{id: id}, nil
}

// ReadFrom gives the next datagram, cut to the room there is, and who sent it.
func (s *Socket) ReadFrom(to []byte) (int, net.Addr, error) {
	if s.isClosed {
		return 0, nil, failure("read", "udp", nil, net.ErrClosed)
	}
	var count, from uint64
	code := importUDPReceive(s.id, unsafe.Pointer(unsafe.SliceData(to)), uint32(len(to)), unsafe.Pointer(&count),
		unsafe.Pointer(&from))
	if err := done(code, count); err != nil {
		return 0, nil, failure("read", "udp", nil, err)
	}
	return int(count), net.UDPAddrFromAddrPort(only(0, from)), nil
}

// WriteTo sends one datagram. to is a [net.UDPAddr], or another address whose text is one of numbers.
func (s *Socket) WriteTo(bytes []byte, to net.Addr) (int, error) {
	if s.isClosed {
		return 0, failure("write", "udp", to, net.ErrClosed)
	}
	where, err := netip.ParseAddrPort(to.String())
	if err != nil {
		return 0, failure("write", "udp", to, err)
	}
	at := placeOf(where)
	var count uint64
	code := importUDPSend(s.id, unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes)), at.kind,
		unsafe.Pointer(&at.ip), at.port, at.flow, at.scope, unsafe.Pointer(&count))
	if err := done(code, count); err != nil {
		return 0, failure("write", "udp", to, err)
	}
	return int(count), nil
}

// Close closes it, if this process has it still.
func (s *Socket) Close() error {
	if s.isClosed {
		return failure("close", "udp", nil, net.ErrClosed)
	}
	importUDPDrop(s.id)
	s.isClosed = true
	return nil
}

// LocalAddr is where it is; empty when it is closed.
func (s *Socket) LocalAddr() net.Addr {
	if s.isClosed {
		return &net.UDPAddr{}
	}
	var list uint64
	code := importUDPLocalAddr(s.id, unsafe.Pointer(&list))
	return net.UDPAddrFromAddrPort(only(code, list))
}

// SetDeadline cannot: [os.ErrNoDeadline].
func (s *Socket) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline cannot either.
func (s *Socket) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline neither.
func (s *Socket) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }

// MoveTo lets it leave this process with a message, as [Conn.MoveTo] does.
func (s *Socket) MoveTo(pid pando.Pid, tag uint64, bytes []byte) {
	s.isClosed = true
	pid.SendWith(tag, bytes, func() { importUDPPush(s.id) })
}

// TakeUDP takes the one that came with the message received last, as [TakeTCP] does.
func TakeUDP() *Socket { return &Socket{id: importUDPTake(0)} }
