"""The command line, read by click: every setting is a flag of every command."""

import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click

import exporter
from exporter.cli.arguments import QUESTIONS, SWITCHES, place_of_command
from exporter.errors import UsageError
from exporter.settings import Loaded, load
from exporter.settings.documents import quoted_unless_plain
from exporter.settings.registry import Setting, all_settings, suggest
from exporter.settings.validation_errors import safely_shown
from exporter.terminal import takes_colour

PROGRAM = "emr-serverless-spark-exporter"


def invocation() -> str:
    """Return how the running program can be started again from anywhere, for a shell."""
    started_as = Path(sys.argv[0])
    if started_as.name != "__main__.py":
        return PROGRAM if shutil.which(PROGRAM) else shlex.quote(str(started_as.absolute()))
    source = Path(exporter.__file__).parents[1]
    return f"PYTHONPATH={shlex.quote(str(source))} {shlex.quote(sys.executable)} -m exporter"


_SOURCES = (
    "Every setting is a flag, an environment variable (--api.max-attempts is "
    "EMR_EXPORTER_API__MAX_ATTEMPTS; an empty one counts as unset) and a key in the YAML file of "
    "--config.file (api: max_attempts:). Flags win over variables, variables over the file."
)

_FLAGS = "[--flag=value ...]"
_CONTEXT = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    # Unknown flags are collected, so that everything that is wrong is reported at once.
    "ignore_unknown_options": True,
    "allow_extra_args": True,
}


def _version() -> str:
    revision = getattr(exporter, "__revision__", "")
    known = f"revision {revision}, " if revision else ""
    return f"{exporter.__version__} ({known}Python {platform.python_version()})"


_with_version = click.version_option(
    _version(), "-V", "--version", prog_name=PROGRAM, message="%(prog)s %(version)s"
)


class _Formatter(click.HelpFormatter):
    def write_heading(self, heading: str) -> None:
        super().write_heading(click.style(heading, bold=True))


class _Context(click.Context):
    formatter_class = _Formatter


class _Flag(click.Option):
    """The flag of a setting, left out of the help of commands that do not use the setting."""

    def __init__(self, setting: Setting, uses: Sequence[str]) -> None:
        text = f"{setting.field.description} (default: {setting.default})".replace("`", "")
        super().__init__(
            [setting.flag, "__".join(setting.path)],
            metavar=setting.notation.word,
            help=text,
            multiple=setting.is_list,
            hidden=not any(f"{setting.name}.".startswith(f"{used}.") for used in uses),
        )
        self.setting = setting


class Command(click.Command):
    """A command that is called with the settings, and with its own options and arguments."""

    context_class = _Context

    def __init__(
        self,
        name: str,
        *,
        callback: Callable[..., int],
        uses: Sequence[str],
        example: str,
        needs_region: bool = True,
        **attributes: Any,  # noqa: ANN401 - click's
    ) -> None:
        """Take the names of the settings, or of groups of settings, that the command uses."""
        epilog = f"\b\nExample:\n  {PROGRAM} {example}" + (f"\n\n{_SOURCES}" if uses else "")
        super().__init__(
            name, epilog=epilog, options_metavar=_FLAGS, context_settings=_CONTEXT, **attributes
        )
        _with_version(self)
        self.short_help = self.help  # whole, where click would cut it off
        self.run = callback
        self.example = example
        self.flags = [_Flag(setting, uses) for setting in all_settings().values()]
        self.params += self.flags
        self._needs_region = needs_region

    def invoke(self, ctx: click.Context) -> int:
        """Load the settings and run the command."""
        return self.run(self.load(ctx), **ctx.params)

    def load(self, ctx: click.Context) -> Loaded:
        """Take the flags of settings off the parameters, and load all settings."""
        given = {flag.setting: ctx.params.pop(flag.name) for flag in self.flags}
        words = [*ctx.args, *(word for word in ctx.params.values() if str(word).startswith("--"))]
        return load(
            {setting.path: value for setting, value in given.items() if value not in (None, ())},
            ctx.obj,
            needs_region=self._needs_region,
            problems=[self._surplus(ctx, word) for word in words],
        )

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the command, then the settings that it uses by their groups."""
        params = sorted(self.get_params(ctx), key=lambda param: isinstance(param, _Flag))
        for title, members in groupby(params, _section):
            if records := [record for param in members if (record := param.get_help_record(ctx))]:
                with formatter.section(title):
                    formatter.write_dl(records)

    def _surplus(self, ctx: click.Context, word: str) -> str:
        name = quoted_unless_plain(word.partition("=")[0])
        if not word.startswith("-"):
            return f"{_repeated(word)}: {_typed(ctx)} takes no such argument; remove it"
        owner = _options(ctx.find_root().command).get(name)
        if owner and name not in _options(self):
            return f"{name}: only the command {owner[0]} takes it; remove it"
        advice = suggest(name, _options(self))
        return f"{name}: unknown flag; {advice or 'see --help for all flags'}"


class CommandGroup(click.Group):
    """Commands, with flags before or after them."""

    command_class = Command
    group_class = type  # groups of the same class
    context_class = _Context

    def __init__(self, name: str, *, default: str = "", **attributes: Any) -> None:  # noqa: ANN401 - click's
        """Take the command that runs where none is named."""
        command = "[COMMAND]" if default else "COMMAND"
        super().__init__(
            name,
            context_settings=_CONTEXT,
            options_metavar="",
            subcommand_metavar=f"{command} {_FLAGS}",
            **attributes,
        )
        _with_version(self)
        self._default = default

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in their own order."""
        del ctx
        return [*self.commands]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the command to the front."""
        place = place_of_command(args)
        if place is not None:
            args = [args[place], *args[:place], *args[place + 1 :]]
        elif QUESTIONS.isdisjoint(args):
            if not self._default:
                raise click.UsageError(f"{self.name}: add a command: {', '.join(self.commands)}")
            args = [self._default, *args]
        return super().parse_args(ctx, args)


def _typed(ctx: click.Context) -> str:
    return ctx.command_path.removeprefix(f"{PROGRAM} ")


def commands(command: click.Command, name: str = "") -> Iterator[tuple[str, Command]]:
    """Return every command below a group by what is typed for it, such as `ledger backup`."""
    if isinstance(command, Command):
        yield name, command
    elif isinstance(command, click.Group):
        for below in command.commands.values():
            yield from commands(below, f"{name} {below.name}".strip())


def _options(command: click.Command) -> Mapping[str, tuple[str, str]]:
    """Return every option of a command, or below a group, with its command and metavar."""
    return {
        flag: (name, param.metavar or "")
        for name, below in commands(command)
        for param in below.params
        if isinstance(param, click.Option)
        for flag in param.opts
    }


def _section(param: click.Parameter) -> str:
    if not isinstance(param, _Flag):
        return "Options"
    return (
        param.setting.path[0].replace("_", "-") if len(param.setting.path) > 1 else "What to poll"
    )


def dispatch(program: CommandGroup, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run what `argv` asks for; return the exit code.

    Raises `UsageError` if there is no such command, or its arguments or settings are wrong.
    """
    color = takes_colour(sys.stdout, environ)
    try:
        ctx = program.make_context(PROGRAM, [*argv], obj=environ, color=color)
        return int(program.invoke(ctx))
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        raise UsageError(_line(error, program)) from None


def _repeated(word: str) -> str:
    return safely_shown(word) or "(not shown)"


def _line(error: click.UsageError, program: CommandGroup) -> str:
    match error:
        case click.NoSuchCommand(
            command_name=name, ctx=click.Context(command=CommandGroup() as group)
        ):
            advice = suggest(name, group.commands) or f"use {', '.join(group.commands)}"
            return f"{_repeated(name)}: unknown command; {advice}"
        case click.BadOptionUsage(option_name=name) if name not in SWITCHES:
            return f"{name}: give a value, such as {name}={_options(program)[name][1]}"
        case click.MissingParameter(
            param=click.Parameter(metavar=str(word)) as param,
            ctx=click.Context(command=Command(example=example)) as ctx,
        ):
            word = f"{param.opts[0]}={word}" if isinstance(param, click.Option) else word
            return f"{_typed(ctx)}: give {word}, such as {PROGRAM} {example}"
    return error.format_message()
