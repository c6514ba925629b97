"""The processes of the bare network."""

from __future__ import annotations

import subprocess
import sys


def test_freed_memory_stays_with_the_process() -> None:
    """The bare network would fault in 10 MiB again at every pass; a process of its own, as the setting stays."""
    code = (
        "import resource, numpy as np\n"
        "from bench.benchmarks.bare import keep_memory\n"
        "keep_memory()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "np.ones(10 << 17)\n"
        "before = faults()\n"
        "for _ in range(10): np.ones(10 << 17)\n"
        "print(faults() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) < 2560  # a page is 4 KiB: 25,600 if all came back
