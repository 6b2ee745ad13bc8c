"""Settings: gathered once, checked whole, frozen afterwards.

fields              every setting: type, default, meaning; `targets` the entries of that list
registry            its names as a flag, a variable and a key
load                gathers them; `sources` are flags, variables and file
documents           strict YAML and JSON, for the web configuration file too
notation            types that are written in a way of their own: `durations`, `sizes`, `lists`,
                    `listen`, `endpoints`, `databases`
checks              settings that do not fit together
validation_errors   what is wrong, one line each
"""

from exporter.settings.fields import Settings
from exporter.settings.load import Loaded, load
from exporter.settings.targets import TargetSettings

__all__ = ["Loaded", "Settings", "TargetSettings", "load"]
