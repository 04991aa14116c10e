# What `fmnist audit` is made of.
target_sources(fm_app PRIVATE auditing.c auditing_folder.c auditing_folds.c auditing_figures.c
  auditing_tables.c auditing_page.c)
