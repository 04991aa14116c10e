// Which sanitizer this is built with, and its interface. SIM_TSAN is defined by the build, because
// under ThreadSanitizer the simulator itself is not instrumented: its own bookkeeping would be
// reported.
#ifndef SIMCUDA_SANITIZERS_H
#define SIMCUDA_SANITIZERS_H

#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifdef SIM_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" void AnnotateBenignRaceSized(
    const char *file, int line, const volatile void *p, size_t bytes, const char *what);
#endif

#include <cstddef>

// Fills memory whatever the sanitizers think of it: neither memset, which they intercept, nor a
// loop, which they instrument.
inline void sim_fill_raw(void *p, unsigned char value, size_t bytes)
{
    asm volatile("rep stosb" : "+D"(p), "+c"(bytes) : "a"(value) : "memory");
}

#endif
