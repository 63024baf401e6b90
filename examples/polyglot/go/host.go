package main

import "unsafe"

// The few functions of Pando that the stage uses.

//go:wasmimport lunatic::message create_data
func importCreateData(tag, capacity uint64)

//go:wasmimport lunatic::message write_data
func importWriteData(bytes unsafe.Pointer, size uint32) uint32

//go:wasmimport lunatic::message read_data
func importReadData(to unsafe.Pointer, size uint32) uint32

//go:wasmimport lunatic::message data_size
func importDataSize() uint64

//go:wasmimport lunatic::message get_tag
func messageTag() uint64

//go:wasmimport lunatic::message receive
func importReceive(tags unsafe.Pointer, count uint32, timeoutMs uint64) uint32

//go:wasmimport pando::message pid
func messagePid() uint64

//go:wasmimport pando::message ref
func messageRef() uint64

//go:wasmimport lunatic::process process_id
func self() uint64

//go:wasmimport lunatic::process sleep_ms
func sleep(ms uint64)

//go:wasmimport pando::process call
func call(pid, timeoutMs uint64) uint32

//go:wasmimport pando::process reply
func reply(pid, ref uint64) uint32

//go:wasmimport pando::registry whereis
func importWhereis(name unsafe.Pointer, size uint32, out unsafe.Pointer) uint32

func whereis(name string) (pid uint64) {
	importWhereis(unsafe.Pointer(unsafe.StringData(name)), uint32(len(name)), unsafe.Pointer(&pid))
	return pid
}

func begin(tag uint64, text string) {
	importCreateData(tag, uint64(len(text)))
	importWriteData(unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

func receive() bool {
	return importReceive(nil, 0, ^uint64(0)) == 0
}

func textAtHand() string {
	bytes := make([]byte, importDataSize()+1)
	return string(bytes[:importReadData(unsafe.Pointer(&bytes[0]), uint32(len(bytes)))])
}
