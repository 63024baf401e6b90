// A command as Go builds it: maps, goroutines, timers, a recovered panic, a file; and a reactor, also from Go, that it
// compiles and spawns. (Without fmt, which would double what is to be compiled.)
package main

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"time"
	"unsafe"
)

//go:wasmimport lunatic::process process_id
func processID() uint64

//go:wasmimport lunatic::process compile_module
func compileModule(bytes unsafe.Pointer, size uint32, id unsafe.Pointer) int32

//go:wasmimport lunatic::process spawn
func spawn(link, config, module uint64, function unsafe.Pointer, functionSize uint32,
	params unsafe.Pointer, paramsSize uint32, id unsafe.Pointer) uint32

//go:wasmimport lunatic::message receive
func receive(tags unsafe.Pointer, count uint32, timeout uint64) uint32

//go:wasmimport lunatic::message get_tag
func getTag() uint64

const inherit = ^uint64(0)

func say(words ...string) {
	os.Stdout.WriteString(strings.Join(words, " ") + "\n")
}

func param(kind byte, value uint64) []byte {
	bytes := make([]byte, 17)
	bytes[0] = kind
	binary.LittleEndian.PutUint64(bytes[1:], value)
	return bytes
}

func main() {
	counts := map[string]int{}
	for _, word := range strings.Fields("a b a c b a") {
		counts[word]++
	}
	done := make(chan string)
	go func() { time.Sleep(time.Millisecond); done <- "goroutine" }()
	say("go", strconv.Itoa(counts["a"]), <-done, strings.Join(os.Args[1:], "+"), os.Getenv("NAME"))
	func() {
		defer func() { say("recovered:", recover().(error).Error()) }()
		var nobody map[string]int
		nobody["x"] = 1
	}()

	module, err := os.ReadFile("/reactor.wasm")
	if err != nil {
		say(err.Error())
		os.Exit(1)
	}
	var id, pid uint64
	if compileModule(unsafe.Pointer(&module[0]), uint32(len(module)), unsafe.Pointer(&id)) != 0 {
		say("the reactor does not compile")
		os.Exit(1)
	}
	function := []byte("worker")
	params := append(param(0x7e, processID()), param(0x7f, 42)...)
	result := spawn(0, inherit, id, unsafe.Pointer(&function[0]), uint32(len(function)),
		unsafe.Pointer(&params[0]), uint32(len(params)), unsafe.Pointer(&pid))
	received := receive(nil, 0, inherit)
	say("spawned", strconv.Itoa(int(result)), "received", strconv.Itoa(int(received)), "tag",
		strconv.Itoa(int(getTag())))
	os.Exit(3)
}
