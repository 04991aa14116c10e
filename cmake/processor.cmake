# Sets FMNIST_HERE_AVX512: whether the processor that this is built on has it. Of no program's concern, which
# asks when it runs; of tests', which run here.
set(FMNIST_HERE_AVX512 OFF)
if(EXISTS /proc/cpuinfo)
  file(STRINGS /proc/cpuinfo flags REGEX "avx512f" LIMIT_COUNT 1)
  if(flags)
    set(FMNIST_HERE_AVX512 ON)
  endif()
endif()
