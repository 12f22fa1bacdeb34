"""Import engines without their telemetry.

By default OpenVINO, NNCF and ONNX Runtime write an identifier into the user's home folder when they
are imported, and report to their makers over the network.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any


def imported(name: str) -> Any:
    """Return the module `name`, imported with telemetry off."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # OpenVINO and NNCF do without where the package for their telemetry is missing.
    blocked: dict[str, Any] = sys.modules
    blocked.setdefault("openvino_telemetry", None)
    return importlib.import_module(name)
