/* pando - the whole SDK for guests in C. See sdk/c/README.md. */
#ifndef PANDO_PANDO_H
#define PANDO_PANDO_H

#include "config.h"
#include "error.h"
#include "group.h"
#include "import.h"
#include "info.h"
#include "kv.h"
#include "message.h"
#include "metrics.h"
#include "module.h"
#include "net.h"
#include "process.h"
#include "registry.h"
#include "sqlite.h"
#include "sqlite_try.h"
#include "supervisor.h"
#include "timer.h"
#include "trap.h"

#endif
