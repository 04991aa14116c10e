# Labels that are probably wrong, and images that stand twice: `fmnist audit`.
target_sources(fm_eval PRIVATE confident.c planted.c near.c near_image.c near_cells.c)
