"""The default launcher: this machine, with nothing else to install."""

from bench.plugins import Launcher, launchers

launchers.add(Launcher(name="local", spread=None, summary="on this machine"))
