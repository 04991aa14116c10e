// `fmnist inspect FILE`: what a weights file is.
#include "cli/common.h"

#include "app/inspect/inspect.h"

enum fm_status fm_cmd_inspect(const struct fm_args *args)
{
    struct fm_text text = {0};
    enum fm_status status = fm_inspect(args->operand, (enum fm_format)args->format, &text);
    if (status == FM_OK)
        return fm_print_text(&text);
    fm_text_free(&text);
    return status;
}
