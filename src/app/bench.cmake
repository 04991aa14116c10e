# What a network costs: `fmnist bench`.
target_sources(fm_app PRIVATE
  bench_plan.c bench_work.c bench_job.c bench_start.c bench_json.c bench_print.c bench_files.c)
