// A weight as rows of outputs, an input each, or a tap: what gathered.c reads, and skips, and what
// direct.c reads.
#include "backend/cpu/isa/element.h"

enum {
    INPUTS = 16,  // of a block: a line of the cache of fp32
    OUTPUTS = 32, // of a block: so many lines at whole rows' distance stay in the first cache
};

bool FM_ELEMENT_KERNEL(rows)(int out, int in, const float *w, void *to)
{
    element *rows = to;
    uint32_t largest = 0; // magnitude
#pragma omp parallel for schedule(static) reduction(max : largest)
    for (int first_in = 0; first_in < in; first_in += INPUTS) {
        int end_in = least(first_in + INPUTS, in);
        for (int first_out = 0; first_out < out; first_out += OUTPUTS) {
            int end_out = least(first_out + OUTPUTS, out);
            for (int i = first_in; i < end_in; i++) {
                element *row = rows + (size_t)i * (size_t)out;
                for (int o = first_out; o < end_out; o++) {
                    float x = w[(size_t)o * (size_t)in + (size_t)i];
                    uint32_t magnitude = fm_magnitude_of(x);
                    largest = magnitude > largest ? magnitude : largest;
                    row[o] = store(x);
                }
            }
        }
    }
    return largest < FM_BITS_INFINITE;
}
