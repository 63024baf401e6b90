//go:build wasip1

package pando

import (
	"encoding/binary"
	"time"
	"unsafe"
)

//go:wasmimport lunatic::message create_data
func importCreateData(tag, capacity uint64)

//go:wasmimport lunatic::message write_data
func importWriteData(bytes unsafe.Pointer, size uint32) uint32

//go:wasmimport lunatic::message read_data
func importReadData(to unsafe.Pointer, size uint32) uint32

//go:wasmimport lunatic::message get_tag
func importTag() uint64

//go:wasmimport lunatic::message data_size
func importDataSize() uint64

//go:wasmimport lunatic::message send
func importSend(pid uint64) uint32

//go:wasmimport lunatic::message receive
func importReceive(tags unsafe.Pointer, count uint32, ms uint64) uint32

//go:wasmimport pando::message ref
func importRef() uint64

//go:wasmimport pando::message pid
func importPid() uint64

//go:wasmimport pando::message reason
func importReason() uint32

//go:wasmimport pando::message reason_text
func importReasonText(to unsafe.Pointer, room uint32) uint32

//go:wasmimport pando::process send
func importTrySend(pid uint64) uint32

//go:wasmimport pando::process call
func importCall(pid, ms uint64) uint32

//go:wasmimport pando::process reply
func importReply(pid, ref uint64) uint32

//go:wasmimport pando::process last_reason
func importLastReason() uint32

//go:wasmimport lunatic::timer send_after
func importSendAfter(pid, ms uint64) uint64

//go:wasmimport lunatic::timer cancel_timer
func importCancelTimer(timer uint64) uint32

// Message is what arrived: bytes under a tag (0 is "no tag"), or the notice of a death.
type Message struct {
	Tag    uint64
	Bytes  []byte
	Caller Caller // who waits for an answer: it was sent by [Pid.Call]; else zero
	Death  *Death // nil: a message of a process
}

// Caller is who called and waits. It may be kept, and answered later.
type Caller struct {
	Pid Pid
	ref uint64
}

// Notice is by what one is told of a death.
type Notice uint32

// Notices.
const (
	ByLink    Notice = 1 // [Message.Tag] is the link's, and this process traps exits
	ByLunatic Notice = 2 // a monitor of lunatic::process
	ByMonitor Notice = 3
)

// Death is whose end was told.
type Death struct {
	Pid     Pid
	By      Notice
	Monitor Monitor // of ByMonitor
	Reason  Reason
	Text    string // what it said when it ended: of a trap its text
}

func pointer(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

// create makes a message the one at hand.
func create(tag uint64, bytes []byte) {
	importCreateData(tag, uint64(len(bytes)))
	importWriteData(pointer(bytes), uint32(len(bytes)))
}

// atHand reads the message at hand, which is the last one received.
func atHand() Message {
	bytes := make([]byte, importDataSize())
	bytes = bytes[:importReadData(pointer(bytes), uint32(len(bytes)))]
	message := Message{Tag: importTag(), Bytes: bytes}
	if ref := importRef(); ref != 0 {
		message.Caller = Caller{Pid(importPid()), ref}
	}
	return message
}

func death(by Notice) Message {
	text := make([]byte, 4096)
	size := importReasonText(pointer(text), uint32(len(text)))
	death := &Death{Pid: Pid(importPid()), By: by, Reason: Reason(importReason()),
		Text: string(text[:min(int(size), len(text))])}
	message := Message{Death: death}
	switch by {
	case ByLink:
		message.Tag = importTag()
	case ByMonitor:
		death.Monitor = Monitor(importRef())
	}
	return message
}

// Receive takes the first message that has one of these tags, waiting for one up to timeout, and
// leaves the others in their order. No tags: the first one of all. Messages with tag 0 and notices
// of monitors have none of the tags. [ErrLate]: none came.
func Receive(timeout time.Duration, tags ...uint64) (Message, error) {
	const data = 0
	kind := importReceive(unsafe.Pointer(unsafe.SliceData(tags)), uint32(len(tags)), Milliseconds(timeout))
	switch {
	case kind == data:
		return atHand(), nil
	case kind <= uint32(ByMonitor):
		return death(Notice(kind)), nil
	}
	return Message{}, ErrLate
}

// Reply answers a call. Of a message that is none: [ErrGone].
func (m Message) Reply(bytes []byte) error { return m.Caller.Reply(bytes) }

// Reply answers; never waits. One that no longer waits drops the answer.
func (c Caller) Reply(bytes []byte) error {
	if c.ref == 0 {
		return ErrGone
	}
	create(0, bytes)
	return sent(importReply(uint64(c.Pid), c.ref))
}

// Numbers are the bytes as numbers of eight bytes each, little-endian; what is left over is left
// out.
func (m Message) Numbers() []uint64 {
	numbers := make([]uint64, len(m.Bytes)/8)
	for i := range numbers {
		numbers[i] = binary.LittleEndian.Uint64(m.Bytes[8*i:])
	}
	return numbers
}

// Numbers makes such bytes.
func Numbers(numbers ...uint64) []byte {
	bytes := make([]byte, 0, 8*len(numbers))
	for _, number := range numbers {
		bytes = binary.LittleEndian.AppendUint64(bytes, number)
	}
	return bytes
}

func sent(code uint32) error {
	switch code {
	case 0:
		return nil
	case 1:
		return ErrFull
	}
	return ErrGone
}

// Send sends a message. It waits while the mailbox is full; a process that is gone drops it.
func (p Pid) Send(tag uint64, bytes []byte) {
	create(tag, bytes)
	importSend(uint64(p))
}

// SendWith sends a message that load puts something into, such as a socket. It is what package
// pandonet moves streams with.
func (p Pid) SendWith(tag uint64, bytes []byte, load func()) {
	create(tag, bytes)
	load()
	importSend(uint64(p))
}

// TrySend sends a message without waiting: [ErrFull], [ErrGone].
func (p Pid) TrySend(tag uint64, bytes []byte) error {
	create(tag, bytes)
	return sent(importTrySend(uint64(p)))
}

// Call sends a message and waits for its answer ([Message.Reply]), which nothing else in the mailbox
// can be taken for. [ErrFull]: nothing was sent. [GoneError]: it was dead, or died before it
// answered. [ErrLate]: no answer in time; one that comes later is dropped.
func (p Pid) Call(tag uint64, bytes []byte, timeout time.Duration) (Message, error) {
	create(tag, bytes)
	switch importCall(uint64(p), Milliseconds(timeout)) {
	case 0:
		return atHand(), nil
	case 1:
		return Message{}, ErrFull
	case 2:
		return Message{}, &GoneError{Reason(importLastReason())}
	}
	return Message{}, ErrLate
}

// Timer is a message that is sent later.
type Timer uint64

// SendAfter sends a message in a while, even if this process has ended by then.
func (p Pid) SendAfter(tag uint64, bytes []byte, after time.Duration) Timer {
	create(tag, bytes)
	return Timer(importSendAfter(uint64(p), Milliseconds(after)))
}

// Cancel is true: it will not be sent. False: it was.
func (t Timer) Cancel() bool { return importCancelTimer(uint64(t)) != 0 }
