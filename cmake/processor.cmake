# Sets FMNIST_HERE_AVX512: whether the processor that configures this build has AVX-512. Programs ask at run
# time; this only decides which tests there are, and whether sanitized builds have AVX-512's kernels.
set(FMNIST_HERE_AVX512 OFF)
if(EXISTS /proc/cpuinfo)
  file(STRINGS /proc/cpuinfo flags REGEX "avx512f" LIMIT_COUNT 1)
  if(flags)
    set(FMNIST_HERE_AVX512 ON)
  endif()
endif()
