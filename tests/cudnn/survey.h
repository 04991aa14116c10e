// What cuDNN says of engines, read again without the backend's help, so that what it promises of
// them can be checked.
#ifndef FM_TESTS_CUDNN_SURVEY_H
#define FM_TESTS_CUDNN_SURVEY_H

#include <cudnn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// An engine by its notes: bits (1u << CUDNN_NUMERICAL_NOTE_...).
struct surveyed {
    int64_t index;
    uint32_t notes;
    bool runtime_compiled;
    int64_t workspace; // bytes
};

// Bits that no plan may have: `rounds` allows products on tensor cores in what cuDNN calls fp32.
uint32_t survey_forbidden(bool rounds);

// "TENSOR_CORE, NONDETERMINISTIC"; "-" for none.
void survey_notes_text(uint32_t notes, char *text, size_t size);

// The engine of a finalised plan, with the plan's workspace.
cudnnStatus_t survey_plan(cudnnBackendDescriptor_t plan, struct surveyed *found);

// How many engines with their knobs the heuristics (mode A and the fallbacks) name for a graph on a
// described device, each counted once.
struct survey {
    int named;
    int admitted; // has no forbidden note and is content with the workspace
    int runtime_compiled;
};
cudnnStatus_t survey_graph(cudnnBackendDescriptor_t graph, cudnnBackendDescriptor_t device,
    uint32_t forbidden, int64_t workspace, struct survey *survey);

#endif
