//go:build wasip1

package pando

import (
	"math"
	"unsafe"
)

//go:wasmimport lunatic::process create_config
func importCreateConfig() uint64

//go:wasmimport lunatic::process drop_config
func importDropConfig(config uint64)

//go:wasmimport lunatic::process config_set_max_memory
func importMaxMemory(config, bytes uint64)

//go:wasmimport lunatic::process config_set_max_fuel
func importMaxFuel(config, portions uint64)

//go:wasmimport lunatic::process config_set_can_compile_modules
func importCanCompile(config uint64, can uint32)

//go:wasmimport lunatic::process config_set_can_create_configs
func importCanConfigure(config uint64, can uint32)

//go:wasmimport lunatic::process config_set_can_spawn_processes
func importCanSpawn(config uint64, can uint32)

//go:wasmimport lunatic::wasi config_add_environment_variable
func importAddVariable(config uint64, name, value string)

//go:wasmimport lunatic::wasi config_add_command_line_argument
func importAddArgument(config uint64, text string)

//go:wasmimport lunatic::wasi config_preopen_dir
func importPreopen(config uint64, path string)

//go:wasmimport pando::kv config_allow
func importAllowKV(config uint64, prefix unsafe.Pointer, size uint32)

//go:wasmimport pando::network config_allow
func importAllowNetwork(config uint64, right string, id unsafe.Pointer) uint32

// Config is what a child may do and what it starts with. It begins with no permission, directory,
// argument or variable, and with this process's own limits. Rights only shrink: granting what one
// does not have ends the process as [Denied].
type Config struct{ number uint64 }

// NewConfig is nil if this process may not make configurations. [Config.Drop] it.
func NewConfig() *Config {
	id := importCreateConfig()
	if id == math.MaxUint64 {
		return nil
	}
	return &Config{id}
}

func (c *Config) id() uint64 {
	if c == nil {
		return inherit
	}
	return c.number
}

// Drop forgets it; children keep what they were started with.
func (c *Config) Drop() { importDropConfig(c.number) }

// MaxMemory is in bytes of linear memory: what passes this fails to grow.
func (c *Config) MaxMemory(bytes uint64) { importMaxMemory(c.number, bytes) }

// MaxFuel is in portions of 100,000 instructions; 0 is unlimited. Who has used it up ends.
func (c *Config) MaxFuel(portions uint64) { importMaxFuel(c.number, portions) }

// CanCompile modules?
func (c *Config) CanCompile(can bool) { importCanCompile(c.number, number(can)) }

// CanConfigure children?
func (c *Config) CanConfigure(can bool) { importCanConfigure(c.number, number(can)) }

// CanSpawn processes?
func (c *Config) CanSpawn(can bool) { importCanSpawn(c.number, number(can)) }

// AllowKV lets it touch keys of the store that begin with prefix.
func (c *Config) AllowKV(prefix string) {
	importAllowKV(c.number, unsafe.Pointer(unsafe.StringData(prefix)), uint32(len(prefix)))
}

// AllowNetwork says what it may reach: "none", "local", "all", or a list such as
// "api.example:443,10.0.0.0/8". It begins with this process's own right; an error: the text is none of
// these, or more than that.
func (c *Config) AllowNetwork(right string) error {
	var id uint64
	if importAllowNetwork(c.number, right, unsafe.Pointer(&id)) != 0 {
		return TakeError(id)
	}
	return nil
}

// AddVariable sets an environment variable. Traps: an empty name, or '=' in it.
func (c *Config) AddVariable(name, value string) { importAddVariable(c.number, name, value) }

// AddArgument appends an argument; the first one is the program's name.
func (c *Config) AddArgument(text string) { importAddArgument(c.number, text) }

// AddDirectory hands on a directory: one of this process's own, by the path that it has here.
func (c *Config) AddDirectory(path string) { importPreopen(c.number, path) }
