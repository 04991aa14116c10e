// JPEG pictures, by libjpeg-turbo. It reports errors through a function that must not return, so by
// longjmp(): all that is changed after a setjmp() lies in a struct. Where data are missing it only
// warns and makes up grey; those warnings are errors here.
#include "data/pictures/picture.h"

#include "data/pictures/picture_parts.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// After stdio.h, which it does not include itself.
#include <jerror.h>
#include <jpeglib.h>

enum {
    // A progressive file may repeat scans for ever: some bytes each, and a pass over the whole
    // picture, 30 ms of the largest. Encoders write ten, those that search for the smallest file
    // some tens.
    SCANS_MAX = 100,
    EXIF_MARKER = JPEG_APP0 + 1
};

struct jpeg_decoder {
    struct jpeg_error_mgr error; // libjpeg knows its address
    struct jpeg_progress_mgr progress;
    struct jpeg_decompress_struct info;
    jmp_buf jump;
    const char *name;
    size_t size;
    char message[JMSG_LENGTH_MAX];
    int code; // libjpeg's, of the message
    struct fm_picture picture;
};

static _Noreturn void on_error(j_common_ptr info)
{
    struct jpeg_decoder *d = info->client_data;
    d->code = info->err->msg_code;
    info->err->format_message(info, d->message);
    longjmp(d->jump, 1);
}

// Warnings of what leaves every pixel as it was stored.
static bool is_harmless(int code)
{
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
           code == JWRN_TOO_MUCH_DATA || code == JWRN_NOT_SEQUENTIAL;
}

// `level` is negative for warnings; the others are traces.
static void on_message(j_common_ptr info, int level)
{
    if (level < 0 && !is_harmless(info->err->msg_code))
        on_error(info);
}

static void print_nothing(j_common_ptr info)
{
    (void)info;
}

static void on_progress(j_common_ptr info)
{
    struct jpeg_decoder *d = info->client_data;
    if (d->info.input_scan_number > SCANS_MAX) {
        d->code = 0;
        snprintf(d->message, sizeof d->message, "more than %d scans", SCANS_MAX);
        longjmp(d->jump, 1);
    }
}

static enum fm_status fail_damaged(const struct jpeg_decoder *d)
{
    switch (d->code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JERR_INPUT_EOF:
        return fm_fail(FM_DATA, "%s: the JPEG file is cut off or damaged: %s (of %zu bytes)",
            d->name, d->message, d->size);
    case JERR_OUT_OF_MEMORY:
        return fm_fail(FM_MEMORY, "%s: out of memory for libjpeg", d->name);
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
        return fm_fail(FM_UNSUPPORTED, "%s: a kind of JPEG that libjpeg does not read: %s", d->name,
            d->message);
    default:
        return fm_fail(FM_DATA, "%s: the JPEG file is damaged: %s", d->name, d->message);
    }
}

// The size, before anything is allocated for it. Each block of 8x8 samples takes a bit at least,
// unless it is coded arithmetically.
static enum fm_status check_header(const struct jpeg_decoder *d)
{
    const struct jpeg_decompress_struct *info = &d->info;
    uint64_t blocks = 0;
    FM_TRY(fm_picture_check_size(d->name, info->image_width, info->image_height));
    for (int i = 0; i < info->num_components; i++)
        blocks += (uint64_t)info->comp_info[i].width_in_blocks *
                  info->comp_info[i].height_in_blocks;
    if (!info->arith_code && blocks / 8 > d->size)
        return fm_fail(FM_DATA,
            "%s: the JPEG file claims %ux%u pixels, more than its %zu bytes can hold: it is cut "
            "off "
            "or damaged",
            d->name, info->image_width, info->image_height, d->size);
    return FM_OK;
}

static enum fm_status read_header(struct jpeg_decoder *d, const uint8_t *bytes)
{
    if (setjmp(d->jump))
        return fail_damaged(d);
    jpeg_create_decompress(&d->info);
    d->info.client_data = d;
    d->info.progress = &d->progress;
    jpeg_mem_src(&d->info, bytes, (unsigned long)d->size);
    jpeg_save_markers(&d->info, EXIF_MARKER, 0xffff);
    jpeg_read_header(&d->info, TRUE);
    d->info.out_color_space = d->info.num_components == 4 ? JCS_CMYK : JCS_RGB;
    return check_header(d);
}

// Adobe's programs, whose marker tells of them, store what paper is left without ink.
static void rgb_of_inks(const uint8_t *inks, bool inverted, uint32_t width, uint8_t *rgb)
{
    for (size_t x = 0; x < width; x++) {
        unsigned black = inverted ? inks[4 * x + 3] : 255U - inks[4 * x + 3];
        for (size_t c = 0; c < 3; c++) {
            unsigned colour = inverted ? inks[4 * x + c] : 255U - inks[4 * x + c];
            rgb[3 * x + c] = (uint8_t)((colour * black + 127) / 255);
        }
    }
}

static void read_row(struct jpeg_decoder *d, JSAMPARRAY inks)
{
    struct jpeg_decompress_struct *info = &d->info;
    JSAMPROW rgb = d->picture.rgb + 3 * (size_t)info->output_scanline * d->picture.width;
    if (inks) {
        jpeg_read_scanlines(info, inks, 1);
        rgb_of_inks(inks[0], info->saw_Adobe_marker, d->picture.width, rgb);
    } else {
        jpeg_read_scanlines(info, &rgb, 1);
    }
}

// Whether the scans have come that no file may lack: libjpeg makes up a component of which there is
// none, and the means of blocks that a progressive file has not refined. Asked when the last row
// has been read.
static bool needed_scans_came(const struct jpeg_decompress_struct *info)
{
    for (int c = 0; c < info->num_components; c++) {
        if (!info->comp_info[c].quant_table) // taken with a component's first scan
            return false;
        if (!info->progressive_mode)
            continue;
        // The lowest bit of blocks' means that has come; -1: none. Of the other coefficients no bit
        // has to come.
        if (info->coef_bits[c][0] != 0)
            return false;
    }
    return true;
}

static enum fm_status read_pixels(struct jpeg_decoder *d)
{
    struct jpeg_decompress_struct *info = &d->info;
    if (setjmp(d->jump))
        return fail_damaged(d);
    jpeg_start_decompress(info);
    JSAMPARRAY inks = NULL; // libjpeg's until it ends
    if (info->out_color_space == JCS_CMYK)
        inks = info->mem->alloc_sarray((j_common_ptr)info, JPOOL_IMAGE, 4 * info->image_width, 1);
    while (info->output_scanline < info->output_height)
        read_row(d, inks);
    if (!needed_scans_came(info))
        return fm_fail(
            FM_DATA, "%s: the JPEG file is cut off: it ends before a scan that it needs", d->name);
    jpeg_finish_decompress(info);
    return FM_OK;
}

static enum fm_status read_orientation(struct jpeg_decoder *d, int *orientation)
{
    static const char prefix[6] = "Exif\0";
    for (jpeg_saved_marker_ptr m = d->info.marker_list; m; m = m->next)
        if (m->marker == EXIF_MARKER && m->data_length > sizeof prefix &&
            memcmp(m->data, prefix, sizeof prefix) == 0)
            return fm_exif_orientation(d->name, m->data, m->data_length, orientation);
    return FM_OK;
}

static enum fm_status decode(struct jpeg_decoder *d, const uint8_t *bytes, int *orientation)
{
    FM_TRY(read_header(d, bytes));
    FM_TRY(read_orientation(d, orientation));
    FM_TRY(fm_picture_allocate(d->name, d->info.image_width, d->info.image_height, 3, &d->picture));
    return read_pixels(d);
}

enum fm_status fm_jpeg_decode(const char *name, const uint8_t *bytes, size_t size,
    struct fm_picture *picture, int *orientation)
{
    struct jpeg_decoder *d = calloc(1, sizeof *d); // on the stack it would be changed by longjmp()
    if (!d)
        return fm_fail_memory(name, sizeof *d);
    d->name = name;
    d->size = size;
    d->info.err = jpeg_std_error(&d->error);
    d->info.client_data = d;
    d->error.error_exit = on_error;
    d->error.emit_message = on_message;
    d->error.output_message = print_nothing;
    d->progress.progress_monitor = on_progress;
    enum fm_status status = decode(d, bytes, orientation);
    jpeg_destroy_decompress(&d->info);
    if (status == FM_OK)
        *picture = d->picture;
    else
        fm_picture_free(&d->picture);
    free(d);
    return status;
}

#define TEXT_OF(value) #value
#define TEXT(value) TEXT_OF(value)

void fm_jpeg_library(struct fm_library *library)
{
    *library = (struct fm_library){.name = "libjpeg-turbo",
        .compiled = TEXT(LIBJPEG_TURBO_VERSION),
        .without = "read JPEG pictures"};
    fm_library_file((const void *)(size_t)jpeg_std_error, library);
}
