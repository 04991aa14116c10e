// People's answers come from the review page, or out of a spreadsheet that has had them in its
// hands: every row is held against the pictures and classes that there are, with its line.
#include "app/label/labelling.h"
#include "app/label/labelling_parts.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

// ---- CSV

struct reader {
    const char *path;
    const char *at, *end;
    int line;
};

enum field_end {
    FIELD_MORE, // a comma: another field of the row
    FIELD_LAST
};

static bool at_line_end(const struct reader *r)
{
    return r->at == r->end || *r->at == '\n' ||
           (*r->at == '\r' && (r->at + 1 == r->end || r->at[1] == '\n'));
}

static void skip_line_end(struct reader *r)
{
    if (r->at < r->end && *r->at == '\r')
        r->at++;
    if (r->at < r->end && *r->at == '\n')
        r->at++;
    r->line++;
}

static enum fm_status read_quoted(struct reader *r, struct fm_text *field)
{
    int begun = r->line;
    for (r->at++; r->at < r->end; r->at++) {
        if (*r->at == '"' && r->at + 1 < r->end && r->at[1] == '"')
            r->at++;
        else if (*r->at == '"') {
            r->at++;
            return FM_OK;
        }
        r->line += *r->at == '\n';
        fm_text_append_bytes(field, r->at, 1);
    }
    return fm_fail(FM_DATA, "%s:%d: a quote is opened and not closed", r->path, begun);
}

static enum fm_status read_field(struct reader *r, struct fm_text *field, enum field_end *end)
{
    field->length = 0; // of the field before
    if (field->data)
        field->data[0] = '\0';
    if (r->at < r->end && *r->at == '"')
        FM_TRY(read_quoted(r, field));
    else
        for (; r->at < r->end && *r->at != ',' && !at_line_end(r); r->at++)
            fm_text_append_bytes(field, r->at, 1);
    if (field->failed)
        return fm_fail(FM_MEMORY, "%s: out of memory", r->path);
    if (r->at < r->end && *r->at == ',') {
        r->at++;
        *end = FIELD_MORE;
        return FM_OK;
    }
    if (!at_line_end(r))
        return fm_fail(FM_DATA,
            "%s:%d: text behind a closing quote, expected a comma or the end "
            "of the line",
            r->path, r->line);
    *end = FIELD_LAST;
    return FM_OK;
}

// The columns that are wanted, or -1.
static enum fm_status read_heading(struct reader *r, int *name, int *label)
{
    struct fm_text field = {0};
    enum field_end end = FIELD_MORE;
    enum fm_status status = FM_OK;
    *name = *label = -1;
    for (int column = 0; status == FM_OK && end == FIELD_MORE; column++) {
        status = read_field(r, &field, &end);
        if (status == FM_OK && strcmp(fm_text_cstr(&field), "name") == 0)
            *name = column;
        if (status == FM_OK && strcmp(fm_text_cstr(&field), "label") == 0)
            *label = column;
    }
    fm_text_free(&field);
    FM_TRY(status);
    if (*name < 0 || *label < 0)
        return fm_fail(FM_DATA,
            "%s:1: no column \"%s\": expected a CSV file whose first line is 'name,label', as the "
            "review page saves it",
            r->path, *name < 0 ? "name" : "label");
    skip_line_end(r);
    return FM_OK;
}

// A row's two fields, "" where it ends before them.
static enum fm_status read_row(struct reader *r, int name, int label, struct fm_answer *answer)
{
    struct fm_text field = {0};
    enum field_end end = FIELD_MORE;
    enum fm_status status = FM_OK;
    *answer = (struct fm_answer){.name = strdup(""), .label = strdup(""), .line = r->line};
    for (int column = 0; status == FM_OK && end == FIELD_MORE; column++) {
        status = read_field(r, &field, &end);
        char **target = column == name ? &answer->name : column == label ? &answer->label : NULL;
        if (status != FM_OK || !target)
            continue;
        free(*target);
        *target = strdup(fm_text_cstr(&field));
    }
    fm_text_free(&field);
    if (status == FM_OK && (!answer->name || !answer->label))
        status = fm_fail(FM_MEMORY, "%s: out of memory", r->path);
    if (status == FM_OK)
        skip_line_end(r);
    return status;
}

static enum fm_status read_rows(struct reader *r, struct fm_answers *answers)
{
    uint32_t capacity = 0;
    int name, label;
    FM_TRY(read_heading(r, &name, &label));
    while (r->at < r->end) {
        if (at_line_end(r)) { // an empty line
            skip_line_end(r);
            continue;
        }
        if (answers->count == capacity) {
            capacity = capacity ? 2 * capacity : 64;
            struct fm_answer *grown = realloc(answers->rows, capacity * sizeof *grown);
            if (!grown)
                return fm_fail_memory("people's answers", capacity * sizeof *grown);
            answers->rows = grown;
        }
        FM_TRY(read_row(r, name, label, &answers->rows[answers->count++]));
    }
    return FM_OK;
}

enum fm_status fm_answers_read(const char *path, struct fm_answers *answers)
{
    unsigned char *data;
    size_t size;
    *answers = (struct fm_answers){0};
    FM_TRY(fm_file_read(path, &data, &size));
    struct reader reader = {path, (const char *)data, (const char *)data + size, 1};
    if (size >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) // a spreadsheet's byte order mark
        reader.at += 3;
    enum fm_status status = memchr(data, '\0', size)
                                ? fm_fail(FM_DATA, "%s: holds a zero byte: no CSV file", path)
                                : read_rows(&reader, answers);
    free(data);
    if (status != FM_OK)
        fm_answers_free(answers);
    return status;
}

void fm_answers_free(struct fm_answers *answers)
{
    for (uint32_t i = 0; i < answers->count; i++) {
        free(answers->rows[i].name);
        free(answers->rows[i].label);
    }
    free(answers->rows);
    *answers = (struct fm_answers){0};
}

// ---- Beside the pictures

struct named {
    const char *name;
    uint32_t index;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->index < y->index ? -1 : x->index > y->index;
}

// The first of those of a name, or NULL. CSV files give a name that a spreadsheet would take for a
// formula an apostrophe, which is not part of it.
static const struct named *find(const struct named *all, uint32_t count, const char *name)
{
    for (int quoted = 0; quoted <= (name[0] == '\''); quoted++) {
        const char *wanted = name + quoted;
        uint32_t low = 0, high = count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (strcmp(all[middle].name, wanted) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < count && strcmp(all[low].name, wanted) == 0)
            return &all[low];
    }
    return NULL;
}

static enum fm_status class_of(
    const struct fm_labelling *l, const struct fm_answer *answer, int *class)
{
    const struct fm_run_data *data = &l->config.data;
    const char *names[FM_CLASSES_MAX + 1] = {NULL};
    const char *label = answer->label;
    for (int quoted = 0; quoted <= (label[0] == '\''); quoted++)
        for (*class = 0; *class < data->classes; ++*class)
            if (strcmp(data->class_names[*class], label + quoted) == 0)
                return FM_OK;
    for (int k = 0; k < data->classes; k++)
        names[k] = data->class_names[k];
    const char *near = fm_nearest_name(label, names);
    return fm_fail(FM_DATA, "%s:%d: '%s' is no class of %s%s%s%s", l->options.reviewed,
        answer->line, label, l->options.directory, near ? "; did you mean '" : "", near ? near : "",
        near ? "'?" : "");
}

static const char *name_of_file(const struct fm_labelling *l, uint32_t index)
{
    return index < l->pictures.count ? l->pictures.names[index]
                                     : l->pictures.failed_names[index - l->pictures.count];
}

// Of files whose names differ only in what is no text an answer could be for either.
static enum fm_status check_one(const struct fm_labelling *l, const struct fm_answer *answer,
    const struct named *first, const struct named *last)
{
    for (const struct named *other = first + 1; other <= last; other++)
        if (strcmp(name_of_file(l, first->index), name_of_file(l, other->index)) != 0)
            return fm_fail(FM_DATA,
                "%s:%d: '%s' stands for several pictures, whose names differ in bytes that are no "
                "text: rename them, and label again",
                l->options.reviewed, answer->line, answer->name);
    return FM_OK;
}

// One picture may have been named twice; an answer is for all of them.
static enum fm_status apply(
    struct fm_labelling *l, const struct named *all, uint32_t count, const struct fm_answer *answer)
{
    int class;
    const struct named *found = find(all, count, answer->name);
    if (!found)
        return fm_fail(FM_DATA, "%s:%d: '%s' is none of the pictures", l->options.reviewed,
            answer->line, answer->name);
    if (!answer->label[0])
        return FM_OK;
    FM_TRY(class_of(l, answer, &class));
    if (l->by_person[found->index] && l->labels[found->index] != class)
        return fm_fail(FM_DATA, "%s:%d: '%s' has been answered with '%s' before",
            l->options.reviewed, answer->line, answer->name,
            l->config.data.class_names[l->labels[found->index]]);
    const struct named *last = found;
    while (last + 1 < all + count && strcmp(last[1].name, found->name) == 0)
        last++;
    FM_TRY(check_one(l, answer, found, last));
    for (; found <= last; found++) {
        l->labels[found->index] = class;
        l->by_person[found->index] = true;
    }
    return FM_OK;
}

enum fm_status fm_labelling_match(struct fm_labelling *l)
{
    uint32_t count = l->pictures.count + l->pictures.failed;
    struct named *all = malloc((count + 1) * sizeof *all);
    enum fm_status status = FM_OK;
    l->labels = malloc((count + 1) * sizeof *l->labels);
    l->by_person = calloc(count + 1, sizeof *l->by_person);
    if (!all || !l->labels || !l->by_person)
        FM_TRY_GOTO(status, fm_fail_memory("labels", count * sizeof *all), out);
    for (uint32_t i = 0; i < count; i++) {
        l->labels[i] = FM_LABEL_NONE;
        all[i] = (struct named){l->names[i], i};
    }
    qsort(all, count, sizeof *all, by_name);
    for (uint32_t i = 0; i < l->answers.count; i++)
        FM_TRY_GOTO(status, apply(l, all, count, &l->answers.rows[i]), out);
out:
    free(all);
    return status;
}

void fm_labelling_merge(struct fm_labelling *l)
{
    for (uint32_t i = 0; i < l->pictures.count + l->pictures.failed; i++) {
        l->answered += l->by_person[i];
        if (l->by_person[i] || i >= l->pictures.count)
            continue;
        if (fm_selective_takes(&l->selective, &l->guesses[i]))
            l->labels[i] = l->guesses[i].best;
        else
            l->missing++;
    }
}
