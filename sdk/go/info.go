//go:build wasip1

package pando

import "time"

// What a process may know about itself and its world. None of these waits or fails.

// FuelUsed is in units, about one an instruction, as of the end of the last slice.
//
//go:wasmimport pando::info fuel_used
func FuelUsed() uint64

// FuelLimit is how many units it may use; 0 is unlimited.
//
//go:wasmimport pando::info fuel_limit
func FuelLimit() uint64

// MemorySize is in bytes of its linear memory.
//
//go:wasmimport pando::info memory_size
func MemorySize() uint64

// MemoryLimit is what they may grow to.
//
//go:wasmimport pando::info memory_limit
func MemoryLimit() uint64

// MessageCount is of messages in its mailbox that were not received yet.
//
//go:wasmimport pando::info message_count
func MessageCount() uint64

// ReceivedCount is of messages that ever arrived.
//
//go:wasmimport pando::info received
func ReceivedCount() uint64

// ProcessCount is of live processes of the environment, this one included.
//
//go:wasmimport pando::info process_count
func ProcessCount() uint64

//go:wasmimport pando::info now_ns
func importNow() uint64

// Now is monotonic time from an arbitrary beginning; virtual under pando run --seed.
func Now() time.Duration { return time.Duration(importNow()) }
