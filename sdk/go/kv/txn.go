//go:build wasip1

package kv

import (
	"encoding/binary"
	"unsafe"
)

//go:wasmimport pando::kv txn
func importTxn(txn unsafe.Pointer, size uint32, committed unsafe.Pointer) uint32

// Order is how a comparison must come out.
type Order uint8

// Orders, of what is there with what is given.
const (
	Equal Order = iota
	Greater
	Less
	NotEqual
)

// Compare is something that must hold for a key.
type Compare struct{ bytes []byte }

func compare(key string, target uint8, order Order, number int64, value []byte) Compare {
	bytes := []byte{byte(order), target, 0, 0}
	bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(key)))
	bytes = binary.LittleEndian.AppendUint32(bytes, 0)
	bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(value)))
	bytes = binary.LittleEndian.AppendUint64(bytes, uint64(number))
	bytes = append(bytes, key...)
	return Compare{append(bytes, value...)}
}

// IfVersion compares the writes since the key was created; 0: it does not exist.
func IfVersion(key string, order Order, version int64) Compare {
	return compare(key, 0, order, version, nil)
}

// IfCreateRevision compares the revision that created it.
func IfCreateRevision(key string, order Order, revision int64) Compare {
	return compare(key, 1, order, revision, nil)
}

// IfModRevision compares the revision that wrote it last.
func IfModRevision(key string, order Order, revision int64) Compare {
	return compare(key, 2, order, revision, nil)
}

// IfValue compares its value, byte by byte.
func IfValue(key string, order Order, value []byte) Compare { return compare(key, 3, order, 0, value) }

// IfLease compares its lease.
func IfLease(key string, order Order, lease int64) Compare { return compare(key, 4, order, lease, nil) }

// Op is one step of a transaction.
type Op struct{ bytes []byte }

const (
	kindRange  = 1
	kindPut    = 2
	kindDelete = 3
)

func op(kind uint8, r Range, value []byte, number int64) Op {
	bytes := []byte{kind, byte(r.Flags), 0, 0}
	bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(r.Key)))
	bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(r.End)))
	bytes = binary.LittleEndian.AppendUint32(bytes, uint32(len(value)))
	bytes = binary.LittleEndian.AppendUint64(bytes, uint64(number))
	bytes = binary.LittleEndian.AppendUint64(bytes, uint64(r.Revision))
	bytes = append(bytes, r.Key...)
	bytes = append(bytes, r.End...)
	return Op{append(bytes, value...)}
}

// OpGet reads a range.
func OpGet(r Range) Op { return op(kindRange, r, nil, r.Limit) }

// OpPut writes a key; lease 0: none.
func OpPut(key string, value []byte, lease int64) Op {
	return op(kindPut, Range{Key: key}, value, lease)
}

// OpDelete deletes what is in a range.
func OpDelete(r Range) Op { return op(kindDelete, Range{Key: r.Key, End: r.End}, nil, 0) }

// Txn is comparisons that must all hold, what happens then, and what happens else: in one step, at
// one revision. At most 128 of each.
type Txn struct {
	If   []Compare
	Then []Op
	Else []Op
}

// Response is what one step of a transaction did: Page of OpGet, Deleted of OpDelete.
type Response struct {
	Page    *Page
	Deleted int64
}

// Committed is what became of a transaction.
type Committed struct {
	Revision  int64 // the store's, after it
	Succeeded bool  // all comparisons held
	Responses []Response
}

// Commit does it.
func (t Txn) Commit() (Committed, error) {
	var bytes []byte
	for _, count := range [...]int{len(t.If), len(t.Then), len(t.Else), 0} {
		bytes = binary.LittleEndian.AppendUint32(bytes, uint32(count))
	}
	for _, compare := range t.If {
		bytes = append(bytes, compare.bytes...)
	}
	for _, op := range t.Then {
		bytes = append(bytes, op.bytes...)
	}
	for _, op := range t.Else {
		bytes = append(bytes, op.bytes...)
	}
	var written [16]byte
	if err := check(importTxn(pointer(bytes), uint32(len(bytes)), unsafe.Pointer(&written))); err != nil {
		return Committed{}, err
	}
	f := fields(written[:])
	committed := Committed{Revision: f.i64(), Succeeded: f.u32() != 0}
	all := answer()
	for count := f.u32(); count > 0 && len(all) > 0; count-- {
		committed.Responses = append(committed.Responses, all.response(committed.Revision))
	}
	return committed, nil
}

func (f *fields) response(revision int64) (response Response) {
	kind := f.u32()
	size := f.u32()
	rest := fields(f.take(size))
	switch kind {
	case kindRange:
		page := &Page{Revision: revision, Count: rest.i64(), More: rest.u32() != 0}
		page.Records = rest.records(rest.u32())
		response.Page = page
	case kindDelete:
		response.Deleted = rest.i64()
	}
	return response
}
