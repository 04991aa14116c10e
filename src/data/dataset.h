// A data set in the format of MNIST: four IDX files found, inflated at the same time and checked;
// or one made of pictures (data/folders/folders.h), which looks the same from here on.
#ifndef FM_DATA_DATASET_H
#define FM_DATA_DATASET_H

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FM_IMAGE_SIDE = 28,
    FM_IMAGE_BYTES = FM_IMAGE_SIDE * FM_IMAGE_SIDE,
    FM_CLASSES_MAX = 256,
    FM_CLASS_NAME_MAX = 64 // bytes
};

// Labelled samples: `count` records of `record_size` bytes (here 28x28 u8, row by row, 0 = black).
struct fm_samples {
    uint32_t count;
    uint32_t record_size;
    const uint8_t *records; // [count][record_size]
    const uint8_t *labels;  // [count], each below the data set's class count
};

struct fm_data_file {
    char path[FM_PATH_MAX];
    uint32_t crc32; // of the uncompressed contents
    uint64_t size;  // bytes, uncompressed
};

struct fm_dataset {
    char directory[FM_PATH_MAX];
    struct fm_samples train; // the files' training part: 60,000 for Fashion-MNIST
    struct fm_samples test;  // 10,000
    int classes;             // 2 to 256: the largest label of the training part + 1
    char *class_names[FM_CLASSES_MAX];
    bool fashion_mnist; // the checksums of all four files are Fashion-MNIST's
    bool pictures;      // made of picture files
    char **train_names; // [train.count], the pictures' paths below the directory, owned
    char **test_names;  // [test.count]; both NULL where these are no pictures
    bool test_held_out; // the test part is a tenth of these, held out
    // Train images, train labels, test images, test labels. Of pictures: what they became; the path
    // is the directory's.
    struct fm_data_file files[4];
    double load_seconds;
    void *owned[4]; // what the samples point to
};

// Looks in `directory` if it is given (and nowhere else), else in $FMNIST_DATA (and nowhere else if
// set), else in the user's data directory ($XDG_DATA_HOME/fmnist or ~/.local/share/fmnist), else in
// /usr/share/datasets/fashion-mnist. File names are those of the original distribution
// (train-images-idx3-ubyte, with or without .gz). `directory` and $FMNIST_DATA may also be folders
// of pictures (data/folders/folders.h, also for what can be wrong with them). FM_NOT_FOUND names
// every place looked in and the command that gets the data.
//
// Checked before anything is returned: every file (data/idx.h), 28x28 images, as many images as
// labels, labels below the class count in both parts, 2 to 256 classes, a training image of each
// class unless classes.txt names it, names in classes.txt (one a line, as many as classes).
enum fm_status fm_dataset_open(const char *directory, struct fm_dataset *dataset);
void fm_dataset_close(struct fm_dataset *dataset);

// The directory that fm_dataset_open would read, without reading it (FM_NOT_FOUND as there).
enum fm_status fm_dataset_find(const char *directory, char out[FM_PATH_MAX]);

#endif
