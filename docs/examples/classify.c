/* Says what the first images of a file show.
 *
 *     classify RUN IMAGES [N]
 *
 * RUN is a run folder of `fmnist train`, or its model.safetensors alone. IMAGES is a file in the
 * IDX format, unpacked (gunzip -c t10k-images-idx3-ubyte.gz > images). N is 10 unless given. */
#include <fmnist/fmnist.h>

#include <stdio.h>
#include <stdlib.h>

/* The first *count images of an IDX file, or as many as there are; NULL with a message. */
static unsigned char *read_images(const char *path, size_t *count)
{
    static const unsigned char magic[4] = {0, 0, 8, 3}; /* bytes, three dimensions */
    unsigned char header[16], *images = malloc(*count * FMNIST_IMAGE_BYTES);
    FILE *file = fopen(path, "rb");
    int right = file && images && fread(header, 1, 16, file) == 16;
    for (int i = 0; right && i < 4; i++)
        right = header[i] == magic[i];
    right = right && header[11] == FMNIST_ROWS && header[15] == FMNIST_COLUMNS;
    if (right)
        *count = fread(images, FMNIST_IMAGE_BYTES, *count, file);
    if (file)
        fclose(file);
    if (right)
        return images;
    fprintf(stderr, "%s: not a readable IDX file of 28x28 images (is it still gzipped?)\n", path);
    free(images);
    return NULL;
}

static void print(const fmnist_model *model, const float *probabilities, size_t count)
{
    int classes = fmnist_class_count(model);
    for (size_t i = 0; i < count; i++) {
        const float *row = probabilities + i * (size_t)classes;
        int best = 0;
        for (int k = 1; k < classes; k++)
            best = row[k] > row[best] ? k : best;
        printf("%zu: %s, %.1f %%\n", i, fmnist_class_name(model, best), 100 * (double)row[best]);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: classify RUN IMAGES [N]\n");
        return 2;
    }
    size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
    unsigned char *images = read_images(argv[2], &count);
    if (!images)
        return 1;

    fmnist_model *model;
    fmnist_status status = fmnist_open(argv[1], NULL, &model);
    if (status == FMNIST_OK) {
        size_t classes = (size_t)fmnist_class_count(model);
        float *probabilities = malloc((count * classes + 1) * sizeof *probabilities);
        if (probabilities)
            status = fmnist_predict(model, images, count, probabilities);
        if (probabilities && status == FMNIST_OK)
            print(model, probabilities, count);
        free(probabilities);
    }
    if (status != FMNIST_OK)
        fprintf(stderr, "%s\n", fmnist_error());
    fmnist_close(model);
    free(images);
    return status == FMNIST_OK ? 0 : 1;
}
