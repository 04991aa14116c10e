# What times a network.
target_sources(fm_eval PRIVATE spread.c timer.c bench.c)
