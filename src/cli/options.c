// The options as tables: all that the parser, help, man pages and completion know of them.
#include "cli/options.h"

#include "app/evaluation.h"
#include "app/export/export.h"
#include "data/pictures/picture.h"
#include "net/zoo.h"
#include "report/table.h"
#include "run/run.h"

#include <stddef.h>
#include <string.h>

// The registry's names with "auto" before them; a test holds the two lists together.
static const char *const backend_choices[] = {"auto", "cpu", "cuda", NULL};
static const char *const precision_choices[] = {"auto", "fp32", "bf16", "fp16", NULL};

#define AT(member) offsetof(struct fm_args, member)

const struct fm_option fm_model_options[] = {
    {"model", "NAME", FM_OPTION_NAME, AT(model), 0, 0, fm_zoo_names,
        "the model to train (required, but with --resume)"},
    {0}};

const struct fm_option fm_training_options[] = {
    {"recipe", "NAME", FM_OPTION_RECIPE, AT(recipe), 0, 0, NULL,
        "best, quick, reference, speedrun, or a recipe file (default: quick)"},
    {"seed", "N", FM_OPTION_INT64, AT(seed), 0, 9e15, NULL,
        "seed of every random number (default: 1)"},
    {"precision", "NAME", FM_OPTION_NAME, AT(precision), 0, 0, precision_choices,
        "what is computed in; auto is fp16 on a GPU, on a CPU bf16 where it has it, else fp32; a "
        "CPU has fp16 by rounding alone (default: auto)"},
    {"emulate", NULL, FM_OPTION_FLAG, AT(emulate), 0, 0, NULL,
        "compute bf16 or fp16 by rounding fp32: no faster, but on any processor"},
    {"resident", NULL, FM_OPTION_FLAG, AT(resident), 0, 0, NULL,
        "keep the whole data set in a GPU's memory, rather than send it batch by batch"},
    {"checkpoint-seconds", "S", FM_OPTION_REAL, AT(checkpoint_seconds), 0, 1e6, NULL,
        "write a checkpoint every so many seconds, not only after an epoch (default: 60; 0: only "
        "then)"},
    {"max-minutes", "M", FM_OPTION_REAL, AT(max_minutes), 0.001, 100000, NULL,
        "end a training with the epoch in which this time is reached (default: no limit)"},
    {"tensorboard", NULL, FM_OPTION_FLAG, AT(tensorboard), 0, 0, NULL,
        "write event files for TensorBoard beside the run"},
    {"trace", "FILE", FM_OPTION_FILE, AT(trace), 0, 0, NULL,
        "write what the threads did when, for Perfetto (default: no trace)"},
    {0}};

const struct fm_option fm_train_options[] = {{"out", "DIR", FM_OPTION_DIR, AT(out), 0, 0, NULL,
                                                 "the run folder (default: runs/<model>-<time>)"},
    {"force", NULL, FM_OPTION_FLAG, AT(force), 0, 0, NULL, "replace the run that is in the folder"},
    {"full", NULL, FM_OPTION_FLAG, AT(full), 0, 0, NULL,
        "train on all training images, none held out; keeps the last epoch's weights"},
    {"seeds", "N", FM_OPTION_INT, AT(seeds), 1, 1000, NULL,
        "train N times, with seed, seed + 1, ...; mean and deviation in one table (default: 1)"},
    {"teacher", "RUN", FM_OPTION_DIRS, AT(teachers), 0, 0, NULL,
        "train on what this finished run says of the images, too (distillation); given up to 8 "
        "times, on the mean of what they say; beside --resume: where the teachers are now"},
    {"teacher-share", "X", FM_OPTION_REAL, AT(teacher_share), FM_TEACHER_SHARE_MIN, 1, NULL,
        "with --teacher: the teachers' share of each target, 0.001 to 1; the rest is the label's "
        "(default: 0.9)"},
    {"resume", "DIR", FM_OPTION_DIR, AT(resume), 0, 0, NULL,
        "go on with the run, or the runs of --seeds, in this folder"},
    {"strict", NULL, FM_OPTION_FLAG, AT(strict), 0, 0, NULL,
        "with --resume: refuse where backend, device, threads, libraries or plans are others than "
        "before"},
    {0}};

const struct fm_option fm_compare_options[] = {
    {"models", "A,B,...", FM_OPTION_MODELS, AT(models), 0, 0, fm_zoo_names,
        "the rows, in this order (default: simple,deeper,vgg16)"},
    {"runs", "DIR", FM_OPTION_DIR, AT(runs), 0, 0, NULL,
        "where finished runs are looked for and new ones made (default: runs)"},
    {"out", "DIR", FM_OPTION_DIR, AT(out), 0, 0, NULL,
        "folder of the comparison's files (default: <runs>/compare-<time>)"},
    {"force", NULL, FM_OPTION_FLAG, AT(force), 0, 0, NULL,
        "replace the comparison that is in the folder"},
    {"fresh", NULL, FM_OPTION_FLAG, AT(fresh), 0, 0, NULL, "train every row, reuse no run"}, {0}};

const struct fm_option fm_eval_options[] = {
    {"split", "NAME", FM_OPTION_CHOICE, AT(split), 0, 0, fm_part_names,
        "the images to evaluate on (default: test)"},
    {0}};

const struct fm_option fm_recipe_options[] = {
    {"model", "NAME", FM_OPTION_NAME, AT(model), 0, 0, fm_zoo_names,
        "print the values for this model alone"},
    {0}};

const struct fm_option fm_data_options[] = {
    {"data", "DIR", FM_OPTION_DIR, AT(data), 0, 0, NULL,
        "folder of the four data files, or of pictures in folders train/<class> (default: "
        "that of the RUN or of --resume; without one $FMNIST_DATA, the user's data folder, "
        "Debian's)"},
    {0}};

const struct fm_option fm_device_options[] = {
    {"backend", "NAME", FM_OPTION_NAME, AT(backend), 0, 0, backend_choices,
        "what computes (default: auto, a GPU where one can be used, else the processor)"},
    {"threads", "N", FM_OPTION_INT, AT(threads), 1, 4096, NULL,
        "threads of the CPU backend (default: one for each core)"},
    {"device", "N", FM_OPTION_INT, AT(device), 0, 255, NULL,
        "which of several GPUs computes, counted from 0 (default: 0)"},
    {0}};

const struct fm_option fm_gpu_options[] = {
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

const struct fm_option fm_quiet_options[] = {{"quiet", NULL, FM_OPTION_FLAG, AT(quiet), 0, 0, NULL,
                                                 "print the result and errors, nothing else"},
    {0}};

const struct fm_option fm_format_options[] = {
    {"format", "NAME", FM_OPTION_CHOICE, AT(format), 0, 0, fm_format_names,
        "how the result is printed (default: text)"},
    {0}};

const struct fm_option fm_out_options[] = {
    {"out", "DIR", FM_OPTION_DIR, AT(out), 0, 0, NULL, "folder that the files go to"},
    {"force", NULL, FM_OPTION_FLAG, AT(force), 0, 0, NULL,
        "replace what an earlier call has put there"},
    {0}};

const struct fm_option fm_source_options[] = {
    {"from", "FILE", FM_OPTION_FILE, AT(list), 0, 0, NULL,
        "a file with the path of an image on each line; '-' reads it from standard input"},
    {"convert", "NAME", FM_OPTION_CHOICE, AT(convert), 0, 0, fm_convert_names,
        "what becomes of an image on its way to 28x28: auto takes one of 28x28 as it is and "
        "converts "
        "all others as photographs, photo converts all, none takes none but 28x28 (default: auto)"},
    {0}};

const struct fm_option fm_predict_options[] = {
    {"top", "K", FM_OPTION_INT, AT(top), 1, 256, NULL,
        "name the K most likely classes of each image (default: 1)"},
    {"show", "DIR", FM_OPTION_DIR, AT(show), 0, 0, NULL,
        "write what the network sees of each image, as a PNG of 28x28, into this folder"},
    {"force", NULL, FM_OPTION_FLAG, AT(force), 0, 0, NULL,
        "with --show: replace files of the same name"},
    {0}};

const struct fm_option fm_label_options[] = {
    {"precision", "P", FM_OPTION_REAL, AT(least), 0.5, 0.99999, NULL,
        "the share of right labels, at least, among those given without a person (default: 0.99)"},
    {"confidence", "C", FM_OPTION_REAL, AT(confidence), 0.5, 0.9999, NULL,
        "how certainly that holds, over the draw of the calibration images (default: 0.95)"},
    {"per-class", NULL, FM_OPTION_FLAG, AT(per_class), 0, 0, NULL,
        "a threshold for each class, so that the precision holds in each"},
    {"evaluate", NULL, FM_OPTION_FLAG, AT(evaluate), 0, 0, NULL,
        "measure on the test images what would be labelled, how well, and what that saves"},
    {"cost", "C", FM_OPTION_REAL, AT(cost), 0, 1e6, NULL,
        "what a person's label costs, in any currency (default: 0.05)"},
    {"reviewed", "FILE", FM_OPTION_FILE, AT(reviewed), 0, 0, NULL,
        "people's answers, as the review page saves them: writes labels.csv from both"},
    {0}};

const struct fm_option fm_audit_options[] = {
    {"folds", "K", FM_OPTION_INT, AT(folds), 2, 20, NULL,
        "networks trained, each on all training images but its fold (default: 4)"},
    {"plant", "SHARE", FM_OPTION_REAL, AT(plant), 0, 0.5, NULL,
        "change this share of the training labels first and tell how many of them are found"},
    {"seed", "N", FM_OPTION_INT64, AT(seed), 0, 9e15, NULL,
        "seed of every random number (default: 1)"},
    {0}};

const struct fm_option fm_drift_options[] = {
    {"level", "A", FM_OPTION_REAL, AT(level), 0.0001, 0.5, NULL,
        "how often images that have not drifted may be called drifted (default: 0.05)"},
    {0}};

const struct fm_option fm_bench_options[] = {
    {"model", "NAME", FM_OPTION_NAME, AT(model), 0, 0, fm_zoo_names,
        "a model with initial weights, in place of a run's"},
    {"batches", "A,B,...", FM_OPTION_TEXT, AT(batches), 0, 0, NULL,
        "batch sizes of predictions (default: 1,2,4,8,16,32,64,128,256,512,1024)"},
    {"train-batches", "A,B,...", FM_OPTION_TEXT, AT(train_batches), 0, 0, NULL,
        "batch sizes of training (default: 256, and a run's own)"},
    {"precision", "NAME", FM_OPTION_NAME, AT(precision), 0, 0, precision_choices,
        "what is computed in (default: a run's; else auto, as of train)"},
    {"emulate", NULL, FM_OPTION_FLAG, AT(emulate), 0, 0, NULL,
        "compute bf16 or fp16 by rounding fp32: its numbers, not its speed"},
    {"versus", "A,B,...", FM_OPTION_TEXT, AT(versus), 0, 0, NULL,
        "measure these beside it: fp32, bf16, fp16, unfused, fused, or two of these as in "
        "fp32+unfused"},
    {"unfused", NULL, FM_OPTION_FLAG, AT(unfused), 0, 0, NULL,
        "one operation at a time, nothing fused and nothing replayed"},
    {"profile", NULL, FM_OPTION_FLAG, AT(profile), 0, 0, NULL,
        "the time, FLOP/s and bytes/s of each layer and pass, too"},
    {"seconds", "S", FM_OPTION_REAL, AT(seconds), 0.01, 3600, NULL,
        "time spent on each figure (default: 2)"},
    {"resident", NULL, FM_OPTION_FLAG, AT(resident), 0, 0, NULL,
        "training: a GPU keeps the images, and batches are gathered there"},
    {"start", NULL, FM_OPTION_FLAG, AT(start), 0, 0, NULL,
        "predict a single image, and tell how long it took to get there: what is measured as "
        "start-up time, in this process"},
    {0}};

const struct fm_option fm_transfer_options[] = {
    {"weights", "FILE", FM_OPTION_FILE, AT(weights), 0, 0, NULL,
        "vgg16: begin with the convolutions of this file: Keras's VGG16 (.h5), torchvision's or "
        "timm's (.safetensors), or one of fmnist's own"},
    {"input-size", "N", FM_OPTION_INT, AT(input_size), 32, 64, NULL,
        "vgg16: pixels each way that images are resized to: 32, 48 or 64 (default: 32)"},
    {"base-rate", "X", FM_OPTION_REAL, AT(base_rate), 0, 1, NULL,
        "with --mode finetune: the learning rate of the file's layers, as a part of the others' "
        "(default: 0.1)"},
    {"unfreeze", "NAME", FM_OPTION_CHOICE, AT(unfreeze), 0, 0, fm_unfreeze_names,
        "with --mode finetune: train the last block of the file's layers, or all (default: last)"},
    {"feature-views", "K", FM_OPTION_INT, AT(feature_views), 1, 1000, NULL,
        "with --mode frozen: compute the features of K augmented views of each image, which the "
        "epochs take in turn (default: of the images as they are)"},
    {"feature-cache", "DIR", FM_OPTION_DIR, AT(feature_cache), 0, 0, NULL,
        "folder that computed features are kept in (default: $XDG_CACHE_HOME/fmnist or "
        "~/.cache/fmnist)"},
    {"no-feature-cache", NULL, FM_OPTION_FLAG, AT(no_feature_cache), 0, 0, NULL,
        "keep none: features are computed anew at every start"},
    {0}};

const struct fm_option fm_mode_options[] = {
    {"mode", "NAME", FM_OPTION_CHOICE, AT(mode), 0, 0, fm_transfer_mode_names,
        "what becomes of --weights: frozen trains the head alone, finetune the base, too; scratch "
        "is training without weights (default: frozen with --weights, else scratch)"},
    {0}};

const struct fm_option fm_export_options[] = {
    {"format", "NAME", FM_OPTION_CHOICE, AT(export_format), 0, 0, fm_export_format_names,
        "what is written: onnx, safetensors (with a PyTorch module) or h5 (Keras) (default: onnx)"},
    {"triton", "DIR", FM_OPTION_DIR, AT(triton), 0, 0, NULL,
        "lay the ONNX file out in this folder as a model of Triton Inference Server"},
    {0}};

char fm_option_letter(const char *name)
{
    return strcmp(name, "out") == 0 ? 'o' : strcmp(name, "help") == 0 ? 'h' : '\0';
}
