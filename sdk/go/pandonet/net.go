//go:build wasip1

// Package pandonet is TCP, UDP, names and TLS, as the interfaces of package net.
//
// What may be reached is the process's right: pando run --net ..., network in the application file,
// [pando.Config.AllowNetwork]. A call that has to wait suspends this process, all of its goroutines
// included; so let each connection have a process of its own:
//
//	var worker = pando.Define(func(uint64) {
//		pando.Receive(pando.Forever) // the message that carries it
//		conn := pandonet.TakeTCP()
//		io.Copy(conn, conn)
//	})
//
//	listener, err := pandonet.Listen("tcp", "127.0.0.1:8000")
//	for {
//		conn, err := listener.AcceptConn()
//		pid, err := worker.Spawn(0)
//		conn.MoveTo(pid, 0, nil) // the peer notices nothing
//	}
//
// Errors are [net.OpError]s. A missing right is an [os.ErrPermission], a deadline that passed an
// [os.ErrDeadlineExceeded], a refused connection a syscall.ECONNREFUSED, by errors.Is.
package pandonet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"pando"
)

const timedOut = 9027

// Error is what Pando says, in words.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// The system's numbers, which are Linux's, and the errors of Go for them.
var numbers = map[string]error{
	"13": os.ErrPermission, "32": syscall.EPIPE, "98": syscall.EADDRINUSE, "99": syscall.EADDRNOTAVAIL,
	"103": syscall.ECONNABORTED, "104": syscall.ECONNRESET, "107": syscall.ENOTCONN,
	"110": os.ErrDeadlineExceeded, "111": syscall.ECONNREFUSED,
}

// Is finds the error of Go that it stands for.
func (e *Error) Is(target error) bool {
	if strings.HasPrefix(e.Text, "permission denied") {
		return target == os.ErrPermission
	}
	_, number, _ := strings.Cut(e.Text, "(os error ")
	meant, found := numbers[strings.TrimSuffix(number, ")")]
	return found && target == meant
}

// done is what a call answered: 0, a time that ran out, or an error id where the result would be.
func done(code uint32, out uint64) error {
	switch code {
	case 0:
		return nil
	case timedOut:
		return os.ErrDeadlineExceeded
	}
	return &Error{pando.TakeError(out).Error()}
}

func failure(op, network string, to net.Addr, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: network, Addr: to, Err: err}
}

// kept makes what it holds escape: the address of a part is handed on as a number, which a stack that
// moves would leave behind.
var kept any

// part is bytes, as the functions take several of them.
type part struct{ bytes, size uint32 }

func partOf(bytes []byte) part {
	return part{uint32(uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))), uint32(len(bytes))}
}

// --- Addresses -----------------------------------------------------------------------------------

// place is an address, as the functions take it.
type place struct {
	kind        uint32
	ip          [16]byte
	port        uint32
	flow, scope uint32
}

func placeOf(address netip.AddrPort) place {
	at := place{kind: 6, port: uint32(address.Port())}
	if ip := address.Addr().Unmap(); ip.Is4() {
		at.kind = 4
		four := ip.As4()
		copy(at.ip[:], four[:])
	} else {
		at.ip = ip.As16()
		scope, _ := strconv.ParseUint(ip.Zone(), 10, 32)
		at.scope = uint32(scope)
	}
	return at
}

// addresses are those of a list, which is dropped.
func addresses(list uint64) (all []netip.AddrPort) {
	defer importDropList(list)
	for {
		var at place
		var port uint16
		if importResolveNext(list, unsafe.Pointer(&at.kind), unsafe.Pointer(&at.ip), unsafe.Pointer(&port),
			unsafe.Pointer(&at.flow), unsafe.Pointer(&at.scope)) != 0 {
			return all
		}
		ip := netip.AddrFrom16(at.ip)
		if at.kind == 4 {
			ip = netip.AddrFrom4([4]byte(at.ip[:4]))
		} else if at.scope != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(at.scope), 10))
		}
		all = append(all, netip.AddrPortFrom(ip, port))
	}
}

// only is the one address of a list that a call answered; zero: it has none.
func only(code uint32, list uint64) netip.AddrPort {
	if err := done(code, list); err == nil {
		if all := addresses(list); len(all) > 0 {
			return all[0]
		}
	}
	return netip.AddrPort{}
}

// Resolve is the addresses of "host:port".
func Resolve(name string, timeout time.Duration) ([]netip.AddrPort, error) {
	var list uint64
	code := importResolve(name, pando.Milliseconds(timeout), unsafe.Pointer(&list))
	if err := done(code, list); err != nil {
		return nil, failure("resolve "+name, "", nil, err)
	}
	return addresses(list), nil
}

// literal is an address that needs no look-up; without a host, all of IPv4.
func literal(address string) (netip.AddrPort, error) {
	if strings.HasPrefix(address, ":") {
		address = "0.0.0.0" + address
	}
	return netip.ParseAddrPort(address)
}

func isTCP(network string) error {
	if network != "tcp" {
		return failure("open", network, nil, net.UnknownNetworkError(network))
	}
	return nil
}

// --- Streams -------------------------------------------------------------------------------------

// Conn is a TCP or a TLS connection; a [net.Conn].
type Conn struct {
	id            uint64
	isTLS         bool
	isClosed      bool
	local, remote net.Addr
	readBy        time.Time
	writeBy       time.Time
}

func newConn(id uint64, isTLS bool, local net.Addr, remote netip.AddrPort) *Conn {
	return &Conn{id: id, isTLS: isTLS, local: local, remote: net.TCPAddrFromAddrPort(remote)}
}

// Dial connects to "host:port", network "tcp", however long it takes.
func Dial(network, address string) (*Conn, error) {
	return DialTimeout(network, address, pando.Forever)
}

// DialTimeout resolves a name and connects to the first of its addresses that answers; the timeout
// is for each of these steps.
func DialTimeout(network, address string, timeout time.Duration) (*Conn, error) {
	if err := isTCP(network); err != nil {
		return nil, err
	}
	all, err := Resolve(address, timeout)
	if err != nil {
		return nil, err
	}
	err = &net.AddrError{Err: "the name has no addresses", Addr: address}
	for _, remote := range all {
		at := placeOf(remote)
		var id uint64
		code := importTCPConnect(at.kind, unsafe.Pointer(&at.ip), at.port, at.flow, at.scope,
			pando.Milliseconds(timeout), unsafe.Pointer(&id))
		if err = done(code, id); err == nil {
			return newConn(id, false, &net.TCPAddr{}, remote), nil
		}
	}
	return nil, failure("dial", network, nil, err)
}

// DialTLS connects to "host:port"; the certificate must bear the host's name. roots: certificates in
// PEM to trust, instead of those that the system trusts; none: those.
func DialTLS(address string, timeout time.Duration, roots ...string) (*Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, failure("dial", "tls", nil, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, failure("dial", "tls", nil, err)
	}
	parts := make([]part, 0, len(roots)+1)
	for _, root := range roots {
		bytes := []byte(root)
		kept = append([]any{bytes}, kept)
		parts = append(parts, partOf(bytes))
	}
	var id uint64
	code := importTLSConnect(host, uint32(number), pando.Milliseconds(timeout), unsafe.Pointer(&id),
		unsafe.Pointer(unsafe.SliceData(parts)), uint32(len(parts)))
	kept = nil
	if err := done(code, id); err != nil {
		return nil, failure("dial", "tls", nil, err)
	}
	return newConn(id, true, &net.TCPAddr{}, netip.AddrPort{}), nil
}

// TakeTCP takes the connection that came with the message received last, before another message is
// received or sent. Traps: none did, or it was taken.
func TakeTCP() *Conn {
	id := importTCPTake(0)
	var list uint64
	code := importTCPPeerAddr(id, unsafe.Pointer(&list))
	return newConn(id, false, &net.TCPAddr{}, only(code, list))
}

// TakeTLS takes a TLS connection likewise.
func TakeTLS() *Conn { return newConn(importTLSTake(0), true, &net.TCPAddr{}, netip.AddrPort{}) }

// MoveTo lets it leave this process with a message: who receives that goes on with it, and the peer
// notices nothing. If nobody takes it, it is closed.
func (c *Conn) MoveTo(pid pando.Pid, tag uint64, bytes []byte) {
	c.isClosed = true
	pid.SendWith(tag, bytes, func() {
		if c.isTLS {
			importTLSPush(c.id)
		} else {
			importTCPPush(c.id)
		}
	})
}

func (c *Conn) network() string {
	if c.isTLS {
		return "tls"
	}
	return "tcp"
}

// left is how long until a deadline; one that passed leaves nothing.
func left(by time.Time) uint64 {
	if by.IsZero() {
		return pando.Milliseconds(pando.Forever)
	}
	return pando.Milliseconds(time.Until(by))
}

func (c *Conn) receive(op string, to []byte, isPeek bool) (int, error) {
	if c.isClosed {
		return 0, failure(op, c.network(), c.remote, net.ErrClosed)
	}
	if len(to) == 0 {
		return 0, nil
	}
	var count uint64
	var code uint32
	ms, at, size, out := left(c.readBy), unsafe.Pointer(unsafe.SliceData(to)), uint32(len(to)), unsafe.Pointer(&count)
	switch {
	case c.isTLS:
		importTLSReadTimeout(c.id, ms)
		code = importTLSRead(c.id, at, size, out)
	case isPeek:
		importTCPPeekTimeout(c.id, ms)
		code = importTCPPeek(c.id, at, size, out)
	default:
		importTCPReadTimeout(c.id, ms)
		code = importTCPRead(c.id, at, size, out)
	}
	if err := done(code, count); err != nil {
		return 0, failure(op, c.network(), c.remote, err)
	}
	if count == 0 {
		return 0, io.EOF
	}
	return int(count), nil
}

// Read gives some bytes, or [io.EOF].
func (c *Conn) Read(to []byte) (int, error) { return c.receive("read", to, false) }

// Peek reads, and leaves the bytes there to be read again. TLS cannot: [syscall.ENOTSUP].
func (c *Conn) Peek(to []byte) (int, error) {
	if c.isTLS {
		return 0, failure("peek", c.network(), c.remote, syscall.ENOTSUP)
	}
	return c.receive("peek", to, true)
}

// Write writes all of the bytes.
func (c *Conn) Write(bytes []byte) (written int, err error) {
	if c.isClosed {
		return 0, failure("write", c.network(), c.remote, net.ErrClosed)
	}
	kept = bytes
	defer func() { kept = nil }()
	for written < len(bytes) {
		var count uint64
		var code uint32
		rest := partOf(bytes[written:])
		if c.isTLS {
			importTLSWriteTimeout(c.id, left(c.writeBy))
			code = importTLSWrite(c.id, unsafe.Pointer(&rest), 1, unsafe.Pointer(&count))
		} else {
			importTCPWriteTimeout(c.id, left(c.writeBy))
			code = importTCPWrite(c.id, unsafe.Pointer(&rest), 1, unsafe.Pointer(&count))
		}
		if err := done(code, count); err != nil {
			return written, failure("write", c.network(), c.remote, err)
		}
		written += int(count)
	}
	return written, nil
}

// Flush waits until the system has all that was written to a TLS connection; TCP keeps nothing back.
func (c *Conn) Flush() error {
	if c.isClosed || !c.isTLS {
		return nil
	}
	var out uint64
	code := importTLSFlush(c.id, unsafe.Pointer(&out))
	return failure("write", c.network(), c.remote, done(code, out))
}

// Close closes it, if this process has it still.
func (c *Conn) Close() error {
	switch {
	case c.isClosed:
		return failure("close", c.network(), c.remote, net.ErrClosed)
	case c.isTLS:
		importTLSDropStream(c.id)
	default:
		importTCPDropStream(c.id)
	}
	c.isClosed = true
	return nil
}

// LocalAddr is the listener's, of a connection that was accepted; else empty.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is who is on the other end; of [DialTLS] and [TakeTLS] it is empty.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is for reads and writes that begin from now on; zero: none.
func (c *Conn) SetDeadline(by time.Time) error {
	c.readBy, c.writeBy = by, by
	return nil
}

// SetReadDeadline is for reads and peeks.
func (c *Conn) SetReadDeadline(by time.Time) error {
	c.readBy = by
	return nil
}

// SetWriteDeadline is for writes.
func (c *Conn) SetWriteDeadline(by time.Time) error {
	c.writeBy = by
	return nil
}

// --- Listeners -----------------------------------------------------------------------------------

// Listener accepts TCP or TLS connections; a [net.Listener].
type Listener struct {
	id       uint64
	isTLS    bool
	isClosed bool
	at       net.Addr
}

// Listen listens at an address of numbers ("127.0.0.1:0"), network "tcp"; port 0 is any free one, which
// [Listener.Addr] tells.
func Listen(network, address string) (*Listener, error) {
	if err := isTCP(network); err != nil {
		return nil, err
	}
	where, err := literal(address)
	if err != nil {
		return nil, failure("listen", network, nil, err)
	}
	at := placeOf(where)
	var id, list uint64
	code := importTCPBind(at.kind, unsafe.Pointer(&at.ip), at.port, at.flow, at.scope, unsafe.Pointer(&id))
	if err := done(code, id); err != nil {
		return nil, failure("listen", network, net.TCPAddrFromAddrPort(where), err)
	}
	code = importTCPLocalAddr(id, unsafe.Pointer(&list))
	return &Listener{id: id, at: net.TCPAddrFromAddrPort(only(code, list))}, nil
}

// ListenTLS listens with a certificate and its key, both in PEM.
func ListenTLS(address, certificate, key string) (*Listener, error) {
	where, err := literal(address)
	if err != nil {
		return nil, failure("listen", "tls", nil, err)
	}
	at := placeOf(where)
	var id, list uint64
	code := importTLSBind(at.kind, unsafe.Pointer(&at.ip), at.port, at.flow, at.scope, unsafe.Pointer(&id),
		certificate, key)
	if err := done(code, id); err != nil {
		return nil, failure("listen", "tls", net.TCPAddrFromAddrPort(where), err)
	}
	code = importTLSLocalAddr(id, unsafe.Pointer(&list))
	return &Listener{id: id, isTLS: true, at: net.TCPAddrFromAddrPort(only(code, list))}, nil
}

// Accept gives the next connection, however long it takes.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// AcceptConn does too, as a [Conn]. The handshake of TLS is part of its first read or write.
func (l *Listener) AcceptConn() (*Conn, error) {
	if l.isClosed {
		return nil, failure("accept", l.at.Network(), l.at, net.ErrClosed)
	}
	var id, peer uint64
	var code uint32
	if l.isTLS {
		code = importTLSAccept(l.id, unsafe.Pointer(&id), unsafe.Pointer(&peer))
	} else {
		code = importTCPAccept(l.id, unsafe.Pointer(&id), unsafe.Pointer(&peer))
	}
	if err := done(code, id); err != nil {
		return nil, failure("accept", l.at.Network(), l.at, err)
	}
	return newConn(id, l.isTLS, l.at, only(0, peer)), nil
}

// Close stops listening.
func (l *Listener) Close() error {
	switch {
	case l.isClosed:
		return failure("close", l.at.Network(), l.at, net.ErrClosed)
	case l.isTLS:
		importTLSDropListener(l.id)
	default:
		importTCPDropListener(l.id)
	}
	l.isClosed = true
	return nil
}

// Addr is where it listens.
func (l *Listener) Addr() net.Addr { return l.at }
