"""`report.html`: one file that contains everything it needs and opens from disk without a network.

Plotly draws, DataTables sorts and filters; both are copied into the file from Python packages
(plotly, itables). Text from records reaches the page as JSON or through an escaping template, never
as markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from operator import attrgetter
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.files.files import write_whole
from bench.report.page.data import page_data
from bench.report.write import Report

NAME = "report.html"
PACKAGE = "bench.report.page"
"""The package of the template, the style and the script."""


def write_page(results: Path, reports: Sequence[Report]) -> Path:
    """Write one page for all machines of a results folder, and return its path."""
    path = results / NAME
    write_whole(path, render(reports).encode("utf-8", "backslashreplace"))
    return path


def render(reports: Sequence[Report]) -> str:
    """Return the page as text."""
    from jinja2 import Environment, StrictUndefined

    own = resources.files(PACKAGE)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((own / "page.html.j2").read_text(encoding="utf-8"))
    data = page_data(reports)
    return template.render(
        data=data,
        json=in_script(data),
        plotly=_inside("plotly", "package_data/plotly.min.js"),
        datatables=_datatables(),
        datatables_css=_inside("itables", "html/dt_bundle.css"),
        style=(own / "page.css").read_text(encoding="utf-8"),
        script=_script(),
    )


def _script() -> str:
    """Return the page's own script: its files in the order of their names, in one scope."""
    files = (resources.files(PACKAGE) / "script").iterdir()
    ordered = sorted((file for file in files if file.name.endswith(".js")), key=attrgetter("name"))
    return "\n".join(file.read_text(encoding="utf-8") for file in ordered)


def in_script(data: Any) -> Any:
    """Return data as JSON that cannot end the script element around it."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _inside(package: str, name: str) -> Any:
    """Return a file that a package ships, to be used in the page without escaping.

    Raises UsageError if the package or the file is missing.
    """
    from markupsafe import Markup

    try:
        text = (resources.files(package) / name).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise UsageError(
            f"report.html: {package}'s {name} is missing ({error}); pip install --upgrade {package}"
        ) from None
    return Markup(text.replace("</script", "<\\/script").replace("</style", "<\\/style"))


def _datatables() -> Any:
    """Return itables' bundle, and a line that gives its default export the name DataTable.

    The bundle is a module; the page's own script needs that name.
    """
    from markupsafe import Markup

    text = _inside("itables", "html/dt_bundle.js")
    exports = re.findall(r"export\s*\{([^{}]*)\}", text)
    name = re.search(r"([\w$]+) as default", exports[-1]) if exports else None
    if name is None:
        raise UsageError(
            "report.html: this version of itables has an unknown bundle; pip install 'itables>=2.4'"
        )
    return Markup(f"{text}\nglobalThis.DataTable = {name[1]};\n")
