"""One arm after the other on this machine; needs nothing."""

from bench.plugins import Launcher, launchers

launchers.add(
    Launcher(name="local", spread=None, summary="one arm after the other on this machine")
)
