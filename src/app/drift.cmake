# Drift of new images (app/drifting.h).
target_sources(fm_app PRIVATE drifting.c drift_distance.c drift_job.c drift_report.c drift_files.c)
