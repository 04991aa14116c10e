// LANES elements that lie side by side in memory, as a vector of fp32.
#ifndef FM_CPU_ISA_ELEMENT_VECTOR_H
#define FM_CPU_ISA_ELEMENT_VECTOR_H

#include "backend/cpu/isa/element.h"
#include "backend/cpu/isa/vector.h"

static inline vec read_elements(const element *x)
{
#if defined(FM_ELEMENT_IS_BF16)
    float wide[LANES];
    for (int i = 0; i < LANES; i++)
        wide[i] = load(x[i]);
    return vec_load(wide);
#else
    return vec_load(x);
#endif
}

static inline void write_elements(element *y, vec v)
{
#if defined(FM_ELEMENT_IS_BF16)
    float wide[LANES];
    vec_store(wide, v);
    for (int i = 0; i < LANES; i++)
        y[i] = store(wide[i]);
#else
    vec_store(y, v);
#endif
}

#endif
