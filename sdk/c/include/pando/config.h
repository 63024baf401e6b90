/* config - what a child may do and what it starts with.
 *
 * Model      pando_config_create begins with no permission, directory, argument or variable, and
 *            with the parent's limits. Add what the child needs, spawn with it as often as you
 *            like, drop it. Processes keep what they were spawned with.
 * Rights     Only shrink: granting what one does not have ends the process with reason `denied`.
 * Traps      An id that is no configuration's. */
#ifndef PANDO_CONFIG_H
#define PANDO_CONFIG_H

#include "import.h"

/* Not an id: creating configurations is not permitted. */
#define PANDO_NO_CONFIG UINT64_MAX

PANDO_IMPORT("lunatic::process", "create_config") uint64_t pando_import_create_config(void);
PANDO_IMPORT("lunatic::process", "drop_config") void pando_import_drop_config(uint64_t config);
PANDO_IMPORT("lunatic::process", "config_set_max_memory")
void pando_import_config_set_max_memory(uint64_t config, uint64_t bytes);
PANDO_IMPORT("lunatic::process", "config_get_max_memory")
uint64_t pando_import_config_get_max_memory(uint64_t config);
PANDO_IMPORT("lunatic::process", "config_set_max_fuel")
void pando_import_config_set_max_fuel(uint64_t config, uint64_t portions);
PANDO_IMPORT("lunatic::process", "config_get_max_fuel")
uint64_t pando_import_config_get_max_fuel(uint64_t config);
PANDO_IMPORT("lunatic::process", "config_set_can_compile_modules")
void pando_import_config_set_can_compile(uint64_t config, uint32_t can);
PANDO_IMPORT("lunatic::process", "config_set_can_create_configs")
void pando_import_config_set_can_configure(uint64_t config, uint32_t can);
PANDO_IMPORT("lunatic::process", "config_set_can_spawn_processes")
void pando_import_config_set_can_spawn(uint64_t config, uint32_t can);
PANDO_IMPORT("lunatic::wasi", "config_add_environment_variable")
void pando_import_config_add_variable(uint64_t config, const char *name, uint32_t name_size,
                                      const char *value, uint32_t value_size);
PANDO_IMPORT("lunatic::wasi", "config_add_command_line_argument")
void pando_import_config_add_argument(uint64_t config, const char *text, uint32_t size);
PANDO_IMPORT("lunatic::wasi", "config_preopen_dir")
void pando_import_config_preopen(uint64_t config, const char *path, uint32_t size);

/* A new configuration, or PANDO_NO_CONFIG: this process may not make any. */
static inline uint64_t pando_config_create(void)
{
    return pando_import_create_config();
}

static inline void pando_config_drop(uint64_t config)
{
    pando_import_drop_config(config);
}

/* Bytes of linear memory: what passes this fails to grow. No more than one's own limit. */
static inline void pando_config_set_memory(uint64_t config, uint64_t bytes)
{
    pando_import_config_set_max_memory(config, bytes);
}

static inline uint64_t pando_config_memory(uint64_t config)
{
    return pando_import_config_get_max_memory(config);
}

/* Fuel, in portions of 100,000 instructions; 0 is unlimited. Who has used it up ends. */
static inline void pando_config_set_fuel(uint64_t config, uint64_t portions)
{
    pando_import_config_set_max_fuel(config, portions);
}

static inline uint64_t pando_config_fuel(uint64_t config)
{
    return pando_import_config_get_max_fuel(config);
}

/* May it compile modules, make configurations, spawn processes? */
static inline void pando_config_allow_compile(uint64_t config, bool can)
{
    pando_import_config_set_can_compile(config, can);
}

static inline void pando_config_allow_configure(uint64_t config, bool can)
{
    pando_import_config_set_can_configure(config, can);
}

static inline void pando_config_allow_spawn(uint64_t config, bool can)
{
    pando_import_config_set_can_spawn(config, can);
}

/* Set an environment variable. Traps: an empty name, or '=' in it. */
static inline void pando_config_add_variable(uint64_t config, const char *name, const char *value)
{
    pando_import_config_add_variable(config, name, pando_text_size(name), value,
                                     pando_text_size(value));
}

/* Append an argument; the first one is the program's name. */
static inline void pando_config_add_argument(uint64_t config, const char *text)
{
    pando_import_config_add_argument(config, text, pando_text_size(text));
}

/* Hand on a directory: one of this process's own, by the path that it has here. */
static inline void pando_config_add_directory(uint64_t config, const char *path)
{
    pando_import_config_preopen(config, path, pando_text_size(path));
}

#endif
