//go:build wasip1

package pando

import (
	"encoding/binary"
	"time"
	"unsafe"
)

//go:wasmimport lunatic::process spawn
func importSpawn(link, config, module uint64, function string, params unsafe.Pointer, paramsSize uint32,
	id unsafe.Pointer) uint32

//go:wasmimport lunatic::process get_or_spawn
func importGetOrSpawn(name string, link, config, module uint64, function string, params unsafe.Pointer,
	paramsSize uint32, node, id unsafe.Pointer) uint32

//go:wasmimport lunatic::process sleep_ms
func importSleep(ms uint64)

//go:wasmimport lunatic::process process_id
func importProcessID() uint64

//go:wasmimport lunatic::process environment_id
func importEnvironmentID() uint64

//go:wasmimport lunatic::process link
func importLink(tag, pid uint64)

//go:wasmimport lunatic::process unlink
func importUnlink(pid uint64)

//go:wasmimport lunatic::process kill
func importKill(pid uint64)

//go:wasmimport lunatic::process exists
func importExists(pid uint64) uint32

//go:wasmimport pando::process monitor
func importMonitor(pid uint64) uint64

//go:wasmimport pando::process demonitor
func importDemonitor(ref uint64, flush uint32) uint32

//go:wasmimport pando::process trap_exit
func importTrapExit(traps uint32)

//go:wasmimport pando::process exit
func importExit(pid uint64, reason uint32, text string)

//go:wasmimport pando::process exit_self
func importExitSelf(reason uint32, text string)

// Pid is a process: a number that no other one ever has, within a program.
type Pid uint64

// Monitor is what [Pid.Monitor] began, by which its notice is known.
type Monitor uint64

// Function is what a process can begin with.
type Function struct{ index uint32 }

var functions []func(argument uint64)

// Define makes a function known to all processes of this module. Call it at package level or in
// init, so that each process does the same before it begins.
func Define(run func(argument uint64)) Function {
	functions = append(functions, run)
	return Function{uint32(len(functions) - 1)}
}

// The export that every process of this package begins with.
const entry = "_pando_spawn"

//go:wasmexport _pando_spawn
func enter(index uint32, argument uint64) { functions[index](argument) }

// params are enter's, as Pando reads them: for each a byte of its type and 16 of its value.
func (f Function) params(argument uint64) (params [34]byte) {
	const typeI32, typeI64 = 0x7f, 0x7e
	params[0] = typeI32
	binary.LittleEndian.PutUint32(params[1:], f.index)
	params[17] = typeI64
	binary.LittleEndian.PutUint64(params[18:], argument)
	return params
}

// Options are all else that can be said about a new process.
type Options struct {
	Link   uint64  // linked to the parent, who sees this tag if it traps exits; 0: not linked
	Config *Config // what it may do; nil: what its parent may
}

// Spawn starts a process with this one's rights, not linked.
func (f Function) Spawn(argument uint64) (Pid, error) { return f.SpawnWith(argument, Options{}) }

// SpawnLink starts one that is linked to this one: if either ends other than normally, so does the
// other, unless it traps that ([TrapExit]).
func (f Function) SpawnLink(tag, argument uint64) (Pid, error) {
	return f.SpawnWith(argument, Options{Link: tag})
}

// SpawnWith starts a process.
func (f Function) SpawnWith(argument uint64, options Options) (Pid, error) {
	params := f.params(argument)
	return spawn(inherit, entry, params[:], options)
}

func spawn(module uint64, function string, params []byte, options Options) (Pid, error) {
	var id uint64
	code := importSpawn(options.Link, options.Config.id(), module, function, pointer(params),
		uint32(len(params)), unsafe.Pointer(&id))
	if code != 0 {
		return 0, TakeError(id)
	}
	return Pid(id), nil
}

// GetOrSpawn gives the process that has this name, or a new one that gets it: never two, however
// many ask at once.
func (f Function) GetOrSpawn(name string, argument uint64, options Options) (pid Pid, isNew bool, err error) {
	params := f.params(argument)
	var node, id uint64
	switch importGetOrSpawn(name, options.Link, options.Config.id(), inherit, entry, unsafe.Pointer(&params),
		uint32(len(params)), unsafe.Pointer(&node), unsafe.Pointer(&id)) {
	case 0:
		return Pid(id), true, nil
	case 1:
		return 0, false, TakeError(id)
	}
	return Pid(id), false, nil
}

// Self is this process.
func Self() Pid { return Pid(importProcessID()) }

// Environment is the world of pids and names that this process lives in.
func Environment() uint64 { return importEnvironmentID() }

// Sleep lets this process do nothing for a while, its goroutines included; time.Sleep lets them run.
func Sleep(time time.Duration) { importSleep(Milliseconds(time)) }

// TrapExit says whether the ends of linked processes, and [Pid.Exit], arrive as messages with a
// [Death] instead of ending this process. A kill cannot be trapped.
func TrapExit(traps bool) { importTrapExit(number(traps)) }

// Exit ends this process for a reason that links and monitors see. text: up to 4,096 bytes.
func Exit(reason Reason, text string) {
	importExitSelf(uint32(reason), text)
	panic("exit_self returned")
}

// Exists says whether it is alive right now. It may not be when you read the answer: prefer a
// monitor.
func (p Pid) Exists() bool { return importExists(uint64(p)) != 0 }

// Link shares fate with it; both see tag (not 0). Nobody there: as if it died at once.
func (p Pid) Link(tag uint64) { importLink(tag, uint64(p)) }

// Unlink shares it no longer.
func (p Pid) Unlink() { importUnlink(uint64(p)) }

// Monitor lets this process be told of its end, once. Nobody there: told at once, as [NoProcess].
// 0: the limit of monitors is reached.
func (p Pid) Monitor() Monitor { return Monitor(importMonitor(uint64(p))) }

// Stop ends a monitor, and takes a notice that has arrived out of the mailbox. True: none had.
func (m Monitor) Stop() bool { return importDemonitor(uint64(m), 1) != 0 }

// Exit asks it to end, as if a process linked to it had ended for this reason: it may trap that, and
// ignores [Normal].
func (p Pid) Exit(reason Reason, text string) { importExit(uint64(p), uint32(reason), text) }

// Kill ends it now, whatever it traps.
func (p Pid) Kill() { importKill(uint64(p)) }

func number(is bool) uint32 {
	if is {
		return 1
	}
	return 0
}
