// What a file is, whoever wrote it: what `fmnist inspect FILE` says.
#ifndef FM_APP_INSPECT_INSPECT_H
#define FM_APP_INSPECT_INSPECT_H

#include "base/status.h"
#include "base/text.h"
#include "report/table.h"

// The answer as a command prints it in `format`: format and size of the file, its tensors with
// shape and type, its metadata, and which model of this project its tensors fit, or what the
// nearest lacks. CSV: the tensors' table alone.
enum fm_status fm_inspect(const char *path, enum fm_format format, struct fm_text *out);

#endif
