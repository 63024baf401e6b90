//go:build wasip1

package kv

import (
	"strings"
	"time"
	"unsafe"

	"pando"
)

//go:wasmimport pando::kv watch
func importWatch(key, end string, revision int64, tag uint64, flags uint32, watch unsafe.Pointer) uint32

//go:wasmimport pando::kv unwatch
func importUnwatch(id uint64) uint32

// Flags say how a range is to be read.
type Flags uint32

// Flags.
const (
	Local        Flags = 1 << iota // as this node has applied it, which may be old; needs no leader
	WithPrevious                   // of a watch: with what was there before
	KeysOnly                       // without values
	CountOnly                      // nothing but the count
	Descend                        // from the last key to the first
	NoPut                          // of a watch: deletes alone
	NoDelete                       // of a watch: puts alone
)

// ToTheEnd is the End of a range without one.
const ToTheEnd = "\x00"

// Range is keys from Key up to, and without, End.
type Range struct {
	Key      string
	End      string // "": the key alone
	Limit    int64  // up to so many records; 0: all
	Revision int64  // as it was then; 0: now. Of a watch, the first that is told
	Flags    Flags
}

// Prefix is all keys that begin with prefix; with an empty one, all keys.
func Prefix(prefix string) Range {
	if prefix == "" {
		return Range{Key: "\x00", End: ToTheEnd}
	}
	end := []byte(strings.TrimRight(prefix, "\xff"))
	if len(end) == 0 {
		return Range{Key: prefix, End: ToTheEnd}
	}
	end[len(end)-1]++
	return Range{Key: prefix, End: string(end)}
}

// Page is what was in a range.
type Page struct {
	Revision int64 // the store's, when it was read
	Count    int64 // of keys in the range, whatever the limit
	More     bool  // the limit cut it off
	Records  []Record
}

// Get reads it.
func (r Range) Get() (Page, error) {
	var ranged [24]byte
	err := check(importRange(r.Key, r.End, r.Limit, r.Revision, uint32(r.Flags), unsafe.Pointer(&ranged)))
	if err != nil {
		return Page{}, err
	}
	f := fields(ranged[:])
	page := Page{Revision: f.i64(), Count: f.i64(), More: f.u32() != 0}
	all := answer()
	page.Records = all.records(f.u32())
	return page, nil
}

// Delete deletes what is in it, and says how many keys that were.
func (r Range) Delete() (int64, error) {
	var deleted [2]int64 // revision, count
	err := check(importDelete(r.Key, r.End, 0, unsafe.Pointer(&deleted)))
	return deleted[1], err
}

// Watch is a watch, until it is stopped or this process ends.
type Watch struct {
	ID       uint64
	Tag      uint64 // of its messages
	Revision int64  // the store's, when it began
}

// Watch lets the events of a range come as messages with tag (not 0), from now on or from Revision
// on. Nothing is left out and nothing comes twice; a process that does not receive them slows down
// its own watch alone. 16 watches a process.
func (r Range) Watch(tag uint64) (Watch, error) {
	var watch [2]uint64
	err := check(importWatch(r.Key, r.End, r.Revision, tag, uint32(r.Flags), unsafe.Pointer(&watch)))
	return Watch{watch[0], tag, int64(watch[1])}, err
}

// Event is what happened to a key.
type Event struct {
	IsDelete bool   // else it was written
	Record   Record // what it is now; of one deleted, its key and revision
	Previous *Record
}

// Events are one message of a watch: all events of one or more revisions.
type Events struct {
	Watch    uint64
	Revision int64 // everything up to here was told
	Events   []Event
	Ended    error // not nil: this was its last message, and why
}

// ReadEvents reads a message that has a watch's tag.
func ReadEvents(message pando.Message) Events {
	f := fields(message.Bytes)
	watch, hasEnded, count := f.u64(), f.u32() != 0, f.u32()
	events := Events{Watch: watch, Revision: f.i64()}
	if hasEnded {
		events.Ended = &Error{Code(count), string(f)}
		return events
	}
	for ; count > 0 && len(f) > 0; count-- {
		isDelete, hasPrevious := f.u32() != 0, f.u32() != 0
		event := Event{IsDelete: isDelete, Record: f.record()}
		if hasPrevious {
			previous := f.record()
			event.Previous = &previous
		}
		events.Events = append(events.Events, event)
	}
	return events
}

// Next waits for its next message. [pando.ErrLate]: none came in time.
func (w Watch) Next(timeout time.Duration) (Events, error) {
	message, err := pando.Receive(timeout, w.Tag)
	if err != nil {
		return Events{}, err
	}
	return ReadEvents(message), nil
}

// Stop ends it; events that have arrived stay in the mailbox. False: it had ended.
func (w Watch) Stop() bool { return importUnwatch(w.ID) == 0 }
