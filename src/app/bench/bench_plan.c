// Lists with commas from the command line, checked before a device is opened.
#include "app/bench/bench_plan.h"

#include "backend/precision.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORD_MAX = 32,
    DEFAULT_BATCHES = 11 // 1 to 1024
};

// The part of `text` up to the next `separator`; *text goes on behind it, NULL after the last.
static enum fm_status next_word(
    const char *option, const char **text, char separator, char word[WORD_MAX])
{
    const char *end = strchr(*text, separator);
    size_t length = end ? (size_t)(end - *text) : strlen(*text);
    if (length == 0)
        return fm_fail(FM_USAGE, "%s: nothing stands where a value should", option);
    if (length >= WORD_MAX)
        return fm_fail(FM_USAGE, "%s: '%.*s...' is none of the values that it takes", option,
            WORD_MAX - 1, *text);
    memcpy(word, *text, length);
    word[length] = '\0';
    *text = end ? end + 1 : NULL;
    return FM_OK;
}

// ---- batches

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static enum fm_status parse_batches(
    const char *option, const char *text, struct fm_bench_batches *batches)
{
    char word[WORD_MAX];
    int64_t batch;
    while (text) {
        FM_TRY(next_word(option, &text, ',', word));
        FM_TRY(fm_parse_int(option, word, 1, FM_BENCH_BATCH_MOST, &batch));
        for (int i = 0; i < batches->count; i++)
            if (batches->sizes[i] == batch)
                return fm_fail(FM_USAGE, "%s: %s is named twice", option, word);
        if (batches->count == FM_BENCH_BATCHES_MAX)
            return fm_fail(FM_USAGE, "%s: more than %d", option, FM_BENCH_BATCHES_MAX);
        batches->sizes[batches->count++] = (int)batch;
    }
    qsort(batches->sizes, (size_t)batches->count, sizeof *batches->sizes, compare_ints);
    return FM_OK;
}

// ---- configurations

// One word of an item. Each kind stands in it at most once.
static enum fm_status take_word(const char *word, struct fm_bench_item *item, bool *fusion)
{
    static const char *const known[] = {"fp32", "bf16", "fp16", "fused", "unfused", NULL};
    for (int p = 0; p < FM_PRECISION_COUNT; p++)
        if (strcmp(word, fm_precision_name((enum fm_precision)p)) == 0) {
            if (item->precision >= 0)
                return fm_fail(FM_USAGE, "--versus: two precisions in one item");
            item->precision = p;
            return FM_OK;
        }
    if (strcmp(word, "fused") == 0 || strcmp(word, "unfused") == 0) {
        if (*fusion)
            return fm_fail(FM_USAGE, "--versus: one item is said twice to be fused or unfused");
        *fusion = true;
        item->unfused = word[0] == 'u';
        return FM_OK;
    }
    const char *near = fm_nearest_name(word, known);
    return fm_fail(FM_USAGE,
        "--versus: unknown '%s'%s%s%s; expected fp32, bf16, fp16, fused, unfused, or a precision "
        "and one of the latter as 'fp32+unfused'",
        word, near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static enum fm_status parse_item(const char *text, struct fm_bench_item *item)
{
    char word[WORD_MAX];
    bool fusion = false;
    *item = (struct fm_bench_item){.precision = -1};
    while (text) {
        FM_TRY(next_word("--versus", &text, '+', word));
        FM_TRY(take_word(word, item, &fusion));
    }
    return FM_OK;
}

static enum fm_status parse_versus(const char *text, struct fm_bench_plan *plan)
{
    char word[WORD_MAX];
    while (text) {
        struct fm_bench_item item;
        FM_TRY(next_word("--versus", &text, ',', word));
        FM_TRY(parse_item(word, &item));
        for (int i = 0; i < plan->versus_count; i++)
            if (plan->versus[i].precision == item.precision &&
                plan->versus[i].unfused == item.unfused)
                return fm_fail(FM_USAGE, "--versus: '%s' is named twice", word);
        if (plan->versus_count == FM_BENCH_VERSUS_MAX)
            return fm_fail(FM_USAGE, "--versus: more than %d items", FM_BENCH_VERSUS_MAX);
        plan->versus[plan->versus_count++] = item;
    }
    return FM_OK;
}

enum fm_status fm_bench_plan_parse(
    const char *batches, const char *train_batches, const char *versus, struct fm_bench_plan *plan)
{
    *plan = (struct fm_bench_plan){0};
    if (batches)
        FM_TRY(parse_batches("--batches", batches, &plan->predictions));
    else
        for (int i = 0; i < DEFAULT_BATCHES; i++)
            plan->predictions.sizes[plan->predictions.count++] = 1 << i;
    if (train_batches)
        FM_TRY(parse_batches("--train-batches", train_batches, &plan->training));
    return versus ? parse_versus(versus, plan) : FM_OK;
}

void fm_bench_side_name(
    enum fm_precision precision, bool emulated, bool unfused, char out[FM_BENCH_NAME_MAX])
{
    snprintf(out, FM_BENCH_NAME_MAX, "%s%s%s", fm_precision_name(precision),
        emulated ? "+emulated" : "", unfused ? "+unfused" : "");
}
