"""Write the dashboards beside this file, or into another folder: `python -m grafana.generate`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grafana.exporter import exporter
from grafana.fleet import fleet
from grafana.usage import usage

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> Mapping[str, dict[str, Any]]:
    """Build every dashboard, by file name."""
    return {"fleet.json": fleet(), "usage.json": usage(), "exporter.json": exporter()}


def text(document: Mapping[str, Any]) -> str:
    """Return the text of a dashboard's file."""
    return json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write all."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in dashboards().items():
        (folder / name).write_text(text(document), encoding="utf-8")


if __name__ == "__main__":
    main()
