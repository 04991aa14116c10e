// Working copies: parameters in the layouts that executors compute in, or what is made of them,
// owned by the model. Of weights that are trained there are none where they are computed with as
// they are and the batch is a training's or at least 16: each pass brings those into its layout in
// scratch (op_linear.c, op_winograd.c, op_amx.c). Rounded ones, ones with a norm folded in, those
// of small batches and the few of a first convolution (op_direct.c) are copies.
//
// Executors with the same layout share a copy; a copy is renewed when what it is made of has
// changed since, so an executor asks for it at the start of every step and pays only after updates,
// and of weights that are not trained only when they were set. An executor of single
// images does not ask for filters, nor for rows that are just the model's weights, until its second
// image, unless they are fresh already.
#ifndef FM_CPU_COPIES_H
#define FM_CPU_COPIES_H

#include "backend/cpu/model.h"

struct fm_copy;

enum fm_status fm_copies_create(struct fm_model *model, struct fm_copies **copies);
void fm_copies_destroy(struct fm_copies *copies);

// What is copied of conv or dense layer `layer`: its weight in the layout `md`, or (md NULL) its
// bias; of the `weights` given, the model's trained ones or its averages. With `norm_layer` >= 0
// that batch norm is folded in, with its running statistics:
// w' = w * gamma / sqrt(var + eps), b' = (b - mean) * gamma / sqrt(var + eps) + beta.
struct fm_copy_source {
    int layer, norm_layer;
    const struct fm_cpu_weights *weights;
};
enum fm_status fm_copies_want(struct fm_copies *copies, const struct fm_copy_source *source,
    const struct fm_md *md, struct fm_copy **copy);
// What a norm that is folded in multiplies each output's weights by, gamma / sqrt(var + eps):
// [out].
enum fm_status fm_copies_want_scale(
    struct fm_copies *copies, const struct fm_copy_source *source, struct fm_copy **copy);
// The weight of a convolution as filters of struct fm_winograd_run, of such a tiling.
enum fm_status fm_copies_want_filters(struct fm_copies *copies, const struct fm_copy_source *source,
    enum fm_winograd_tiling tiling, struct fm_copy **copy);
// The weight of a convolution as filters of struct fm_amx_run.
enum fm_status fm_copies_want_tiles(
    struct fm_copies *copies, const struct fm_copy_source *source, struct fm_copy **copy);
// A weight as rows of the model's elements: a dense layer's [inputs][outputs], a convolution's
// [input channels][rows][columns][outputs].
enum fm_status fm_copies_want_rows(
    struct fm_copies *copies, const struct fm_copy_source *source, struct fm_copy **copy);

// Renews the copy if it is stale.
enum fm_status fm_copy_refresh(struct fm_copy *copy);
bool fm_copy_is_fresh(const struct fm_copy *copy);
dnnl_memory_t fm_copy_memory(const struct fm_copy *copy); // of a weight or bias
// Its memory: filters, a scale and a bias are fp32; a weight and rows are of the type and layout
// asked for.
const void *fm_copy_values(const struct fm_copy *copy);
bool fm_copy_rows_finite(const struct fm_copy *copy); // the fp32 weights that they are made of

// A layer's weight, [out][in][rows][columns] or a dense layer's [out][in], in layout `tag`: undef
// is that of the model's ranges, OIHW and [out, in]; any leaves it open.
enum fm_status fm_weight_md(
    const struct fm_layer *layer, dnnl_data_type_t type, dnnl_format_tag_t tag, struct fm_md *md);

#endif
