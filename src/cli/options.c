// The commands and their options as tables: all that the parser and the help know of them.
#include "cli/args.h"

#include "cli/completion.h"

#include "app/evaluation.h"
#include "net/zoo.h"
#include "report/table.h"

#include <string.h>

// The registry's names with "auto" before them; a test holds the two lists together.
static const char *const backend_choices[] = {"auto", "cpu", "cuda", NULL};
static const char *const precision_choices[] = {"auto", "fp32", "bf16", "fp16", NULL};

#define AT(member) offsetof(struct fm_args, member)

static const struct fm_option model_options[] = {
    {"model", "NAME", FM_OPTION_NAME, AT(model), 0, 0, fm_zoo_names,
        "the model to train (required, but with --resume)"},
    {0}};

static const struct fm_option training_options[] = {
    {"recipe", "NAME", FM_OPTION_RECIPE, AT(recipe), 0, 0, NULL,
        "best, quick, reference, speedrun, or a recipe file (default: quick)"},
    {"seed", "N", FM_OPTION_INT64, AT(seed), 0, 9e15, NULL,
        "seed of every random number (default: 1)"},
    {"precision", "NAME", FM_OPTION_NAME, AT(precision), 0, 0, precision_choices,
        "what is computed in; auto is fp16 on a GPU, on a CPU bf16 where it has it, else fp32; a "
        "CPU "
        "has fp16 by rounding alone (default: auto)"},
    {"emulate", NULL, FM_OPTION_FLAG, AT(emulate), 0, 0, NULL,
        "compute bf16 or fp16 by rounding fp32: no faster, but on any processor"},
    {"resident", NULL, FM_OPTION_FLAG, AT(resident), 0, 0, NULL,
        "keep the whole data set in a GPU's memory, rather than send it batch by batch"},
    {"checkpoint-seconds", "S", FM_OPTION_REAL, AT(checkpoint_seconds), 0, 1e6, NULL,
        "write a checkpoint every so many seconds, not only after an epoch (default: 60; 0: only "
        "then)"},
    {"max-minutes", "M", FM_OPTION_REAL, AT(max_minutes), 0.001, 100000, NULL,
        "end a training with the epoch in which this time is reached (default: no limit)"},
    {"trace", "FILE", FM_OPTION_FILE, AT(trace), 0, 0, NULL,
        "write what the threads did when, for Perfetto (default: no trace)"},
    {0}};

static const struct fm_option train_options[] = {
    {"out", "DIR", FM_OPTION_DIR, AT(out), 0, 0, NULL,
        "the run folder (default: runs/<model>-<time>)"},
    {"force", NULL, FM_OPTION_FLAG, AT(force), 0, 0, NULL, "replace the run that is in the folder"},
    {"full", NULL, FM_OPTION_FLAG, AT(full), 0, 0, NULL,
        "train on all training images, none held out; keeps the last epoch's weights"},
    {"seeds", "N", FM_OPTION_INT, AT(seeds), 1, 1000, NULL,
        "train N times, with seed, seed + 1, ...; mean and deviation in one table (default: 1)"},
    {"resume", "DIR", FM_OPTION_DIR, AT(resume), 0, 0, NULL,
        "go on with the run, or the runs of --seeds, in this folder"},
    {"strict", NULL, FM_OPTION_FLAG, AT(strict), 0, 0, NULL,
        "with --resume: refuse where backend, device, threads, libraries or plans are others than "
        "before"},
    {0}};

static const struct fm_option compare_options[] = {
    {"models", "A,B,...", FM_OPTION_MODELS, AT(models), 0, 0, fm_zoo_names,
        "the rows, in this order (default: simple,deeper,vgg16)"},
    {"runs", "DIR", FM_OPTION_DIR, AT(runs), 0, 0, NULL,
        "where finished runs are looked for and new ones made (default: runs)"},
    {"out", "DIR", FM_OPTION_DIR, AT(out), 0, 0, NULL,
        "folder of the comparison's files (default: <runs>/compare-<time>)"},
    {"force", NULL, FM_OPTION_FLAG, AT(force), 0, 0, NULL,
        "replace the comparison that is in the folder"},
    {"fresh", NULL, FM_OPTION_FLAG, AT(fresh), 0, 0, NULL, "train every row, reuse no run"}, {0}};

static const struct fm_option eval_options[] = {
    {"split", "NAME", FM_OPTION_CHOICE, AT(split), 0, 0, fm_part_names,
        "the images to evaluate on (default: test)"},
    {0}};

static const struct fm_option recipe_options[] = {
    {"model", "NAME", FM_OPTION_NAME, AT(model), 0, 0, fm_zoo_names,
        "print the values for this model alone"},
    {0}};

static const struct fm_option data_options[] = {
    {"data", "DIR", FM_OPTION_DIR, AT(data), 0, 0, NULL,
        "folder of the four data files (default: eval, --resume: the run's own; else $FMNIST_DATA, "
        "the user's data folder, Debian's)"},
    {0}};

static const struct fm_option device_options[] = {
    {"backend", "NAME", FM_OPTION_NAME, AT(backend), 0, 0, backend_choices,
        "what computes (default: auto, a GPU where one can be used, else the processor)"},
    {"threads", "N", FM_OPTION_INT, AT(threads), 1, 4096, NULL,
        "threads of the CPU backend (default: one for each core)"},
    {"device", "N", FM_OPTION_INT, AT(device), 0, 255, NULL,
        "which of several GPUs computes, counted from 0 (default: 0)"},
    {0}};

static const struct fm_option gpu_options[] = {
    {"tf32", NULL, FM_OPTION_FLAG, AT(tf32), 0, 0, NULL,
        "a GPU may round the inputs of fp32 products to TF32, which has fewer digits"},
    {"allow-nondeterministic", NULL, FM_OPTION_FLAG, AT(nondeterministic), 0, 0, NULL,
        "a GPU may add in an order that changes from run to run: other bits each time"},
    {"workspace", "MIB", FM_OPTION_INT, AT(workspace), 1, 65536, NULL,
        "memory that an operation on a GPU may use beside its tensors, in MiB (default: 256)"},
    {"plan-cache", "DIR", FM_OPTION_DIR, AT(plan_cache), 0, 0, NULL,
        "folder that implementations chosen for a GPU are kept in (default: "
        "$XDG_CACHE_HOME/fmnist or ~/.cache/fmnist)"},
    {"no-plan-cache", NULL, FM_OPTION_FLAG, AT(no_plan_cache), 0, 0, NULL,
        "keep none: a GPU's implementations are chosen anew at every start"},
    {0}};

static const struct fm_option quiet_options[] = {
    {"quiet", NULL, FM_OPTION_FLAG, AT(quiet), 0, 0, NULL,
        "print the result and errors, nothing else"},
    {0}};

static const struct fm_option format_options[] = {
    {"format", "NAME", FM_OPTION_CHOICE, AT(format), 0, 0, fm_format_names,
        "how the result is printed (default: text)"},
    {0}};

static const char *const train_examples[] = {
    "fmnist train --model deeper",
    "fmnist train --model simple --recipe reference --epochs 3 --out runs/short",
    "fmnist train --model deeper --max-minutes 5 --format json",
    "fmnist train --model simple --recipe best --seeds 3 --out runs/best",
    "fmnist train --resume runs/best",
    NULL,
};
static const char *const eval_examples[] = {
    "fmnist eval runs/deeper-20261124-153012",
    "fmnist eval runs/short --split select --format json",
    NULL,
};
static const char *const compare_examples[] = {
    "fmnist compare",
    "fmnist compare --recipe reference --models simple,deeper",
    "fmnist compare --max-minutes 2 --format markdown",
    NULL,
};
static const char *const recipe_examples[] = {
    "fmnist recipe",
    "fmnist recipe best",
    "fmnist recipe best --model deeper",
    NULL,
};
static const char *const models_examples[] = {
    "fmnist models",
    "fmnist models deeper",
    "fmnist models --format json",
    NULL,
};
static const char *const info_examples[] = {
    "fmnist info",
    "fmnist info --format json",
    NULL,
};
static const char *const completion_examples[] = {
    "fmnist completion bash",
    "fmnist completion zsh",
    "fmnist completion fish",
    NULL,
};
static const char *const help_examples[] = {
    "fmnist help train",
    NULL,
};

const struct fm_command fm_commands[] = {
    {.name = "train",
        .summary = "train a model and leave a run folder",
        .description =
            "Trains a model on 54,000 of the 60,000 training images, measures it on 3,000\n"
            "held out for selection and, once, at the end, on the 10,000 test images. The run\n"
            "folder keeps the configuration, a line of JSON for each epoch, checkpoints, the\n"
            "weights and the result.\n\n"
            "A training that was stopped, by Ctrl-C, by SIGTERM (exit status 130 and 143) or by\n"
            "force, goes on with --resume DIR and ends in the same bits. --resume takes the\n"
            "configuration from the folder; beside it stand only --data, --backend, --threads,\n"
            "--device, --resident, --plan-cache, --no-plan-cache, --max-minutes,\n"
            "--checkpoint-seconds, --strict, --trace, --quiet and --format. Moved to another\n"
            "backend it ends in other bits. Of a finished run it prints the result again.",
        .recipe = true,
        .required = "model",
        .instead = "resume",
        .options = {model_options, training_options, train_options, data_options, device_options,
            gpu_options, quiet_options, format_options},
        .examples = train_examples,
        .run = fm_cmd_train},
    {.name = "eval",
        .summary = "evaluate a run: accuracy, classes, confusion, calibration",
        .description =
            "Reads the weights of a finished run and evaluates them: accuracy, precision,\n"
            "recall and F1 of each class, the confusion matrix (also as a picture in the run\n"
            "folder), the most confused pairs, expected calibration error (ECE) and negative\n"
            "log-likelihood (NLL).",
        .operand = "RUN",
        .operand_type = FM_OPTION_DIR,
        .operand_required = true,
        .options = {eval_options, data_options, device_options, gpu_options, quiet_options,
            format_options},
        .examples = eval_examples,
        .run = fm_cmd_eval},
    {.name = "compare",
        .summary = "train what is missing and compare the models",
        .description =
            "Trains the models, reusing finished runs of the same configuration and going on\n"
            "with unfinished ones, and compares them in a table, then what the published\n"
            "original claims with what is measured here. Both are also written to one folder as\n"
            "Markdown, CSV, JSON and PNG.",
        .recipe = true,
        .options = {compare_options, training_options, data_options, device_options, gpu_options,
            quiet_options, format_options},
        .examples = compare_examples,
        .run = fm_cmd_compare},
    {.name = "recipe",
        .summary = "list the recipes, or print one",
        .description =
            "Without a name, a line for each recipe that comes with fmnist. With a name, or the\n"
            "path of a file, all values of the recipe as JSON: written to a file (> mine.json)\n"
            "and changed, a recipe of one's own for --recipe ./mine.json.",
        .operand = "NAME",
        .operand_type = FM_OPTION_RECIPE,
        .options = {recipe_options, format_options},
        .examples = recipe_examples,
        .run = fm_cmd_recipe},
    {.name = "models",
        .summary = "list the models, or the layers of one",
        .description =
            "Without a name, a line for each model: parameters and multiply-accumulates\n"
            "(MACs) of a forward pass of one image. With a name, a line for each of its\n"
            "layers, and totals.",
        .operand = "NAME",
        .operand_type = FM_OPTION_NAME,
        .operand_choices = fm_zoo_names,
        .options = {format_options},
        .examples = models_examples,
        .run = fm_cmd_models},
    {.name = "info",
        .summary = "say what this build has and what this machine offers",
        .description =
            "Prints version and build; each backend with its device and its libraries, as\n"
            "compiled against and as found, or the reason why it cannot be used; the data\n"
            "found; the processor.",
        .options = {data_options, device_options, format_options},
        .examples = info_examples,
        .run = fm_cmd_info},
    {.name = "completion",
        .summary = "print a script for a shell's completion",
        .description =
            "Prints the script by which bash, zsh or fish completes the command line of\n"
            "fmnist. An installed fmnist has it in place already. Otherwise a shell reads it at\n"
            "its start: eval \"$(fmnist completion bash)\" in ~/.bashrc; source <(fmnist\n"
            "completion zsh) in ~/.zshrc, after compinit; fmnist completion fish | source in\n"
            "~/.config/fish/config.fish.",
        .operand = "SHELL",
        .operand_type = FM_OPTION_NAME,
        .operand_choices = fm_shell_names,
        .operand_required = true,
        .examples = completion_examples,
        .run = fm_cmd_completion},
    {.name = "help",
        .summary = "explain a command",
        .description = "Prints what a command does, its options and examples.",
        .operand = "COMMAND",
        .operand_type = FM_OPTION_COMMAND,
        .examples = help_examples,
        .run = fm_cmd_help},
    {0}};

const struct fm_command *fm_command_find(const char *name)
{
    for (const struct fm_command *command = fm_commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}
