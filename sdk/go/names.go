//go:build wasip1

package pando

import (
	"errors"
	"unsafe"
)

//go:wasmimport pando::registry register
func importRegister(name string, pid uint64) uint32

//go:wasmimport pando::registry whereis
func importWhereis(name string, pid unsafe.Pointer) uint32

//go:wasmimport pando::registry unregister
func importUnregister(name string) uint32

//go:wasmimport lunatic::registry put
func importRegistryPut(name string, node, pid uint64)

//go:wasmimport pando::group join
func importGroupJoin(name string) uint32

//go:wasmimport pando::group leave
func importGroupLeave(name string) uint32

//go:wasmimport pando::group members
func importGroupMembers(name string, pids unsafe.Pointer, room uint32) uint32

//go:wasmimport pando::group broadcast
func importGroupBroadcast(name string, skipped unsafe.Pointer) uint32

// Why a name was not given, or a group not joined.
var (
	ErrTaken   = errors.New("another process has this name")
	ErrTooMany = errors.New("there are too many names or memberships")
)

// Register gives a process a name, 1 to 255 bytes of UTF-8, unless another has it: [ErrTaken],
// [ErrGone], [ErrTooMany]. A name goes with its process.
func (p Pid) Register(name string) error {
	switch importRegister(name, uint64(p)) {
	case 0:
		return nil
	case 1:
		return ErrTaken
	case 2:
		return ErrGone
	}
	return ErrTooMany
}

// RegisterOver gives a process a name, and takes it from whoever has it.
func (p Pid) RegisterOver(name string) { importRegistryPut(name, 0, uint64(p)) }

// Whereis is who has the name; false: nobody.
func Whereis(name string) (Pid, bool) {
	var pid uint64
	found := importWhereis(name, unsafe.Pointer(&pid)) == 0
	return Pid(pid), found
}

// Unregister forgets the name. False: nobody had it.
func Unregister(name string) bool { return importUnregister(name) == 0 }

// Group is a named set of processes, its name 1 to 255 bytes of UTF-8. A member leaves when it ends;
// an empty group does not exist.
type Group string

// Join makes this process a member; one that is stays one. [ErrTooMany].
func (g Group) Join() error {
	const full = 3
	if importGroupJoin(string(g)) == full {
		return ErrTooMany
	}
	return nil
}

// Leave is false if this process was no member.
func (g Group) Leave() bool { return importGroupLeave(string(g)) == 0 }

// Members are its members, the oldest first.
func (g Group) Members() []Pid {
	for room := 16; ; {
		pids := make([]Pid, room)
		count := int(importGroupMembers(string(g), unsafe.Pointer(unsafe.SliceData(pids)), uint32(room)))
		if count <= room {
			return pids[:count]
		}
		room = count
	}
}

// Broadcast sends a message to each member, this process included if it is one. skipped are those
// whose mailbox is full.
func (g Group) Broadcast(tag uint64, bytes []byte) (reached, skipped uint32) {
	create(tag, bytes)
	reached = importGroupBroadcast(string(g), unsafe.Pointer(&skipped))
	return reached, skipped
}
