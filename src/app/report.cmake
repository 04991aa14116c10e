# Reports (app/report.h), which are of several files.
target_sources(fm_app PRIVATE remarks.c
  report.c report_run.c report_table.c report_charts.c report_confusion.c report_page.c)
