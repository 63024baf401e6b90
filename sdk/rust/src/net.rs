//! TCP, UDP, names and TLS.
//!
//! A call that has to wait suspends this process alone, which can be killed meanwhile; what it held
//! is closed then. What may be reached is the process's right: `pando run --net ...`, `network` in
//! the application file, [`Config::allow_network`](crate::config::Config::allow_network).
//!
//! ```no_run
//! use std::io::{Read, Write};
//! use pando::net::{TcpListener, TcpStream};
//!
//! fn serve(_argument: u64) {
//!     pando::receive(pando::FOREVER); // the message that carries the stream
//!     let mut stream = TcpStream::take();
//!     let mut bytes = [0; 1024];
//!     while let Ok(size @ 1..) = stream.read(&mut bytes) {
//!         stream.write_all(&bytes[..size]).unwrap();
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:8000".parse().unwrap()).unwrap();
//! loop {
//!     let (stream, _peer) = listener.accept().unwrap();
//!     let worker = pando::process::spawn(serve, 0).unwrap();
//!     stream.move_to(worker, 0, b""); // the peer notices nothing
//! }
//! ```
//!
//! **Errors** are `std::io::Error`, with Pando's words: a missing right is
//! [`PermissionDenied`](io::ErrorKind::PermissionDenied), a time that ran out
//! [`TimedOut`](io::ErrorKind::TimedOut).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use crate::message::create;
use crate::{abi, milliseconds, Error, Pid};

const OK: u32 = 0;
const TIMED_OUT: u32 = 9027;
/// One call takes no more parts than these.
const PARTS_MAX: usize = 64;

/// The system's number at the end of a text, "... (os error 111)". It is Linux's, not WASI's.
fn kind_of(text: &str) -> ErrorKind {
    if text.starts_with("permission denied") {
        return ErrorKind::PermissionDenied;
    }
    let number = text.rsplit("(os error ").next().and_then(|end| end.strip_suffix(')'));
    match number.and_then(|number| number.parse().ok()) {
        Some(13) => ErrorKind::PermissionDenied,
        Some(32) => ErrorKind::BrokenPipe,
        Some(98) => ErrorKind::AddrInUse,
        Some(99) => ErrorKind::AddrNotAvailable,
        Some(103) => ErrorKind::ConnectionAborted,
        Some(104) => ErrorKind::ConnectionReset,
        Some(107) => ErrorKind::NotConnected,
        Some(110) => ErrorKind::TimedOut,
        Some(111) => ErrorKind::ConnectionRefused,
        _ => ErrorKind::Other,
    }
}

/// What a call answered: 0, a time that ran out, or an error id where the result would have gone.
fn done(code: u32, out: u64) -> io::Result<u64> {
    match code {
        OK => Ok(out),
        TIMED_OUT => Err(io::Error::new(ErrorKind::TimedOut, "the time ran out")),
        _ => {
            let text = Error::take(out).into_text();
            Err(io::Error::new(kind_of(&text), text))
        }
    }
}

/// An address, as the functions take it.
struct Place {
    kind: u32,
    ip: [u8; 16],
    port: u32,
    flow: u32,
    scope: u32,
}

impl Place {
    fn of(address: SocketAddr) -> Place {
        let mut place =
            Place { kind: 4, ip: [0; 16], port: address.port().into(), flow: 0, scope: 0 };
        match address {
            SocketAddr::V4(v4) => place.ip[..4].copy_from_slice(&v4.ip().octets()),
            SocketAddr::V6(v6) => {
                place.kind = 6;
                place.ip = v6.ip().octets();
                place.flow = v6.flowinfo();
                place.scope = v6.scope_id();
            }
        }
        place
    }
}

/// The next address of a list.
fn next_address(list: u64) -> Option<SocketAddr> {
    let mut found = abi::net::Address::default();
    // SAFETY: all of it is written, into what it has room for.
    let code = unsafe {
        abi::net::resolve_next(
            list,
            &mut found.kind,
            found.ip.as_mut_ptr(),
            &mut found.port,
            &mut found.flow,
            &mut found.scope,
        )
    };
    if code != OK {
        return None;
    }
    let address = if found.kind == 4 {
        let mut ip = [0; 4];
        ip.copy_from_slice(&found.ip[..4]);
        SocketAddr::new(IpAddr::from(ip), found.port)
    } else {
        SocketAddrV6::new(found.ip.into(), found.port, found.flow, found.scope).into()
    };
    Some(address)
}

/// All addresses of a list, which is dropped.
fn addresses(list: u64) -> Vec<SocketAddr> {
    let all = std::iter::from_fn(|| next_address(list)).collect();
    // SAFETY: takes a number alone.
    unsafe { abi::net::drop_dns_iterator(list) };
    all
}

/// The one address of a list that a call answered.
fn only(code: u32, list: u64) -> io::Result<SocketAddr> {
    let all = addresses(done(code, list)?);
    all.first().copied().ok_or_else(|| ErrorKind::NotConnected.into())
}

/// The addresses of `"host:port"`.
pub fn resolve(name: &str, timeout: Duration) -> io::Result<Vec<SocketAddr>> {
    let mut list = 0;
    // SAFETY: the name is read during the call, `list` is written.
    let code = unsafe {
        abi::net::resolve(name.as_ptr(), name.len() as u32, milliseconds(timeout), &mut list)
    };
    Ok(addresses(done(code, list)?))
}

/// What bytes are, for a call that takes several parts of them.
fn parts_of(slices: &[IoSlice<'_>]) -> Vec<abi::net::Part> {
    slices
        .iter()
        .take(PARTS_MAX)
        .map(|slice| abi::net::Part { bytes: slice.as_ptr(), size: slice.len() as u32 })
        .collect()
}

/// What streams and UDP sockets have in common: clones share it, it closes with the last, and it
/// travels.
macro_rules! shared {
    ($name:ident, $clone:ident, $drop:ident, $push:ident, $take:ident) => {
        impl $name {
            /// A further handle of the same one, which closes with the last.
            pub fn try_clone(&self) -> io::Result<$name> {
                // SAFETY: takes a number alone.
                Ok($name(unsafe { abi::net::$clone(self.0) }))
            }

            /// Lets it leave this process with a message: who receives that goes on with it, and
            /// the peer notices nothing. If nobody takes it, it is closed.
            pub fn move_to(self, pid: Pid, tag: u64, bytes: &[u8]) {
                create(tag, bytes);
                // SAFETY: take numbers alone; the id is the message's now.
                unsafe {
                    abi::message::$push(self.0);
                    std::mem::forget(self);
                    abi::message::send(pid.0);
                }
            }

            /// Takes the one that came with the message received last, before another message is
            /// received or sent. Traps: none did, or it was taken.
            pub fn take() -> $name {
                // SAFETY: takes a number alone.
                $name(unsafe { abi::message::$take(0) })
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: takes a number alone.
                unsafe { abi::net::$drop(self.0) };
            }
        }
    };
}

/// What TCP and TLS streams have in common beside that: what they read and write.
macro_rules! stream {
    ($name:ident, $read:ident, $write:ident, $flush:ident) => {
        impl Read for &$name {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let mut count = 0;
                // SAFETY: no more is written than there is room.
                let code = unsafe {
                    abi::net::$read(self.0, to.as_mut_ptr(), to.len() as u32, &mut count)
                };
                Ok(done(code, count)? as usize)
            }
        }

        impl Write for &$name {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.write_vectored(&[IoSlice::new(bytes)])
            }

            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                let parts = parts_of(slices);
                let mut count = 0;
                // SAFETY: the parts are read during the call.
                let code = unsafe {
                    abi::net::$write(self.0, parts.as_ptr(), parts.len() as u32, &mut count)
                };
                Ok(done(code, count)? as usize)
            }

            fn flush(&mut self) -> io::Result<()> {
                let mut out = 0;
                // SAFETY: takes a number, and writes one.
                let code = unsafe { abi::net::$flush(self.0, &mut out) };
                done(code, out).map(|_| ())
            }
        }

        impl Read for $name {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                (&*self).read(to)
            }
        }

        impl Write for $name {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                (&*self).write(bytes)
            }

            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(slices)
            }

            fn flush(&mut self) -> io::Result<()> {
                (&*self).flush()
            }
        }
    };
}

/// What listeners have in common, and UDP sockets: an address of their own.
macro_rules! local_addr {
    ($name:ident, $local_addr:ident) => {
        impl $name {
            /// Where it is.
            pub fn local_addr(&self) -> io::Result<SocketAddr> {
                let mut list = 0;
                // SAFETY: takes a number, and writes one.
                let code = unsafe { abi::net::$local_addr(self.0, &mut list) };
                only(code, list)
            }
        }
    };
}

/// What listeners have in common beside that.
macro_rules! listener {
    ($name:ident, $stream:ident, $accept:ident, $drop:ident) => {
        impl $name {
            /// The next connection, however long it takes. A handshake is part of its first read or
            /// write.
            pub fn accept(&self) -> io::Result<($stream, SocketAddr)> {
                let (mut id, mut peer) = (0, 0);
                // SAFETY: takes a number, and writes two.
                let code = unsafe { abi::net::$accept(self.0, &mut id, &mut peer) };
                let stream = $stream(done(code, id)?);
                Ok((stream, only(OK, peer)?))
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                // SAFETY: takes a number alone.
                unsafe { abi::net::$drop(self.0) };
            }
        }
    };
}

// --- TCP -----------------------------------------------------------------------------------------

/// A TCP connection; reads and writes by [`Read`] and [`Write`].
#[derive(Debug)]
pub struct TcpStream(u64);

shared!(TcpStream, clone_tcp_stream, drop_tcp_stream, push_tcp_stream, take_tcp_stream);
stream!(TcpStream, tcp_read, tcp_write_vectored, tcp_flush);

impl TcpStream {
    /// Connects to an address.
    pub fn connect(to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let place = Place::of(to);
        let mut id = 0;
        // SAFETY: the address is read during the call, `id` is written.
        let code = unsafe {
            abi::net::tcp_connect(
                place.kind,
                place.ip.as_ptr(),
                place.port,
                place.flow,
                place.scope,
                milliseconds(timeout),
                &mut id,
            )
        };
        Ok(TcpStream(done(code, id)?))
    }

    /// Resolves `"host:port"` and connects to the first of its addresses that answers; `timeout` is
    /// for each of these steps.
    pub fn connect_to_name(name: &str, timeout: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::new(ErrorKind::NotFound, "the name has no addresses");
        for address in resolve(name, timeout)? {
            match TcpStream::connect(address, timeout) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Reads, and leaves the bytes there to be read again.
    pub fn peek(&self, to: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        // SAFETY: no more is written than there is room.
        let code =
            unsafe { abi::net::tcp_peek(self.0, to.as_mut_ptr(), to.len() as u32, &mut count) };
        Ok(done(code, count)? as usize)
    }

    /// How long a read or a peek waits from now on, also of clones; at first [`crate::FOREVER`].
    pub fn set_read_timeout(&self, timeout: Duration) {
        // SAFETY: take numbers alone.
        unsafe {
            abi::net::set_read_timeout(self.0, milliseconds(timeout));
            abi::net::set_peek_timeout(self.0, milliseconds(timeout));
        }
    }

    /// How long a write waits from now on.
    pub fn set_write_timeout(&self, timeout: Duration) {
        // SAFETY: takes numbers alone.
        unsafe { abi::net::set_write_timeout(self.0, milliseconds(timeout)) };
    }

    /// Who is on the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        let mut list = 0;
        // SAFETY: takes a number, and writes one.
        let code = unsafe { abi::net::tcp_peer_addr(self.0, &mut list) };
        only(code, list)
    }
}

/// Accepts TCP connections.
#[derive(Debug)]
pub struct TcpListener(u64);

local_addr!(TcpListener, tcp_local_addr);
listener!(TcpListener, TcpStream, tcp_accept, drop_tcp_listener);

impl TcpListener {
    /// Listens; port 0 is any free one, which [`TcpListener::local_addr`] tells.
    pub fn bind(at: SocketAddr) -> io::Result<TcpListener> {
        let place = Place::of(at);
        let mut id = 0;
        // SAFETY: the address is read during the call, `id` is written.
        let code = unsafe {
            abi::net::tcp_bind(
                place.kind,
                place.ip.as_ptr(),
                place.port,
                place.flow,
                place.scope,
                &mut id,
            )
        };
        Ok(TcpListener(done(code, id)?))
    }
}

// --- UDP -----------------------------------------------------------------------------------------

/// Sends and receives datagrams.
#[derive(Debug)]
pub struct UdpSocket(u64);

local_addr!(UdpSocket, udp_local_addr);
shared!(UdpSocket, clone_udp_socket, drop_udp_socket, push_udp_socket, take_udp_socket);

impl UdpSocket {
    /// Port 0 is any free one, which [`UdpSocket::local_addr`] tells.
    pub fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
        let place = Place::of(at);
        let mut id = 0;
        // SAFETY: the address is read during the call, `id` is written.
        let code = unsafe {
            abi::net::udp_bind(
                place.kind,
                place.ip.as_ptr(),
                place.port,
                place.flow,
                place.scope,
                &mut id,
            )
        };
        Ok(UdpSocket(done(code, id)?))
    }

    /// The next datagram, cut to the room there is, and who sent it.
    pub fn recv_from(&self, to: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (mut count, mut from) = (0, 0);
        // SAFETY: no more is written than there is room.
        let code = unsafe {
            abi::net::udp_receive_from(
                self.0,
                to.as_mut_ptr(),
                to.len() as u32,
                &mut count,
                &mut from,
            )
        };
        let count = done(code, count)? as usize;
        Ok((count, only(OK, from)?))
    }

    /// Sends one datagram.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        let place = Place::of(to);
        let mut count = 0;
        // SAFETY: bytes and address are read during the call, `count` is written.
        let code = unsafe {
            abi::net::udp_send_to(
                self.0,
                bytes.as_ptr(),
                bytes.len() as u32,
                place.kind,
                place.ip.as_ptr(),
                place.port,
                place.flow,
                place.scope,
                &mut count,
            )
        };
        Ok(done(code, count)? as usize)
    }

    /// Whether it may send to broadcast addresses.
    pub fn set_broadcast(&self, may: bool) {
        // SAFETY: takes numbers alone.
        unsafe { abi::net::set_udp_socket_broadcast(self.0, may.into()) };
    }
}

// --- TLS -----------------------------------------------------------------------------------------

/// A TLS connection; reads and writes by [`Read`] and [`Write`]. What was written is sent when there
/// is time: [`Write::flush`] waits until all of it is the system's.
#[derive(Debug)]
pub struct TlsStream(u64);

shared!(TlsStream, clone_tls_stream, drop_tls_stream, push_tls_stream, take_tls_stream);
stream!(TlsStream, tls_read, tls_write_vectored, tls_flush);

impl TlsStream {
    /// Connects to a host by name, which its certificate must bear. `roots`: certificates in PEM to
    /// trust, instead of those that the system trusts; none: those.
    pub fn connect(
        host: &str,
        port: u16,
        roots: &[&str],
        timeout: Duration,
    ) -> io::Result<TlsStream> {
        let parts: Vec<_> = roots
            .iter()
            .map(|root| abi::net::Part { bytes: root.as_ptr(), size: root.len() as u32 })
            .collect();
        let mut id = 0;
        // SAFETY: name and roots are read during the call, `id` is written.
        let code = unsafe {
            abi::net::tls_connect(
                host.as_ptr(),
                host.len() as u32,
                port.into(),
                milliseconds(timeout),
                &mut id,
                parts.as_ptr(),
                parts.len() as u32,
            )
        };
        Ok(TlsStream(done(code, id)?))
    }

    /// How long a read waits from now on, also of clones; at first [`crate::FOREVER`].
    pub fn set_read_timeout(&self, timeout: Duration) {
        // SAFETY: takes numbers alone.
        unsafe { abi::net::set_tls_read_timeout(self.0, milliseconds(timeout)) };
    }

    /// How long a write waits from now on; a flush waits for ever.
    pub fn set_write_timeout(&self, timeout: Duration) {
        // SAFETY: takes numbers alone.
        unsafe { abi::net::set_tls_write_timeout(self.0, milliseconds(timeout)) };
    }
}

/// Accepts TLS connections.
#[derive(Debug)]
pub struct TlsListener(u64);

local_addr!(TlsListener, tls_local_addr);
listener!(TlsListener, TlsStream, tls_accept, drop_tls_listener);

impl TlsListener {
    /// Listens with a certificate and its key, both in PEM.
    pub fn bind(at: SocketAddr, certificate: &str, key: &str) -> io::Result<TlsListener> {
        let place = Place::of(at);
        let mut id = 0;
        // SAFETY: all of it is read during the call, `id` is written.
        let code = unsafe {
            abi::net::tls_bind(
                place.kind,
                place.ip.as_ptr(),
                place.port,
                place.flow,
                place.scope,
                &mut id,
                certificate.as_ptr(),
                certificate.len() as u32,
                key.as_ptr(),
                key.len() as u32,
            )
        };
        Ok(TlsListener(done(code, id)?))
    }
}
