"""The panels: wiring between the App and the library, no algorithms."""

from .coreset_panel import CoresetPanel

PANELS = (CoresetPanel,)
