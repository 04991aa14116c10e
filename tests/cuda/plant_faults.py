#!/usr/bin/env python3
"""Plants named faults in the CUDA backend's sources, one at a time: each must make a test fail.

    plant_faults.py [--source DIR] [--build DIR] [--only NAME...] [--list] [--share K/N]

Works on a copy of the sources with a build folder of its own, so that the tree is never touched. A
fault that no longer fits the sources, one that does not compile and one that no test notices each
end the run with status 1.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import time

CUDA = "src/backend/cuda/"
KERNELS = "kernels/"

# Name, file, what is replaced (once; it must stand there), by what, and the tests that must notice:
# any of them failing will do.
FAULTS = [
    ("a convolution's bias gradient dropped", CUDA + "lower_backward.c",
     "    if (bias)\n        bias_gradient(low, block, gates);\n    else if (gates)",
     "    if (gates)", "test_cuda_program parity_step"),
    ("a bias gradient that lets everything through the ReLU", CUDA + "run.c",
     "    work.gate = t->at[FM_TENSOR_GATE];\n    work.dx = t->at[FM_TENSOR_DX];\n"
     "    work.gradient", "    work.gradient", "parity_step"),
    ("the second moment's bias correction with beta1", KERNELS + "step.cu",
     "second ? beta2 : beta1", "beta1",
     "test_cuda_kernels_step parity_step"),
    ("moments swapped", CUDA + "run.c", ".moment1 = m->moment1,\n        .moment2 = m->moment2,",
     ".moment1 = m->moment2,\n        .moment2 = m->moment1,", "parity_step"),
    ("weight decay on every parameter", CUDA + "model.c",
     "param->decay ? FM_CUDA_PARAM_DECAYS : 0", "FM_CUDA_PARAM_DECAYS", "parity_step"),
    ("gradients not unscaled", KERNELS + "step.cu", "state->unscale = 1.0f / scale;",
     "state->unscale = 1.0f;", "test_cuda_kernels_step parity_step"),
    ("the step does not wait for its upload", CUDA + "staging.c",
     "    FM_CUDA(cudaStreamWaitEvent(device->compute, staging->uploaded[slot], 0));\n", "",
     "test_cuda_staging parity_bits"),
    ("an upload over a slot that is still read", CUDA + "staging.c",
     "    FM_CUDA(cudaStreamWaitEvent(device->copy, staging->consumed[slot], 0));\n", "",
     "test_cuda_staging parity_bits"),
    ("a slot refilled before it was uploaded", CUDA + "staging.c",
     "    FM_CUDA(cudaEventSynchronize(staging->uploaded[slot]));\n", "",
     "test_cuda_staging parity_bits"),
    ("running statistics changed by a skipped step", KERNELS + "commit.cu",
     "    if (!state->finite)\n        return;\n", "", "test_cuda_kernels_step parity_skip"),
    ("parameters changed by a skipped step", KERNELS + "update.cu",
     "    if (!state->finite)\n        return;\n", "", "test_cuda_kernels_step parity_skip"),
    ("working copies not renewed", KERNELS + "update.cu",
     "            fm_store(working + at, master);\n", "            ;\n",
     "test_cuda_kernels_step parity_step"),
    ("averages do not follow", KERNELS + "update.cu",
     "    if (average && p.ema_decay > 0.0f)", "    if (average && p.ema_decay > 2.0f)",
     "test_cuda_kernels_step parity_step"),
    ("fp32 gradients left out of the finite check", CUDA + "lower.c",
     "    lower_finite(low, FM_SPACE_GRADIENT_F32, FM_CUDA_F32, p->f32_elements);\n", "",
     "parity_skip parity_step"),
    ("low gradients left out of the finite check", CUDA + "lower.c",
     "    lower_finite(low, FM_SPACE_GRADIENT_LOW, p->type, p->low_elements);\n", "",
     "parity_skip"),
    ("the loss scale stays", CUDA + "run.c", ".scaled = o->precision == FM_PRECISION_FP16",
     ".scaled = 0", "parity_skip"),
    ("folded weights not renewed", CUDA + "executor.c",
     "    if (e->version == e->model->version)", "    if (e->version != 0)",
     "parity_run"),
    ("averages evaluated with trained weights", CUDA + "compile.c",
     "options->average ? &model->average : &model->trained", "&model->trained", "parity_run"),
    ("lives end a command early", CUDA + "arena.c", "            buffer->last = i;\n",
     "            buffer->last = i > buffer->first ? i - 1 : i;\n",
     "test_cuda_program parity_step"),
    ("the ReLU in front of a max-pool has no backward", CUDA + "lower_backward.c",
     "    fm_cuda_use(c, FM_TENSOR_GATE, block->out->activation);\n"
     "    c->bytes += activation_bytes(low, block->out);\n}\n\nstatic void meanpool_backward",
     "}\n\nstatic void meanpool_backward", "parity_step"),
    ("an image's dropout drawn in the order of memory", KERNELS + "dropout.cu",
     "kept[(channel + k) * (uint32_t)g.pixels + pixel]",
     "kept[pixel * (uint32_t)g.channels + channel + k]", "test_cuda_kernels"),
    ("a dropout that the pool in front does not scale back", CUDA + "lower_backward.c",
     "c->of.maxpool.dropout_rate = block->dropout_behind;", "", "test_cuda_program parity_step"),
    ("dropout's backward without its scale", KERNELS + "dropout.cu",
     "        unsigned bits = keep[at / FM_CUDA_VECTOR];",
     "        unsigned bits = keep[at / FM_CUDA_VECTOR]; scale = 1.0f;",
     "test_cuda_kernels parity_step"),
    ("batch norm's backward with mean and deviation swapped", CUDA + "lower_backward.c",
     "    fm_cuda_use(c, FM_TENSOR_MEAN, block->mean);\n"
     "    fm_cuda_use(c, FM_TENSOR_INVERSE, block->inverse);",
     "    fm_cuda_use(c, FM_TENSOR_MEAN, block->inverse);\n"
     "    fm_cuda_use(c, FM_TENSOR_INVERSE, block->mean);", "parity_step"),
    ("label smoothing forgotten", CUDA + "lower.c",
     ".smoothing = low->source->compile->label_smoothing", ".smoothing = 0.0f", "parity_step"),
    ("images mixed, and their targets not", CUDA + "lower.c",
     ".mix = fm_compile_mix_ranges(low->source->compile, &low->net->input),", ".mix = {0},", "parity_step"),
    ("images cut by the mirrored rectangle", KERNELS + "input.cu",
     "&mix, y, x)", "&mix, y, g.cols - 1 - x)", "test_cuda_kernels parity_step"),
    ("cut images whose targets are averaged", CUDA + "lower.c",
     ".mix = fm_compile_mix_ranges(low->source->compile, &low->net->input),",
     ".mix = fm_mix_ranges_of(low->source->compile->mix.share, 0.0f, 0, 0),", "parity_step"),
    ("soft targets forgotten", CUDA + "lower.c",
     ".soft_share = low->source->compile->soft_share", ".soft_share = 0.0f", "parity_step"),
    ("soft targets that stay with the host", CUDA + "staging.c",
     "    if (soft)\n        FM_TRY(copy_soft_targets(staging, slot, device->copy));\n", "",
     "test_cuda_staging parity_step"),
    ("a staged batch read as the whole data set", KERNELS + "input.cu",
     "(g.gather ? id : n)", "id", "test_cuda_kernels"),
    ("an image mixed with itself", KERNELS + "input.cu",
     "next = fm_mix_other(image, step->count)", "next = image", "test_cuda_kernels"),
    ("gradients in the head's padding", KERNELS + "cross_entropy.cu",
     "staged[row * fm_logit_pitch(s.classes) + column] : 0.0f;",
     "staged[row * fm_logit_pitch(s.classes) + column] : 1.0f;",
     "test_cuda_kernels_sums parity_step"),
    ("fp32 on tensor cores", CUDA + "engine.c",
     "search->spec->type == FM_CUDA_F32 && !caps->tf32 ? TENSOR_CORES : ADMITTED", "ADMITTED",
     "test_cuda_graph parity_step"),
    ("sums in less than fp32 admitted", CUDA + "engine.c", "        return REDUCED_SUMS;",
     "        return ADMITTED;", "test_cuda_graph"),
    ("a captured graph replayed for another staging", CUDA + "executor.c",
     "if (!captured->graph || captured->staging != staging->serial)", "if (!captured->graph)",
     "parity_bits"),
    ("a report sent for while one is under way", CUDA + "state.c",
     "if (report->step != 0 || m->known_step", "if (m->known_step", "test_cuda_state"),
    ("set parameters not computed with", CUDA + "state.c",
     "    if (kind == FM_STATE_PARAM)\n        FM_TRY(renew_working(model, r.place));\n", "",
     "test_cuda_state parity_step"),
    ("weights read as if they lay as they are named", CUDA + "state.c",
     "load(r->type, raw, (o * r->columns + column) * r->rows + row)",
     "load(r->type, raw, (o * r->rows + row) * r->columns + column)",
     "test_cuda_state parity_step"),
    ("a resident sample's label taken by its place in the batch", CUDA + "run.c",
     "    work.gather = b->slot->gather;\n    work.soft_targets",
     "    work.gather = 0;\n    work.soft_targets",
     "parity_bits parity_run"),
    ("a gradient not gated by the mask", CUDA + "lower_backward.c",
     "bool gate = front->leaves_mask,", "bool gate = front->leaves_mask && low->batch == 0,",
     "test_cuda_program parity_step"),
    ("a sum's scratch shared with what lives on", CUDA + "params.c",
     "    *range += round_up(place->count);", "    *range += place->count / 2;",
     "test_cuda_program test_cuda_state parity_step"),
    ("plans kept whatever TF32 was allowed", CUDA + "plans.c",
     "caps->tf32, caps->nondeterministic, (long long)caps->workspace",
     "0, caps->nondeterministic, (long long)caps->workspace", "test_cuda_plans"),
    ("a frozen parameter trained", CUDA + "model.c",
     "param->trainable ? FM_CUDA_PARAM_TRAINED : 0", "FM_CUDA_PARAM_TRAINED",
     "test_cuda_state parity_run parity_step"),
    ("the learning rate's multiplier ignored", KERNELS + "update.cu",
     "step->learning_rate * param.lr_multiplier", "step->learning_rate",
     "test_cuda_kernels_step parity_step"),
    ("features taken by their place in the batch", KERNELS + "features.cu",
     "from += (size_t)(gather ? ids[sample] : sample)", "from += (size_t)sample",
     "test_cuda_kernels parity_transfer"),
    ("features of samples that are not there", KERNELS + "features.cu",
     "        if (there)\n", "        if (count > 0)\n", "test_cuda_kernels"),
    ("records of features out of line", CUDA + "staging.c", "    PART = 64", "    PART = 4",
     "test_cuda_staging"),
    ("features predicted in the order H, W, C", CUDA + "lower.c", "    if (pixels == 1) {",
     "    if (pixels >= 1) {", "parity_transfer"),
    ("an inference's augmentation ignored", CUDA + "lower_forward.c",
     ".augment = fm_augment_any(&compile->augment)", ".augment = low->training",
     "parity_transfer"),
    ("a gradient kept of what is not trained", CUDA + "params.c",
     "    place->has_gradient = param->trainable ||", "    place->has_gradient = true ||",
     "test_cuda_program test_cuda_state"),
    ("a pool in front of what is trained leaves a mask", CUDA + "lower_forward.c",
     "    if (!block->input_gradient)", "    if (!low->training)", "test_cuda_program"),
]


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **options)


def copy_sources(source, to):
    """What git knows and what it does not ignore."""
    listed = run(["git", "-C", str(source), "ls-files", "-co", "--exclude-standard"])
    if listed.returncode != 0:
        sys.exit(f"plant_faults: {source} is not a git checkout: {listed.stdout.strip()}")
    for name in listed.stdout.splitlines():
        path = source / name
        if path.is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to / name)


def build(folder, targets):
    return run(["ninja", "-C", str(folder), *targets])


def known_targets(folder, names):
    """Of the test programs those that this build has."""
    listed = run(["ninja", "-C", str(folder), "-t", "targets", "all"]).stdout
    return [name for name in names if f"\n{name}: phony" in "\n" + listed]


def failing_test(folder, tests):
    """The first of the tests that fails, or None."""
    for test in tests:
        try:
            result = run([str(folder / "tests" / test)], cwd=folder, timeout=300,
                         env=dict(os.environ, OMP_WAIT_POLICY="passive"))
        except subprocess.TimeoutExpired:
            return f"{test} (no end in 300 s)"
        if result.returncode != 0:
            return test
    return None


def plant(fault, source, folder, tests):
    """What became of a fault: (noticed, words)."""
    name, file, old, new, wanted = fault
    path = source / file
    text = path.read_text()
    if text.count(old) != 1:
        return False, f"does not fit: its text stands {text.count(old)} times in {file}"
    programs = [test for test in wanted.split() if test in tests]
    if not programs:
        return False, f"none of its tests is part of this build: {wanted}"
    path.write_text(text.replace(old, new))
    try:
        built = build(folder, [*programs, "fmnist-cuda-sim"])
        if built.returncode != 0:
            return False, "does not compile:\n" + built.stdout[-2000:]
        noticed = failing_test(folder, programs)
    finally:
        path.write_text(text)
    return noticed is not None, noticed or f"went unnoticed by {', '.join(programs)}"


def chosen(options):
    faults = [f for f in FAULTS if not options.only or any(o in f[0] for o in options.only)]
    if options.share:
        part, parts = map(int, options.share.split("/"))
        faults = faults[part - 1::parts]
    return faults


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--build", type=pathlib.Path, default=pathlib.Path("build/faults"))
    parser.add_argument("--only", nargs="*", help="faults with this in their names")
    parser.add_argument("--share", help="K/N: every Nth fault, from the Kth")
    parser.add_argument("--list", action="store_true", help="print the faults")
    return parser.parse_args()


def main():
    options = parse()
    faults = chosen(options)
    if options.list:
        for fault in faults:
            print(f"{fault[0]} ({fault[1]})")
        return 0
    source, folder = options.build.resolve() / "source", options.build.resolve() / "build"
    shutil.rmtree(source, ignore_errors=True)
    copy_sources(options.source, source)
    configured = run(["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja",
                      "-DFMNIST_WERROR=OFF"])
    if configured.returncode != 0:
        sys.exit("plant_faults: cmake failed:\n" + configured.stdout[-2000:])
    wanted = sorted({test for fault in faults for test in fault[4].split()})
    tests = known_targets(folder, wanted)
    built = build(folder, [*tests, "fmnist-cuda-sim", "fmnist-cpu"])
    if built.returncode != 0:
        sys.exit("plant_faults: the sources do not build:\n" + built.stdout[-2000:])
    failing = failing_test(folder, tests)
    if failing:
        sys.exit(f"plant_faults: {failing} fails without any fault")
    missed = 0
    for number, fault in enumerate(faults, 1):
        start = time.monotonic()
        noticed, words = plant(fault, source, folder, tests)
        missed += not noticed
        print(f"{number}/{len(faults)} {fault[0]}: {'noticed by ' if noticed else 'NOT NOTICED: '}"
              f"{words} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(faults)} faults, {missed} not noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
