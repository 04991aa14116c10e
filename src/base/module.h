// Modules: parts of the tool that are loaded when they are needed, as the libraries behind them are
// not on every machine, or take long to load.
//
// A module NAME is the shared object fmnist-NAME.so in one fixed directory: from that of libfmnist
// (or of a program that has it linked in) "fmnist" in an installation, "modules" or "../modules" in
// the build tree. It exports one function, which gives out a table of functions, and has its own
// copy of what it uses of this project: failures and log lines reach the host's by the sinks that
// it is given. Any thread may load, at any time; what is loaded stays loaded.
#ifndef FM_BASE_MODULE_H
#define FM_BASE_MODULE_H

#include "base/log.h"
#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

// What a module is given.
struct fm_module_host {
    uint32_t abi; // version of the table that the host expects
    const struct fm_error_sink *errors;
    const struct fm_log_sink *log;
};
// The exported function. The table begins with a uint32_t, its version; NULL: none of the host's.
typedef const void *fm_module_entry(const struct fm_module_host *host);

// For the exported function: from now on the module's failures and log lines are the host's. False
// where the host expects another version than `abi`.
bool fm_module_join(const struct fm_module_host *host, uint32_t abi);

// What modules of one kind have in common.
struct fm_module_kind {
    const char *name;  // for messages: "backend"
    const char *entry; // symbol of the exported function
    uint32_t abi;
};

// For tests, whose programs lie elsewhere: the directory to look in.
void fm_module_set_directory(const char *directory);
bool fm_module_directory_is_set(void);

bool fm_module_exists(const char *name);

// Sets *table to the module's. FM_NOT_FOUND: there is no such file; FM_BACKEND: it cannot be
// loaded, or is not of this kind and version.
enum fm_status fm_module_load(
    const struct fm_module_kind *kind, const char *name, const void **table);

#endif
