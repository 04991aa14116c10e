// What every command does before and after its own work: see common.h.
#include "cli/common.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Bytes of the well-formed UTF-8 sequence at `s` (Unicode 15, table 3-7), or 0.
static int utf8_length(const unsigned char *s)
{
    if (s[0] < 0x80)
        return 1;
    int length = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || // overlong; surrogates
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))   // overlong; > U+10FFFF
        return 0;
    return length;
}

void fm_clean_append(struct fm_text *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    while (*s) {
        int length = utf8_length(s);
        bool line_end = s[0] == '\n' || (s[0] == '\r' && s[1] == '\n'); // the latter: CSV's
        bool control = (s[0] < 0x20 && !line_end) || s[0] == 0x7f ||
                       (length == 2 && s[0] == 0xc2 && s[1] < 0xa0); // C0, DEL, C1
        if (length == 0 || control)
            fm_text_append(out, "\xef\xbf\xbd");
        else
            fm_text_append_bytes(out, (const char *)s, (size_t)length);
        s += length ? length : 1;
    }
}

static enum fm_status write_all(const char *data, size_t size)
{
    if (fwrite(data, 1, size, stdout) != size)
        return fm_fail(FM_IO, "cannot write to standard output: %s", strerror(errno));
    return FM_OK;
}

enum fm_status fm_print_text(struct fm_text *text)
{
    struct fm_text clean = {0};
    enum fm_status status = FM_OK;
    fm_clean_append(&clean, fm_text_cstr(text));
    if (text->failed || clean.failed)
        status = fm_fail(FM_MEMORY, "out of memory while printing the result");
    else
        status = write_all(fm_text_cstr(&clean), clean.length);
    fm_text_free(&clean);
    fm_text_free(text);
    return status;
}

enum fm_status fm_print_table(const struct fm_table *table, enum fm_format format)
{
    struct fm_text text = {0};
    enum fm_status status = fm_table_print(table, format, &text);
    if (status == FM_OK)
        return fm_print_text(&text);
    fm_text_free(&text);
    return status;
}

enum fm_status fm_print_json(json_t *json)
{
    struct fm_text text = {0};
    char *dump = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(json);
    if (!dump)
        return fm_fail(FM_MEMORY, "out of memory while printing JSON");
    fm_text_append(&text, "%s\n", dump);
    free(dump);
    return fm_print_text(&text);
}

enum fm_status fm_print_end(void)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    if (fclose(stdout) != 0 || failed)
        return fm_fail(FM_IO, "cannot write to standard output: %s",
            errno ? strerror(errno) : "an earlier write failed");
    return FM_OK;
}

void fm_describe_engine(const struct fm_engine *engine, struct fm_text *out)
{
    struct fm_text text = {0};
    fm_text_append(&text, "%s: %s", engine->api->name, engine->info.name);
    if (engine->info.details[0])
        fm_text_append(&text, ", %s", engine->info.details);
    if (engine->info.libraries[0])
        fm_text_append(&text, ", %s", engine->info.libraries);
    fm_clean_append(out, fm_text_cstr(&text));
    fm_text_free(&text);
}

static void note_session(const struct fm_session *session)
{
    struct fm_text line = {0};
    char train[32], test[32], duration[32];
    fm_group_digits(session->dataset.train.count, train);
    fm_group_digits(session->dataset.test.count, test);
    fm_duration(session->dataset.load_seconds, duration);
    fm_clean_append(&line, session->dataset.directory);
    fm_note("data: %s, %s images to train, select and calibrate on, %s to test on, %d classes, "
            "read in %s",
        fm_text_cstr(&line), train, test, session->dataset.classes, duration);
    fm_text_free(&line);
}

enum fm_status fm_session_open(const struct fm_args *args, struct fm_session *session)
{
    *session = (struct fm_session){0};
    const struct fm_device_options options = {.threads = args->threads};
    fm_log_set_quiet(args->quiet);
    FM_TRY(fm_engine_open(args->backend, &options, &session->engine));

    struct fm_text line = {0};
    fm_describe_engine(&session->engine, &line);
    fm_note("%s", fm_text_cstr(&line));
    fm_text_free(&line);

    enum fm_status status;
    FM_TRY_GOTO(status, fm_precision_parse(args->precision, &session->engine, &session->precision),
        close_engine);
    FM_TRY_GOTO(status, fm_dataset_open(args->data, &session->dataset), close_engine);
    FM_TRY_GOTO(status,
        fm_split_make(&session->dataset.train, session->dataset.classes, &session->split),
        close_dataset);
    note_session(session);
    return FM_OK;
close_dataset:
    fm_dataset_close(&session->dataset);
close_engine:
    fm_engine_close(&session->engine);
    return status;
}

void fm_session_close(struct fm_session *session)
{
    fm_split_free(&session->split);
    fm_dataset_close(&session->dataset);
    fm_engine_close(&session->engine);
}

enum fm_status fm_resolve_recipe(
    const struct fm_args *args, const char *model, struct fm_recipe *recipe)
{
    FM_TRY(fm_recipe_load(args->recipe, model, recipe));
    for (int i = 0; i < args->recipe_flag_count; i++)
        FM_TRY(fm_recipe_set(recipe, args->recipe_flags[i].field, args->recipe_flags[i].text));
    return fm_recipe_check(recipe);
}
