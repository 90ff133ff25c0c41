"""A control process over the example files, as far as the API and the metrics look at one."""

from __future__ import annotations

from pathlib import Path

from soadns.binding.estate import Estate
from soadns.composition import zone_settings
from soadns.config import parse
from soadns.figures import Figures, WorkerFigures, WorkerState
from soadns.sources.static import StaticSettings, StaticSource
from soadns.web.operations import Reloaded

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "dubbo-demo"
NOW = 1_800_000_000.0


class DemoProcess:
    """Every static source of the configuration reads the example files; nothing is reloaded."""

    def __init__(self, config: str = "static: [{name: demo, paths: [examples]}]") -> None:
        parsed = parse(config, where="test")
        self.settings = zone_settings(parsed)
        self.estate = Estate(self.settings)
        for files in parsed.static:
            source = StaticSource(StaticSettings(files.name, (str(EXAMPLES),), files.cluster))
            self.estate.fold(source.poll(), NOW)
        self.estate.work(NOW)
        self.figures = Figures()
        self.ready = True
        self.serials = dict.fromkeys(self.estate.zones, 1)
        self.released: list[str] = []

    def now(self) -> float:
        return NOW

    def workers(self) -> list[WorkerState]:
        return [WorkerState(1, 1, False, 1, 0, WorkerFigures())]

    async def texts(self, source: str, interface: str) -> list[str]:
        return [f"{source}/{interface}"]

    def release(self, source: str) -> int:
        self.released.append(source)
        return 0

    def reload(self, *, accept_removals: bool) -> Reloaded:
        return Reloaded((), 0, "")
