//go:build wasip1

// Package kv is the store: keys with revisions, transactions, watches, leases. etcd's model.
//
// It is there inside a node (pando start --app) and beside one (pando run --node DIR), for the same
// binary; in other runs everything answers [Unavailable]. A process may touch nothing unless it was
// given a prefix: --allow-kv, kv in the application file, or [pando.Config.AllowKV].
//
// A call suspends this process alone, up to 10 s or [SetTimeout], and asks again by itself while
// that is safe. A write happens at most once.
//
//	record, err := kv.Get("app/greeting")
//	if errors.Is(err, kv.Absent) { ... }
package kv

import (
	"encoding/binary"
	"time"
	"unsafe"

	"pando"
)

//go:wasmimport pando::kv get
func importGet(key string, value unsafe.Pointer, room uint32, found unsafe.Pointer) uint32

//go:wasmimport pando::kv get_local
func importGetLocal(key string, value unsafe.Pointer, room uint32, found unsafe.Pointer) uint32

//go:wasmimport pando::kv put
func importPut(key string, value unsafe.Pointer, size uint32, lease int64, flags uint32, revision unsafe.Pointer) uint32

//go:wasmimport pando::kv delete
func importDelete(key, end string, flags uint32, deleted unsafe.Pointer) uint32

//go:wasmimport pando::kv range
func importRange(key, end string, limit, revision int64, flags uint32, ranged unsafe.Pointer) uint32

//go:wasmimport pando::kv answer_left
func importAnswerLeft() uint32

//go:wasmimport pando::kv answer_read
func importAnswerRead(to unsafe.Pointer, size uint32) uint32

//go:wasmimport pando::kv lease_grant
func importLeaseGrant(ttl, id int64, lease unsafe.Pointer) uint32

//go:wasmimport pando::kv lease_revoke
func importLeaseRevoke(id int64) uint32

//go:wasmimport pando::kv lease_keepalive
func importLeaseKeepalive(id int64, lease unsafe.Pointer) uint32

//go:wasmimport pando::kv set_timeout
func importSetTimeout(ms uint64)

//go:wasmimport pando::kv last_error
func importLastError() uint64

// Code is why the store did not do what it was asked for. It is an error too, for errors.Is.
type Code uint32

// Codes.
const (
	Absent      Code = iota + 1 // there is no such key, lease or watch
	Unavailable                 // certainly not done: no store, no leader, no time. Try again
	Unknown                     // it may or may not have happened: look
	Denied                      // this process has no right to the key
	Invalid                     // never acceptable
	TooLarge                    // a key, a request or an answer
	Full                        // a limit of the store or its disk, of watches or leases
	Compacted                   // the revision is not in history any more, or not yet
)

func (c Code) Error() string {
	words := [...]string{"done", "absent", "unavailable", "unknown", "denied", "invalid", "too large", "full", "compacted"}
	if int(c) < len(words) {
		return words[c]
	}
	return "another failure of the store"
}

// Error is a failure: what to act on, and what to show.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return e.Text }

// Unwrap makes errors.Is(err, kv.Denied) hold.
func (e *Error) Unwrap() error { return e.Code }

func check(code uint32) error {
	switch Code(code) {
	case 0:
		return nil
	case Absent:
		return Absent
	}
	return &Error{Code(code), pando.TakeError(importLastError()).Error()}
}

// Record is a key and what is known of it.
type Record struct {
	Key            string
	Value          []byte // empty when only keys were asked for
	CreateRevision int64  // the revision of the store that created it
	ModRevision    int64  // the one that wrote it last
	Version        int64  // writes since it was created, 1 at first
	Lease          int64  // 0: none
}

func pointer(bytes []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(bytes)) }

// fields are little-endian, one after the other. What is not there reads as zeros: anybody may send
// a message that says it holds more than it does.
type fields []byte

func (f *fields) take(size uint32) []byte {
	size = min(size, uint32(len(*f)))
	taken := (*f)[:size]
	*f = (*f)[size:]
	return taken
}

func (f *fields) u32() uint32 {
	var number [4]byte
	copy(number[:], f.take(4))
	return binary.LittleEndian.Uint32(number[:])
}

func (f *fields) u64() uint64 {
	var number [8]byte
	copy(number[:], f.take(8))
	return binary.LittleEndian.Uint64(number[:])
}

func (f *fields) i64() int64 { return int64(f.u64()) }

func (f *fields) record() Record {
	keySize, valueSize := f.u32(), f.u32()
	record := Record{CreateRevision: f.i64(), ModRevision: f.i64(), Version: f.i64(), Lease: f.i64()}
	record.Key = string(f.take(keySize))
	record.Value = append([]byte{}, f.take(valueSize)...)
	return record
}

// records are up to count, and no more than there are bytes for.
func (f *fields) records(count uint32) (records []Record) {
	for ; count > 0 && len(*f) > 0; count-- {
		records = append(records, f.record())
	}
	return records
}

// answer is all of the answer at hand.
func answer() fields {
	bytes := make([]byte, importAnswerLeft())
	return bytes[:importAnswerRead(pointer(bytes), uint32(len(bytes)))]
}

type getter func(key string, value unsafe.Pointer, room uint32, found unsafe.Pointer) uint32

func get(getter getter, key string) (Record, error) {
	value := make([]byte, 1024)
	for {
		var found [40]byte
		err := check(getter(key, pointer(value), uint32(len(value)), unsafe.Pointer(&found)))
		if err != nil {
			return Record{}, err
		}
		f := fields(found[:])
		size := uint32(f.u64())
		if size <= uint32(len(value)) {
			return Record{Key: key, Value: value[:size], CreateRevision: f.i64(), ModRevision: f.i64(),
				Version: f.i64(), Lease: f.i64()}, nil
		}
		value = make([]byte, size) // and again: it may be another one by now
	}
}

// Get is the value of a key, linearizable: not older than any write that was answered before the
// call. [Absent]: there is no such key.
func Get(key string) (Record, error) { return get(importGet, key) }

// GetLocal is the same as this node has applied it, which may be old. It needs no leader.
func GetLocal(key string) (Record, error) { return get(importGetLocal, key) }

// Put writes a key, and gives the revision that this made.
func Put(key string, value []byte) (int64, error) { return PutLeased(key, value, 0) }

// PutLeased is the same, and the key goes when the lease does ([Lease.ID]).
func PutLeased(key string, value []byte, lease int64) (int64, error) {
	var revision int64
	err := check(importPut(key, pointer(value), uint32(len(value)), lease, 0, unsafe.Pointer(&revision)))
	return revision, err
}

// Delete deletes a key. False: there was none.
func Delete(key string) (bool, error) {
	count, err := Range{Key: key}.Delete()
	return count > 0, err
}

// Lease takes its keys with it when it ends, so long after its grant or its last keepalive. It does
// not end with the process. 64 a process.
type Lease struct {
	ID         int64
	TTLSeconds int64
}

// Grant gives a new lease.
func Grant(ttlSeconds int64) (Lease, error) {
	var lease Lease
	err := check(importLeaseGrant(ttlSeconds, 0, unsafe.Pointer(&lease)))
	return lease, err
}

// KeepAlive begins its time anew.
func (l *Lease) KeepAlive() error {
	var lease Lease
	err := check(importLeaseKeepalive(l.ID, unsafe.Pointer(&lease)))
	if err == nil {
		*l = lease
	}
	return err
}

// Revoke ends it, and its keys.
func (l Lease) Revoke() error { return check(importLeaseRevoke(l.ID)) }

// SetTimeout says how long the calls of this process wait from now on; [pando.Forever]: without an
// end.
func SetTimeout(timeout time.Duration) { importSetTimeout(pando.Milliseconds(timeout)) }
