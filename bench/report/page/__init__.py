"""`report.html`: one file with everything in it, which opens from disk without a network.

Plotly draws, DataTables sorts and filters; both come out of Python packages (plotly, itables) and are put into the file.
What is in a record reaches the page as JSON or through an escaping template, never as markup.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.files.files import write_whole
from bench.report.page.data import page_data
from bench.report.write import Report

NAME = "report.html"
ROOM = "bench.report.page"


def write_page(results: Path, reports: Sequence[Report]) -> Path:
    """One page for all machines of a results folder."""
    path = results / NAME
    write_whole(path, render(reports).encode("utf-8", "backslashreplace"))
    return path


def render(reports: Sequence[Report]) -> str:
    """The page as text."""
    from jinja2 import Environment, StrictUndefined

    room = resources.files(ROOM)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((room / "page.html.j2").read_text(encoding="utf-8"))
    data = page_data(reports)
    return template.render(
        data=data,
        json=in_script(data),
        plotly=_inside("plotly", "package_data/plotly.min.js"),
        datatables=_datatables(),
        datatables_css=_inside("itables", "html/dt_bundle.css"),
        style=(room / "page.css").read_text(encoding="utf-8"),
        script=(room / "page.js").read_text(encoding="utf-8"),
    )


def in_script(data: Any) -> Any:
    """JSON that cannot end the script element it stands in."""
    from markupsafe import Markup

    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _inside(package: str, name: str) -> Any:
    """A file that a package ships; it is the library's own text and stands in the page as it is."""
    from markupsafe import Markup

    try:
        text = (resources.files(package) / name).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise UsageError(
            f"report.html: {package}'s {name} is missing ({error}); pip install --upgrade {package}"
        ) from None
    return Markup(text.replace("</script", "<\\/script").replace("</style", "<\\/style"))


def _datatables() -> Any:
    """The bundle is a module; what it exports as default is DataTables, which the page's own script wants by name."""
    from markupsafe import Markup

    text = _inside("itables", "html/dt_bundle.js")
    exports = re.findall(r"export\s*\{([^{}]*)\}", text)
    name = re.search(r"([\w$]+) as default", exports[-1]) if exports else None
    if name is None:
        raise UsageError(
            "report.html: this version of itables ships another bundle; pip install 'itables>=2.4'"
        )
    return Markup(f"{text}\nglobalThis.DataTable = {name[1]};\n")
