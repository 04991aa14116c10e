# Labels for pictures, and what is left for people.
target_sources(fm_app PRIVATE labelling.c labelling_answers.c labelling_evaluate.c
  labelling_files.c labelling_page.c labelling_print.c)
