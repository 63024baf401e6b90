"""A network of our own: one namespace for each node, and a relay between them that obeys.

Each namespace has one interface, a TUN device, whose other end is held by this process. What a node sends comes here
as a packet, and goes on, late, or not at all: so a link can be cut both ways or one way, be slow, lose or reorder, and no
module of the kernel is needed for it. A connection of TCP can be broken: both ends are told, in the name of the other.
Namespaces have no names: they are gone when their last process is, and nothing of the machine's own network is touched.

Needs root, and /dev/net/tun.
"""
import ctypes
import errno
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import threading
import time

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFFLAGS, IFF_UP = 0x8916, 0x891C, 0x8914, 0x1
SUBNET, FIRST = "10.77.0.", 10
PACKET_MAX, READS_AT_ONCE, WAITING_MAX = 2048, 64, 20000
TCP, FIN, SYN, RST, ACK = 6, 1, 2, 4, 16

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def address(node):
    return f"{SUBNET}{FIRST + node}"


def bring_up(name, ip, mask):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        def tell(what, value):
            fcntl.ioctl(probe, what, name.encode().ljust(16, b"\0") + value)
        if ip is not None:
            inet = struct.pack("HH", socket.AF_INET, 0)
            tell(SIOCSIFADDR, inet + socket.inet_aton(ip) + bytes(8))
            tell(SIOCSIFNETMASK, inet + socket.inet_aton(mask) + bytes(8))
        tell(SIOCSIFFLAGS, struct.pack("H", IFF_UP) + bytes(14))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp_packet(source, target, ports, seq, ack, flags):
    """Without data. Addresses of four bytes, ports of two each."""
    def segment(total):
        return ports + struct.pack("!IIBBHHH", seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 0, total, 0)

    def head(total):
        return struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, TCP, total) + source + target
    pseudo = source + target + struct.pack("!BBH", 0, TCP, 20)
    return head(checksum(head(0))) + segment(checksum(pseudo + segment(0)))


def resets(packet):
    """What tells both ends of a packet's connection that it is over: for the receiver, for the sender. The numbers are those that
    each end expects; if it has other ones by now, it asks, and that packet leads here again. (None, None): it is not TCP, or a
    reset itself."""
    begin = (packet[0] & 15) * 4
    if packet[9] != TCP or packet[begin + 13] & RST:
        return None, None
    source, target = packet[12:16], packet[16:20]
    one, other = packet[begin:begin + 2], packet[begin + 2:begin + 4]
    seq, ack, offset, flags = struct.unpack("!IIBB", packet[begin + 4:begin + 14])
    size = len(packet) - begin - (offset >> 4) * 4 + bool(flags & SYN) + bool(flags & FIN)
    return (tcp_packet(source, target, one + other, seq, 0, RST),
            tcp_packet(target, source, other + one, ack if flags & ACK else 0, seq + size, RST | ACK))


class Namespace:
    """Where one node lives. Threads have a namespace each, so entering it concerns the calling one alone."""

    def __init__(self, node):
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            checked(libc.unshare(CLONE_NEWNET))
            self.handle = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH14x", b"pando", IFF_TUN | IFF_NO_PI))
            bring_up("lo", None, None)
            bring_up("pando", address(node), "255.255.255.0")
        finally:
            checked(libc.setns(home, CLONE_NEWNET))
            self.home = home

    def __enter__(self):
        checked(libc.setns(self.handle, CLONE_NEWNET))

    def __exit__(self, *_):
        checked(libc.setns(self.home, CLONE_NEWNET))

    def close(self):
        for handle in (self.tun, self.handle, self.home):
            os.close(handle)


class Link:
    """What happens to packets from one node to another."""

    def __init__(self):
        self.is_cut = False
        self.delay_s = (0.0, 0.0)  # drawn for each packet, so that later ones overtake earlier ones
        self.loss = 0.0
        self.breaks = False  # connections of TCP


class Network:
    def __init__(self, count, seed):
        self.spaces = [Namespace(node) for node in range(count)]
        self.links = [[Link() for _ in range(count)] for _ in range(count)]
        self.random = random.Random(seed)
        self.counts = {"passed": 0, "cut": 0, "lost": 0, "delayed": 0, "broken": 0}
        self.waiting = []  # (when, number, to, packet)
        self.number = 0
        self.is_open = True
        self.thread = threading.Thread(target=self.relay, daemon=True)
        self.thread.start()

    def heal(self):
        for row in self.links:
            for link in row:
                link.is_cut, link.delay_s, link.loss, link.breaks = False, (0.0, 0.0), 0.0, False

    def close(self):
        self.is_open = False
        self.thread.join()
        for space in self.spaces:
            space.close()

    def send(self, to, packet):
        try:
            os.write(self.spaces[to].tun, packet)
        except OSError as error:  # full, as any cable may be
            if error.errno not in (errno.EAGAIN, errno.ENOBUFS, errno.EIO):
                raise

    def break_connection(self, node, to, packet):
        forth, back = resets(packet)
        if forth is None:
            return False
        self.send(to, forth)
        self.send(node, back)
        return True

    def take(self, node, packet):
        if packet[0] >> 4 != 4 or packet[16:19] != socket.inet_aton(SUBNET + "0")[:3]:
            return  # the kernel's own, such as IPv6 looking for routers
        to = packet[19] - FIRST
        if not 0 <= to < len(self.spaces):
            return
        link = self.links[node][to]
        if link.breaks and self.break_connection(node, to, packet):
            self.counts["broken"] += 1
        elif link.is_cut:
            self.counts["cut"] += 1
        elif link.loss and self.random.random() < link.loss:
            self.counts["lost"] += 1
        elif link.delay_s[1] > 0 and len(self.waiting) < WAITING_MAX:
            self.number += 1
            when = time.monotonic() + self.random.uniform(*link.delay_s)
            heapq.heappush(self.waiting, (when, self.number, to, packet))
            self.counts["delayed"] += 1
        else:
            self.counts["passed"] += 1
            self.send(to, packet)

    def relay(self):
        poll = select.epoll()
        nodes = {space.tun: node for node, space in enumerate(self.spaces)}
        for handle in nodes:
            poll.register(handle, select.EPOLLIN)
        while self.is_open:
            wait_s = 0.2
            if self.waiting:
                wait_s = min(max(self.waiting[0][0] - time.monotonic(), 0), wait_s)
            for handle, _ in poll.poll(wait_s):
                for _ in range(READS_AT_ONCE):
                    try:
                        packet = os.read(handle, PACKET_MAX)
                    except BlockingIOError:
                        break
                    self.take(nodes[handle], packet)
            now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= now:
                _, _, to, packet = heapq.heappop(self.waiting)
                self.send(to, packet)
        poll.close()
