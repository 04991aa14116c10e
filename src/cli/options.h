// The tables of options, each for the commands that take all of it (commands.c).
#ifndef FM_CLI_OPTIONS_H
#define FM_CLI_OPTIONS_H

#include "cli/args.h"

// Each ends with name == NULL.
extern const struct fm_option fm_model_options[];
extern const struct fm_option fm_training_options[];
extern const struct fm_option fm_train_options[];
extern const struct fm_option fm_compare_options[];
extern const struct fm_option fm_eval_options[];
extern const struct fm_option fm_recipe_options[];
extern const struct fm_option fm_data_options[];
extern const struct fm_option fm_device_options[];
extern const struct fm_option fm_gpu_options[];
extern const struct fm_option fm_quiet_options[];
extern const struct fm_option fm_format_options[];
extern const struct fm_option fm_out_options[];
extern const struct fm_option fm_source_options[];
extern const struct fm_option fm_predict_options[];
extern const struct fm_option fm_label_options[];
extern const struct fm_option fm_audit_options[];
extern const struct fm_option fm_drift_options[];
extern const struct fm_option fm_bench_options[];
extern const struct fm_option fm_transfer_options[];
extern const struct fm_option fm_mode_options[];
extern const struct fm_option fm_export_options[];

#endif
