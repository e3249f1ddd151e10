"""Run a script and tell, in a last line of JSON, its seconds, its CPU seconds, and on what it ran.

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
    found["versions"] = "Python " + ".".join(map(str, sys.version_info[:3]))
    for name in ("torch", "tensorflow"):
        if name in sys.modules:
            found["versions"] += ", " + name + " " + sys.modules[name].__version__
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
