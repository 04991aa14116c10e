// The simulated cuBLASLt, as a test sees it: what it promises beyond simcuda.h, and its knob.
//
// Descriptors, layouts, preferences, heuristics and products for dense layers: A and B of fp32,
// fp16 or bf16 in column-major order, C and D of the same type or fp32, computed in 32F (or
// 32F_FAST_TF32, whose inputs are rounded to TF32), with the epilogues BIAS, RELU, RELU_BIAS,
// RELU_AUX, RELU_AUX_BIAS, DRELU, DRELU_BGRAD, BGRADA and BGRADB. What the real one would take
// beyond that is reported as a misuse, because nothing here stands for it.
//
// What the real library says of a combination can only be asked on a GPU. This one is strict:
//   - the heuristic returns nothing (CUBLAS_STATUS_NOT_SUPPORTED) for a refused epilogue, for bf16
//     below compute capability 8.0, for an epilogue on 16-bit matrices whose leading dimensions are
//     not multiples of 16 bytes, and for a bias of another type than D;
//   - a product needs the algorithm that the heuristic gave for the same shapes, types and
//   epilogue,
//     at least its workspace, operands as aligned as the preference said (256 bytes unless set),
//     and operands, bias and mask that lie whole in device memory;
//   - the first algorithm adds two halves of k that it stored in D's type, unless the preference's
//     reduction schemes exclude that;
//   - the workspace is overwritten; the mask's padding bits are written as ones.
#ifndef SIMCUDA_CUBLASLT_H
#define SIMCUDA_CUBLASLT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Makes the heuristic find nothing for an epilogue (a cublasLtEpilogue_t), or something again. The
// environment variable SIM_REFUSE_EPILOGUES, read once, begins with a list of their numbers:
// "134,512".
void sim_refuse_epilogue(uint32_t epilogue, bool refused);

#ifdef __cplusplus
}
#endif
#endif
