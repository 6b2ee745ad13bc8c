"""Settings: gathered once, checked whole, frozen afterwards."""

from exporter.settings.load import Loaded, load
from exporter.settings.schema import ApiSettings, Settings
from exporter.settings.targets import TargetSettings

__all__ = ["ApiSettings", "Loaded", "Settings", "TargetSettings", "load"]
