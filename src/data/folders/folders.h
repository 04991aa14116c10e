// A data set made of pictures: one folder of PNG and JPEG files for each class.
//
//   DIR/train/<class>/...   and, if there is one, DIR/test/<class>/...
//   DIR/<class>/...         where DIR/train has no folders
//
// Class names are the folders' names, sorted bytewise; the pictures of a class are those in its
// folder and in the folders in it, by their endings (data/pictures/source.h), in the order of their
// paths; hidden files and folders do not count. Each is converted as data/pictures/picture.h says
// (FM_CONVERT_AUTO). Where there is no test folder a tenth of each class is held out for it: drawn
// by the pictures' contents, so that equal pictures stay together and one that is added or renamed
// moves hardly any other.
//
// What has been converted is kept in $XDG_CACHE_HOME/fmnist/datasets (or ~/.cache/fmnist/datasets),
// in a folder that is itself a data set in IDX format, beside a manifest with the path, size and
// time of every picture and the checksums of the files. It is read again only where all of that
// still holds; otherwise the pictures are converted anew, and the new folder appears whole or not
// at all. Where nothing can be written there, the pictures are converted each time.
#ifndef FM_DATA_FOLDERS_H
#define FM_DATA_FOLDERS_H

#include "data/dataset.h"

#include <stdbool.h>

enum {
    FM_FOLDERS_TRAIN_MIN = 20 // pictures to train on: below, nothing can be selected or calibrated
};

// True when the directory holds folders of pictures. Looks no further than it has to.
bool fm_folders_found(const char *directory);

// Opens it; the caller calls fm_dataset_close(), also after a failure. Tells on standard error: how
// far the conversion is, how many files are no pictures by their names, pictures that cannot be
// read (which are left out), what is held out, and test pictures that are training pictures, too.
// FM_DATA: not 2 to 256 classes, a class without a picture that can be read, a class in test/
// alone, a folder's name that is no class name, too few pictures. FM_INTERRUPTED: a signal has come
// in.
enum fm_status fm_folders_open(const char *directory, struct fm_dataset *dataset);

#endif
