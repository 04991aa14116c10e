// The commands as a table: what each is called, takes and is for.
#include "cli/args.h"

#include "cli/completion.h"
#include "cli/options.h"
#include "net/zoo.h"

#include <limits.h>
#include <string.h>

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
    "fmnist eval trained-elsewhere.safetensors",
    NULL,
};
static const char *const compare_examples[] = {
    "fmnist compare",
    "fmnist compare --recipe reference --models simple,deeper",
    "fmnist compare --max-minutes 2 --format markdown",
    "fmnist compare --weights vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
    NULL,
};
static const char *const report_examples[] = {
    "fmnist report runs/deeper -o report",
    "fmnist report runs/simple runs/deeper runs/vgg16 -o report",
    NULL,
};
static const char *const bench_examples[] = {
    "fmnist bench runs/deeper",
    "fmnist bench --model simple --batches 1,256 --format json",
    "fmnist bench --model deeper --versus fp32,unfused,fp32+unfused -o bench",
    NULL,
};
static const char *const predict_examples[] = {
    "fmnist predict runs/deeper shirt.jpg",
    "fmnist predict runs/deeper pictures --top 3 --format csv",
    "fmnist predict runs/deeper - --show seen < shoe.png",
    NULL,
};
static const char *const label_examples[] = {
    "fmnist label runs/deeper pictures -o labelled",
    "fmnist label runs/deeper pictures --reviewed reviewed.csv -o labelled --force",
    "fmnist label runs/deeper --evaluate --precision 0.98",
    NULL,
};
static const char *const audit_examples[] = {
    "fmnist audit runs/deeper -o audit",
    "fmnist audit runs/simple --plant 0.02",
    NULL,
};
static const char *const drift_examples[] = {
    "fmnist drift runs/deeper pictures",
    "fmnist drift runs/deeper pictures --level 0.01 -o drift --force",
    "fmnist drift runs/deeper pictures --quiet --format json > drift.json || echo look",
    NULL,
};
static const char *const export_examples[] = {
    "fmnist export runs/deeper --format onnx",
    "fmnist export runs/deeper --format safetensors -o torch",
    "fmnist export runs/deeper --triton models",
    NULL,
};
static const char *const inspect_examples[] = {
    "fmnist inspect vgg16.safetensors",
    "fmnist inspect runs/deeper/model.safetensors --format json",
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
            "--device, --resident, --plan-cache, --no-plan-cache, --weights, --teacher,\n"
            "--feature-cache, --no-feature-cache, --max-minutes, --checkpoint-seconds,\n"
            "--strict, --tensorboard, --trace, --quiet and --format. Moved to another\n"
            "backend it ends in other bits. Of a finished run it prints the result again."
            "\n\n"
            "With --teacher RUN a training learns from what a finished run says of each image,\n"
            "as it is moved, mirrored and erased in that step, beside its label. The teacher must\n"
            "have the same data, and must not have been trained on images held out here.",
        .recipe = true,
        .required = "model",
        .instead = "resume",
        .options = {fm_model_options, fm_training_options, fm_train_options, fm_mode_options,
            fm_transfer_options, fm_data_options, fm_device_options, fm_gpu_options,
            fm_quiet_options, fm_format_options},
        .examples = train_examples,
        .run = fm_cmd_train},
    {.name = "eval",
        .summary = "evaluate a run: accuracy, classes, confusion, calibration",
        .description =
            "Reads the weights of a finished run and evaluates them: accuracy, precision,\n"
            "recall and F1 of each class, the confusion matrix (also as a picture in the run\n"
            "folder, if that can be written to), the most confused pairs, expected calibration\n"
            "error (ECE) and negative log-likelihood (NLL).\n\n"
            "Without --data the run's own data are taken, or those found elsewhere if they are\n"
            "gone. Data that are not the run's must have its classes, by name and in the same\n"
            "order, and the result says that they are others.\n\n"
            "RUN may be a weights file alone, trained elsewhere, too, if it has the names and\n"
            "metadata of a run's model.safetensors; it is computed in fp32. If it says that it\n"
            "was trained with --full, no split of the training images is taken for held out.",
        .operand = "RUN",
        .operand_type = FM_OPTION_FILE,
        .operand_required = true,
        .options = {fm_eval_options, fm_data_options, fm_device_options, fm_gpu_options,
            fm_quiet_options, fm_format_options},
        .examples = eval_examples,
        .run = fm_cmd_eval},
    {.name = "compare",
        .summary = "train what is missing and compare the models",
        .description =
            "Trains the models, reusing finished runs of the same configuration and going on\n"
            "with unfinished ones, and compares them in a table, then what the published\n"
            "original claims with what is measured here. Both are also written to one folder as\n"
            "Markdown, CSV, JSON and PNG, with the runs' page, report.html (as of report).\n"
            "A reused run's times and memory are those that it was measured with, which a note\n"
            "names where device or threads are others here; --fresh measures anew.\n\n"
            "Without --weights vgg16 is trained from scratch. With it there are two rows of\n"
            "vgg16: the original's, whose base is frozen, and one that is fine-tuned, which\n"
            "alone --unfreeze and --base-rate are for, as --feature-views is for the first.",
        .recipe = true,
        .options = {fm_compare_options, fm_training_options, fm_transfer_options, fm_data_options,
            fm_device_options, fm_gpu_options, fm_quiet_options, fm_format_options},
        .examples = compare_examples,
        .run = fm_cmd_compare},
    {.name = "report",
        .summary = "a page of pictures of finished runs",
        .description =
            "Draws what finished runs have learned and what they cost: curves, bars, confusion\n"
            "matrices, reliability, sample predictions, the most confident mistakes, accuracy\n"
            "against parameters and latency, coverage against accuracy. One HTML page that\n"
            "needs no network, report.html in the folder of --out (report-<time> if none is\n"
            "named), and beside it each picture as PNG and SVG. All runs must have been\n"
            "trained on the same data.",
        .operand = "RUN...",
        .operand_type = FM_OPTION_DIR,
        .operand_required = true,
        .operands_least = 1,
        .operands_most = INT_MAX,
        .more_type = FM_OPTION_DIR,
        .options = {fm_out_options, fm_data_options, fm_device_options, fm_gpu_options,
            fm_quiet_options},
        .examples = report_examples,
        .run = fm_cmd_report},
    {.name = "bench",
        .summary = "latency, throughput, memory, start and energy of a model",
        .description =
            "Times a run's network, or a model with initial weights, on batches of 1 to 1024\n"
            "images: percentiles of the latency, images a second, training images a second,\n"
            "peak memory, start-up time and, on a GPU that tells it, energy.\n"
            "\n"
            "What --versus names is measured beside it, in turn: a precision, 'unfused' (one\n"
            "operation at a time, in the base's precision) or both. An item that the device\n"
            "does not have is left out, with the reason. Without a data set random images do.\n"
            "On a processor a single image's time depends on the weights, too, as inputs of a\n"
            "dense layer that are zero cost nothing: a trained RUN tells it.",
        .operand = "RUN",
        .operand_type = FM_OPTION_DIR,
        .options = {fm_bench_options, fm_out_options, fm_data_options, fm_device_options,
            fm_gpu_options, fm_quiet_options, fm_format_options},
        .examples = bench_examples,
        .run = fm_cmd_bench},
    {.name = "predict",
        .summary = "label pictures: PNG and JPEG files, folders, standard input",
        .description =
            "Brings each picture to what the network was trained on (trimmed, its longest edge\n"
            "28 pixels, dark background, grey; one of 28x28 is taken as it is, see --convert) and\n"
            "names the most likely classes with their probabilities. IMAGE is a file, a folder\n"
            "(its *.png, *.jpg, *.jpeg, *.jpe and *.jfif), a file of images in the data set's own\n"
            "format, or '-' for an image from standard input. One that cannot be classified is\n"
            "told of, the rest goes on, and the exit status is 1. RUN may be a weights file alone.",
        .operand = "RUN [IMAGE...]",
        .operand_type = FM_OPTION_FILE,
        .operand_required = true,
        .operands_least = 1,
        .operands_most = INT_MAX,
        .more_type = FM_OPTION_FILE,
        .options = {fm_predict_options, fm_source_options, fm_device_options, fm_gpu_options,
            fm_quiet_options, fm_format_options},
        .examples = predict_examples,
        .run = fm_cmd_predict},
    {.name = "label",
        .summary = "label what is sure, and route the rest to people",
        .description =
            "Gives labels to the pictures that the network is sure enough of, so that at least\n"
            "the share asked for is right, and writes the rest down for people: auto.csv,\n"
            "review.csv and review.html, a page to label them on. What that saves, reviewed.csv,\n"
            "makes labels.csv with --reviewed. The thresholds come from the calibration images,\n"
            "which the run was not trained on, with a bound that holds for all thresholds tried,\n"
            "as long as pictures are like those images. SOURCE is as predict's IMAGE, and those\n"
            "of 28x28 are taken as they are (--convert). What cannot be classified stands in\n"
            "failed.csv, the rest goes on, and the exit status is 1. --evaluate says what the\n"
            "promise is worth on the test images.",
        .operand = "RUN [SOURCE...]",
        .operand_type = FM_OPTION_DIR,
        .operand_required = true,
        .operands_least = 1,
        .operands_most = INT_MAX,
        .more_type = FM_OPTION_FILE,
        .options = {fm_label_options, fm_source_options, fm_out_options, fm_data_options,
            fm_device_options, fm_gpu_options, fm_quiet_options, fm_format_options},
        .examples = label_examples,
        .run = fm_cmd_label},
    {.name = "audit",
        .summary = "find training labels that are wrong, and near duplicates",
        .description =
            "Trains the run's model, with its recipe, on folds of the training images, and finds\n"
            "labels that the networks which have not seen them contradict (confident learning),\n"
            "and pairs of images that are nearly the same, within the training images or across\n"
            "to the test images. Such images are in one fold: no network has seen a copy of what\n"
            "it judges. Labels are not changed: a page and two tables, issues.csv and\n"
            "duplicates.csv, are there to decide by. They go to RUN/audit (RUN/audit-planted)\n"
            "unless --out names a folder. The same command goes on with a stopped audit.",
        .operand = "RUN",
        .operand_type = FM_OPTION_DIR,
        .operand_required = true,
        .options = {fm_audit_options, fm_out_options, fm_data_options, fm_device_options,
            fm_gpu_options, fm_quiet_options, fm_format_options},
        .examples = audit_examples,
        .run = fm_cmd_audit},
    {.name = "drift",
        .summary = "tell whether new pictures are still like the training set",
        .description =
            "Compares pictures with the run's calibration images: the network's outputs, the\n"
            "images' statistics and how many are given each class, by tests that are corrected\n"
            "for their number. Prints each test with its effect size, and the images furthest\n"
            "off; -o DIR writes all of them (drift.csv), drift.json and a page to look at.\n\n"
            "Exit status 3 where the pictures have drifted, 0 where not, and 1 where not but some\n"
            "could not be compared. It takes at least five pictures and five calibration images.\n"
            "SOURCE is as predict's IMAGE, an IDX file of 28x28 images among others.",
        .operand = "RUN SOURCE...",
        .operand_type = FM_OPTION_DIR,
        .operand_required = true,
        .operands_least = 1,
        .operands_most = INT_MAX,
        .more_type = FM_OPTION_FILE,
        .options = {fm_drift_options, fm_source_options, fm_out_options, fm_data_options,
            fm_device_options, fm_gpu_options, fm_quiet_options, fm_format_options},
        .examples = drift_examples,
        .run = fm_cmd_drift},
    {.name = "export",
        .summary = "write a run's network for other programs: ONNX, PyTorch, Keras, Triton",
        .description =
            "Writes the network of a finished run, or of one of its weights files, so that other\n"
            "programs can run it on raw pictures: model.onnx for ONNX Runtime and others, with\n"
            "the normalisation, the classes and the accuracy in it; model.safetensors beside\n"
            "model.py, a PyTorch module that takes it; or model.h5, a Keras model. The files go\n"
            "to RUN/export, or to export beside a weights file, unless --out says where.",
        .operand = "RUN",
        .operand_type = FM_OPTION_DIR,
        .operand_required = true,
        .options = {fm_export_options, fm_out_options, fm_quiet_options},
        .examples = export_examples,
        .run = fm_cmd_export},
    {.name = "inspect",
        .summary = "say what a weights file is, and which model it fits",
        .description =
            "Says of a safetensors, HDF5 or ONNX file, whoever wrote it, what is in it: tensors,\n"
            "shapes, types, metadata, and which model of fmnist it fits. It judges by the\n"
            "headers; the tensors go into the checksum alone.",
        .operand = "FILE",
        .operand_type = FM_OPTION_FILE,
        .operand_required = true,
        .options = {fm_format_options},
        .examples = inspect_examples,
        .run = fm_cmd_inspect},
    {.name = "recipe",
        .summary = "list the recipes, or print one",
        .description =
            "Without a name, a line for each recipe that comes with fmnist. With a name, or the\n"
            "path of a file, all values of the recipe as JSON: written to a file (> mine.json)\n"
            "and changed, a recipe of one's own for --recipe ./mine.json.",
        .operand = "NAME",
        .operand_type = FM_OPTION_RECIPE,
        .options = {fm_recipe_options, fm_format_options},
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
        .options = {fm_format_options},
        .examples = models_examples,
        .run = fm_cmd_models},
    {.name = "info",
        .summary = "say what this build has and what this machine offers",
        .description =
            "Prints version and build; each backend with its device and its libraries, as\n"
            "compiled against and as found, or the reason why it cannot be used; the data\n"
            "found; the processor.",
        .options = {fm_data_options, fm_device_options, fm_format_options},
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
