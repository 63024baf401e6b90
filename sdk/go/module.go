//go:build wasip1

package pando

import (
	"encoding/binary"
	"errors"
	"math"
	"unsafe"
)

//go:wasmimport lunatic::process compile_module
func importCompileModule(bytes unsafe.Pointer, size uint32, id unsafe.Pointer) int32

//go:wasmimport lunatic::process drop_module
func importDropModule(module uint64)

// ErrMayNotCompile is of a process without that right.
var ErrMayNotCompile = errors.New("this process may not compile modules")

// Module is WebAssembly that was compiled at run time, to start processes of it.
//
//	module, err := pando.Compile(bytes)
//	pid, err := module.Spawn("run", pando.Options{Link: 1}, pando.I64(7))
type Module struct{ number uint64 }

// Compile compiles a binary module; only this process waits for it. [Module.Drop] it.
// [ErrMayNotCompile], or why the bytes are no module that can run here.
func Compile(bytes []byte) (*Module, error) {
	var id uint64
	switch importCompileModule(pointer(bytes), uint32(len(bytes)), unsafe.Pointer(&id)) {
	case 0:
		return &Module{id}, nil
	case 1:
		return nil, TakeError(id)
	}
	return nil, ErrMayNotCompile
}

// Param is a parameter of an exported function.
type Param struct {
	kind  byte
	value uint64
}

// I32 is an i32.
func I32(value int32) Param { return Param{0x7f, uint64(uint32(value))} }

// I64 is an i64.
func I64(value int64) Param { return Param{0x7e, uint64(value)} }

// F32 is an f32.
func F32(value float32) Param { return Param{0x7d, uint64(math.Float32bits(value))} }

// F64 is an f64.
func F64(value float64) Param { return Param{0x7c, math.Float64bits(value)} }

// Spawn starts a process of it, which begins with this exported function.
func (m *Module) Spawn(function string, options Options, params ...Param) (Pid, error) {
	bytes := make([]byte, 17*len(params))
	for i, param := range params {
		bytes[17*i] = param.kind
		binary.LittleEndian.PutUint64(bytes[17*i+1:], param.value)
	}
	return spawn(m.number, function, bytes, options)
}

// Drop forgets it; processes that run it keep it.
func (m *Module) Drop() { importDropModule(m.number) }
