// The command line: tables of commands and options that drive both parsing and help, so that the
// two cannot drift apart.
//
// Strict: options are written in full (`--epochs 3` or `--epochs=3`; two have a letter as well),
// none twice but a FM_OPTION_DIRS, every value is checked where it is read, and a misspelt name is
// answered with the nearest one there is, or with that which other tools call so. A failure is
// FM_USAGE and says which argument and why.
#ifndef FM_CLI_ARGS_H
#define FM_CLI_ARGS_H

#include "base/status.h"
#include "base/text.h"
#include "train/recipe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FM_ARGS_MODELS_MAX = 16,
    FM_ARGS_RECIPE_MAX = 48,
    FM_ARGS_DIRS_MAX = 8,
    FM_ARGS_GIVEN_MAX = 64
};

// Folders, each given by the option once more.
struct fm_dirs {
    const char *at[FM_ARGS_DIRS_MAX];
    int count;
};

// A recipe value given as a flag. `text` has been checked against the field.
struct fm_recipe_flag {
    const struct fm_recipe_field *field;
    const char *text;
};

struct fm_command;

// Everything that any command can be told. Strings belong to argv. An option that was not given has
// the value that fm_args_parse() starts from; its table entry's help says which.
struct fm_args {
    const struct fm_command *command; // set even when the rest failed, for the hint; NULL before
    const char *program;              // argv[0]
    int argc;                         // the command line as it was, for the run folder
    char *const *argv;
    bool help;           // --help: nothing else is to be done; of `command`, if there is one
    bool version;        // --version
    const char *operand; // RUN, NAME or COMMAND, the first of several; NULL
    // All of them, of a command that takes several: owned, freed by fm_args_free().
    const char **operands;
    int operand_count;

    const char *data;    // directory; NULL: where fm_dataset_open() looks
    const char *backend; // "auto"
    const char *precision;
    int threads; // 0: one for each core
    int device;  // index of a GPU
    bool tf32, nondeterministic;
    int workspace;          // MiB; 0: the backend's choice
    const char *plan_cache; // folder; NULL: the user's cache folder
    bool no_plan_cache;
    bool resident; // the device keeps the data set
    bool quiet;
    int format; // enum fm_format

    const char *model;
    const char *models[FM_ARGS_MODELS_MAX + 1]; // --models a,b; in fm_zoo_names; ends with NULL
    const char *recipe;
    struct fm_recipe_flag recipe_flags[FM_ARGS_RECIPE_MAX];
    int recipe_flag_count;
    const char *given[FM_ARGS_GIVEN_MAX]; // names of the options given, in order
    int given_count;
    int64_t seed;
    double max_minutes; // 0: no limit
    const char *out;    // NULL: the command's own choice
    const char *runs;   // folder of runs; NULL: "runs"
    const char *trace;  // file; NULL: no trace
    bool force;
    bool fresh;
    const char *resume;        // run folder; NULL: a new run
    int seeds;                 // trainings, of seed, seed + 1, ...
    bool full;                 // train on all training images
    bool strict;               // go on only where nothing has changed that computes
    bool emulate;              // the precision, by rounding
    double checkpoint_seconds; // 0: none within an epoch
    int split;                 // enum fm_part
    bool tensorboard;          // event files beside the run

    // Of the commands that put a trained network to use:
    const char *list;      // file of paths; NULL: none
    int convert;           // enum fm_convert
    int top;               // classes told of each image
    const char *show;      // folder for what the network sees; NULL: none
    double least;          // precision of what is labelled by itself
    double confidence;     // that it holds
    bool per_class;        // a threshold for each class
    bool evaluate;         // measure on the test images
    double cost;           // of a label by hand
    const char *reviewed;  // file of people's answers; NULL: none
    int folds;             // of out-of-sample predictions
    double plant;          // share of training labels that are changed to be found again
    double level;          // of a test: how often it may fire on nothing
    const char *batches;   // "1,16,256"; NULL: the command's own choice
    const char *versus;    // "fp32,unfused"; NULL: nothing beside
    double seconds;        // that a figure is measured for
    bool profile, unfused; // struct fm_compile_options
    bool start;            // one prediction, and the times of what comes before it

    const char *train_batches; // like `batches`

    // Of weights that others have trained, and of files for others:
    const char *weights;       // file of the base's weights; NULL: all are drawn
    int mode;                  // enum fm_transfer_mode
    int unfreeze;              // enum fm_unfreeze
    double base_rate;          // struct fm_transfer
    int feature_views;         // the same
    const char *feature_cache; // folder; NULL: the user's cache folder
    bool no_feature_cache;
    int input_size; // pixels; 0: the model's own
    // Of finished runs that a training is taught by:
    struct fm_dirs teachers;
    double teacher_share; // struct fm_teaching
    int export_format;    // enum fm_export_format
    const char *triton;   // folder of a model repository; NULL: none
};

enum fm_option_type {
    FM_OPTION_FLAG,   // bool; takes no value
    FM_OPTION_TEXT,   // const char *
    FM_OPTION_NAME,   // const char *, one of `choices`
    FM_OPTION_CHOICE, // int, index into `choices`
    FM_OPTION_INT,    // int, within [min, max]
    FM_OPTION_INT64,  // int64_t, within [min, max]
    FM_OPTION_REAL,   // double, within [min, max]
    FM_OPTION_MODELS, // names of models, separated by commas
    FM_OPTION_DIRS,   // struct fm_dirs; may be given several times
    // Texts, too, for the parser; what they are is for completion in a shell to know.
    FM_OPTION_FILE,
    FM_OPTION_DIR,
    FM_OPTION_RECIPE,  // the name of a recipe, or a file
    FM_OPTION_COMMAND, // the name of one of fm_commands
};

struct fm_option {
    const char *name;  // "max-minutes"
    const char *value; // what help calls its value: "M"; NULL for a flag
    enum fm_option_type type;
    size_t offset; // in struct fm_args
    double min, max;
    const char *const *choices; // ends with NULL
    const char *help;
};

// The letter that does as well as an option's name, as -o for --out; 0: there is none.
char fm_option_letter(const char *name);

// Options that several commands share are a table of their own.
enum {
    FM_OPTION_TABLES_MAX = 10
};

struct fm_command {
    const char *name;
    const char *summary;     // one line, for the overview
    const char *description; // paragraphs, for its own page
    const char *operand;     // "RUN"; NULL: takes none
    enum fm_option_type operand_type;
    const char *const *operand_choices; // FM_OPTION_NAME
    bool operand_required;
    // Of a command that takes several operands, which `operand` names all ("RUN IMAGE..."): how
    // many at least and at most, and what those behind the first are; 0: one alone.
    int operands_least, operands_most;
    enum fm_option_type more_type;
    bool recipe;          // every value of fm_recipe_fields is a flag, too
    const char *required; // an option that must be given; NULL
    const char *instead;  // another that does as well; NULL
    const struct fm_option *options[FM_OPTION_TABLES_MAX + 1]; // tables; ends with NULL
    const char *const *examples;                               // command lines; ends with NULL
    enum fm_status (*run)(const struct fm_args *args);
};

extern const struct fm_command fm_commands[]; // ends with name == NULL
const struct fm_command *fm_command_find(const char *name);
// FM_USAGE with a suggestion for an unknown name.
enum fm_status fm_command_parse(const char *name, const struct fm_command **command);

// Fills `args` from a command line. `--help` after a command ends the parsing. On failure, too, it
// is freed with fm_args_free().
enum fm_status fm_args_parse(int argc, char *const *argv, struct fm_args *args);
void fm_args_free(struct fm_args *args);
// Whether an option or recipe flag was given.
bool fm_args_given(const struct fm_args *args, const char *name);

// Help, generated from the tables: the overview, or a command's page.
void fm_help_overview(struct fm_text *out);
void fm_help_command(const struct fm_command *command, struct fm_text *out);

// Runs a command line and prints what there is to print, errors too. Returns the exit status: 0, 1
// for a failure, 2 for wrong usage. Ignores SIGPIPE and SIGXFSZ from then on; closes standard
// output when the command has succeeded.
int fm_command_line(int argc, char *const *argv);

// The commands, a file each.
enum fm_status fm_cmd_train(const struct fm_args *args);
enum fm_status fm_cmd_eval(const struct fm_args *args);
enum fm_status fm_cmd_compare(const struct fm_args *args);
enum fm_status fm_cmd_report(const struct fm_args *args);
enum fm_status fm_cmd_bench(const struct fm_args *args);
enum fm_status fm_cmd_predict(const struct fm_args *args);
enum fm_status fm_cmd_label(const struct fm_args *args);
enum fm_status fm_cmd_audit(const struct fm_args *args);
enum fm_status fm_cmd_drift(const struct fm_args *args);
enum fm_status fm_cmd_export(const struct fm_args *args);
enum fm_status fm_cmd_inspect(const struct fm_args *args);
enum fm_status fm_cmd_recipe(const struct fm_args *args);
enum fm_status fm_cmd_models(const struct fm_args *args);
enum fm_status fm_cmd_info(const struct fm_args *args);
enum fm_status fm_cmd_completion(const struct fm_args *args);
enum fm_status fm_cmd_help(const struct fm_args *args);

#endif
