"""The same clients as a program: reads the calls to make as JSON and prints how each ended."""

from __future__ import annotations

import json
import sys

from tests.clients.endings import ending

if __name__ == "__main__":
    print(json.dumps([ending(*call) for call in json.load(sys.stdin)]))  # noqa: T201
