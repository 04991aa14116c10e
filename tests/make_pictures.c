// Writes a data set in IDX format as folders of PNG pictures, for tests of the tool.
//
//   make_pictures DATA DIR TRAIN TEST    so many pictures of each class; TEST 0: no folder test/
#include "picture_folders.h"

#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    struct fm_dataset data;
    if (argc != 5 || fm_dataset_open(argv[1], &data) != FM_OK) {
        fprintf(stderr, "make_pictures DATA DIR TRAIN TEST: %s\n", fm_error_message());
        return 1;
    }
    const char *names[FM_CLASSES_MAX];
    for (int c = 0; c < data.classes; c++) {
        names[c] = data.class_names[c];
        for (char *slash = data.class_names[c]; (slash = strchr(slash, '/'));)
            *slash = '-'; // "T-shirt/top" cannot be a folder's name
    }
    enum fm_status status = write_picture_folders(
        &data.train, data.classes, names, argv[2], "train/", atoi(argv[3]));
    if (status == FM_OK && atoi(argv[4]) > 0)
        status = write_picture_folders(
            &data.test, data.classes, names, argv[2], "test/", atoi(argv[4]));
    if (status != FM_OK)
        fprintf(stderr, "make_pictures: %s\n", fm_error_message());
    fm_dataset_close(&data);
    return status != FM_OK;
}
