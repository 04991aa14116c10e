# What drift is told by.
target_sources(fm_eval PRIVATE twosample.c permutation.c image_statistics.c)
