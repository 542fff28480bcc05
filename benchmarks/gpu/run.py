"""Every kernel on a GPU: equality first, then speed and memory, as one JSON file. Under 8 minutes on an H200.

    python benchmarks/gpu/run.py --out DIR
    python benchmarks/gpu/run.py --out DIR --interpret    # tiny sizes on the CPU: whether the script itself runs

It needs torch, triton and numpy, and the repository; relgraph need not be installed. The file is written anew after
each section, so a run that is cut short keeps what it has. Sections that would begin after --seconds are left out and
named. The exit status is 1 if a kernel is wrong or a section breaks.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import traceback
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the result, gpu.json")
    parser.add_argument("--interpret", action="store_true", help="Triton's interpreter on the CPU, tiny sizes")
    parser.add_argument("--seconds", type=float, default=400, help="no section begins later than this")
    parser.add_argument("--only", nargs="*", default=None, help="names of sections")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.interpret:
        os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported
    import checks
    import figures
    import torch
    import triton

    start, device = time.perf_counter(), torch.device("cpu" if args.interpret else "cuda")
    result: dict[str, Any] = {
        "device": platform.processor() if args.interpret else torch.cuda.get_device_name(),
        "interpreted": args.interpret,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "triton": triton.__version__,
            "cuda": torch.version.cuda,
        },
    }
    args.out.mkdir(parents=True, exist_ok=True)
    sections = {f"check {name}": check for name, check in checks.CHECKS.items()} | figures.FIGURES
    failed = False
    ceilings: dict[str, float] = {}
    for name, section in sections.items():
        if args.only is not None and name not in args.only and name != "ceilings":
            continue
        begun = time.perf_counter()
        if begun - start > args.seconds:
            result[name] = {"left out": f"{args.seconds:.0f} seconds were over"}
            continue
        try:
            result[name] = section(device, args.interpret, ceilings)
        except Exception:
            failed = True
            result[name] = {"error": traceback.format_exc()[-4000:]}
        torch.set_float32_matmul_precision("highest")
        result[name]["section_seconds"] = round(time.perf_counter() - begun, 1)
        print(f"== {name}: {json.dumps(result[name])[:3000]}", flush=True)
        failed |= result[name].get("wrong", 0) > 0
        (args.out / "gpu.json").write_text(json.dumps(result, indent=1) + "\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
