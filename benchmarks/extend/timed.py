"""Run a script and tell, in a last line of JSON, the seconds and the CPU seconds that it took.

    python timed.py SCRIPT

It needs nothing but Python, and so runs in the environment of any package.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    path = sys.argv[1]
    with open(path, encoding="utf-8") as file:
        code = compile(file.read(), path, "exec")
    # the script is the main module, as if it had been started by itself
    module = vars(sys.modules["__main__"])
    module["__file__"] = path
    wall, cpu = time.perf_counter(), time.process_time()
    exec(code, module)
    found = {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
