// Man pages in man(7), generated from the tables that the parser reads: fmnist(1), the overview,
// and fmnist-COMMAND(1) for each command. They depend on nothing but the tables and the version, so
// that two builds of one source write the same bytes.
#ifndef FM_CLI_MANUAL_H
#define FM_CLI_MANUAL_H

#include "cli/args.h"

void fm_manual_overview(struct fm_text *out);
void fm_manual_command(const struct fm_command *command, struct fm_text *out);

// Text as roff prints it unchanged: a backslash, a hyphen that is to be copied as '-', quotes, and
// a point or an apostrophe at the beginning of a line.
void fm_manual_escape(struct fm_text *out, const char *text);

#endif
