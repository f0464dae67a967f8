"""Check kexp on a CUDA GPU, offline and with random models: that it computes the right thing, and how fast.

    python benchmarks/gpu.py --quick

In fp32, bf16 and fp16: training has the losses of a plain loop, two equal runs have equal bits, a resumed run has the
weights of a whole one, and the pass without padding the logits and gradients of the padded one. No step waits for the
GPU. TF32 is used where it was asked for and the GPU has it, and compiled parts have the losses of those that are not.
Memory does not grow over runs. Tokens per second and the share of the chip's rate are printed for a small and a
base-size model, with deterministic algorithms and without. With --quick this takes about five minutes, else the
base-size model is given eight times as many rows.
The status is 1 where a check failed. Without a GPU the program says so, checks nothing and ends with status 0, so that
a script may call it on any machine; --device cpu runs the checks that a CPU can do.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from common import report
from gpu_checks import BASE, SMALL, CheckFailed, Size, planned


@dataclass(frozen=True)
class Result:
    check: str
    passed: bool
    found: str
    seconds: float


def run_checks(name: str, precisions: Sequence[str], small: Size, base: Size) -> list[Result]:
    """Run every check on a device, print a line for each, and return the results."""
    results = []
    # On a CPU a compilation takes longer than all other checks.
    for title, check, size, precision in planned(
        precisions, small, base, compiles=not name.startswith("cpu"), on_cuda=name.startswith("cuda")
    ):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            try:
                passed, found = True, check(Path(folder), size, precision, name)
            # One that fails must not hide what the others find.
            except (CheckFailed, SystemExit, RuntimeError) as error:
                passed, found = False, f"{type(error).__name__}: {error}"
        results.append(Result(title, passed, found, time.perf_counter() - started))
        print(f"{'ok    ' if passed else 'FAILED'} {title}: {found}", flush=True)
    return results


def reason_to_skip(name: str) -> str | None:
    """Return why nothing can be checked on a device, None if it can."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        return f"PyTorch {torch.__version__} sees no CUDA GPU"
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about five minutes")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu")
    parser.add_argument("--tiny", action="store_true", help="a base-size model that is as small as the small one")
    parser.add_argument("--json", type=Path, help="file that the results are written to")
    options = parser.parse_args(arguments)
    if reason := reason_to_skip(options.device):
        print(f"skipped: {reason}")
        return 0
    on_gpu = options.device.startswith("cuda")
    # fp16 needs a GPU; bf16 one that has it.
    precisions = ["fp32", *(["bf16"] if not on_gpu or torch.cuda.is_bf16_supported() else [])]
    precisions += ["fp16"] if on_gpu else []
    base = SMALL if options.tiny else BASE if options.quick else replace(BASE, rows=8 * BASE.rows)
    started = time.perf_counter()
    results = run_checks(options.device, precisions, SMALL, base)
    failed = [result.check for result in results if not result.passed]
    print(f"{len(results) - len(failed)} of {len(results)} checks passed in {time.perf_counter() - started:.0f} s")
    report(options, [], results=[asdict(result) for result in results])
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
