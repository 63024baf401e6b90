//go:build wasip1

// Package pando is what Pando gives its guests, for Go 1.24 and later, built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o guest.wasm .
//
// A guest is a set of processes. Each runs one function in a memory of its own, has a mailbox, and
// is known by its [Pid]. What a process can begin with is made known by [Define], at package level:
//
//	var adder = pando.Define(func(argument uint64) { ... })
//
//	//go:wasmexport _start
//	func start() { main() } // Pando begins here
//
//	func main() { pid, err := adder.SpawnLink(1, 0) ... }
//
// Nothing is shared between processes: package variables are fresh in each, and goroutines stay
// within theirs. While a goroutine waits in a function of this package the whole process does.
//
// Mistakes end the process with a trap whose text says what was wrong: a text of no UTF-8, an id
// that is none, a right that is missing. What can happen to a correct program is an error.
package pando

import (
	"errors"
	"math"
	"strconv"
	"time"
	"unsafe"
)

// Forever is a timeout that never ends.
const Forever time.Duration = math.MaxInt64

// inherit is "the parent's own", where an id of a module or a configuration is asked for.
const inherit = math.MaxUint64

// Milliseconds is a time as the functions of Pando take it: rounded up; all ones never end.
func Milliseconds(time time.Duration) uint64 {
	switch {
	case time == Forever:
		return math.MaxUint64
	case time <= 0:
		return 0
	}
	return (uint64(time) + 999_999) / 1_000_000
}

//go:wasmimport lunatic::error string_size
func errorSize(id uint64) uint32

//go:wasmimport lunatic::error to_string
func errorText(id uint64, to unsafe.Pointer)

//go:wasmimport lunatic::error drop
func errorDrop(id uint64)

// TakeError reads the words of an error id of Pando's, and drops it: 4,096 are kept at most.
func TakeError(id uint64) error {
	text := make([]byte, errorSize(id))
	errorText(id, unsafe.Pointer(unsafe.SliceData(text)))
	errorDrop(id)
	return errors.New(string(text))
}

// Why there was no answer, or no delivery.
var (
	ErrFull = errors.New("the mailbox is full") // nothing was sent: try again later
	ErrGone = errors.New("there is no such process")
	ErrLate = errors.New("nothing came in time")
)

// GoneError is an [ErrGone] that knows why the process ended.
type GoneError struct{ Reason Reason }

func (e *GoneError) Error() string { return "the process is gone: " + e.Reason.String() }

// Is makes errors.Is(err, ErrGone) hold.
func (e *GoneError) Is(target error) bool { return target == ErrGone }

// Reason is why a process ended.
type Reason uint32

// Reasons.
const (
	Normal    Reason = iota // it returned, or ended with exit code 0
	Shutdown                // asked to end, by its supervisor or the operator
	Failure                 // a trap, a panic, another exit code, or declared by itself
	Killed                  // it was killed
	NoProcess               // there was no such process
	Fuel                    // it used up its fuel
	Memory                  // it could not get the memory that it needs to live
	Denied                  // it did what it has no right to
)

func (r Reason) String() string {
	words := [...]string{"normal", "shutdown", "failure", "killed", "no process", "fuel", "memory", "denied"}
	if int(r) < len(words) {
		return words[r]
	}
	return "reason " + strconv.Itoa(int(r))
}
