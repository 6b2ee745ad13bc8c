"""The unit of systemd, read as systemd reads it; as far as the tests need."""

import shlex
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "emr-serverless-spark-exporter.service"
PROGRAM = "/opt/emr-serverless-spark-exporter/bin/emr-serverless-spark-exporter"


def directives(text: str) -> dict[str, list[str]]:
    """Give the values of each directive, in their order; sections have no names in common here."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, is_directive, value = line.partition("=")
        if is_directive and not line.startswith(("#", ";", "[")):
            found.setdefault(name, []).append(value)
    return found


def environment_file(text: str) -> dict[str, str]:
    """Give the variables of an environment file."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def environment(given: Mapping[str, list[str]], folder: Path) -> dict[str, str]:
    """Give what the unit itself sets, with its folders below `folder`."""
    (state,) = given["StateDirectory"]
    variables = {"STATE_DIRECTORY": str(folder / state)}
    for each in given["Environment"]:
        name, _, value = each.partition("=")
        variables[name] = value.replace("%d", str(folder / "credentials"))
    return variables


def command(given: Mapping[str, list[str]], variables: Mapping[str, str]) -> list[str]:
    """Give the words of the command line."""
    (line,) = given["ExecStart"]
    for name, value in variables.items():
        line = line.replace(f"${{{name}}}", value)
    return shlex.split(line)
