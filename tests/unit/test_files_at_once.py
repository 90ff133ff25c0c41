"""What a file no longer holds is gone at once: no settling, no memory of a lost session, no linger."""

from __future__ import annotations

import shutil
from pathlib import Path

from soadns.binding.estate import Estate
from soadns.composition import zone_settings
from soadns.model import Binding, InterfaceId
from soadns.settings.configfile import parse
from soadns.sources.static import StaticSettings, StaticSource

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "dubbo-demo" / "files"
USER, ADDRESS = InterfaceId("com.alipay.user.UserService"), InterfaceId("com.alipay.user.AddressService")


def test_providers_taken_out_of_a_file_are_gone_at_once(tmp_path: Path) -> None:
    files = tmp_path / "files"
    shutil.copytree(EXAMPLES, files)
    estate = Estate(zone_settings(parse("static: [{name: demo, paths: [files]}]", where="test")))
    source = StaticSource(StaticSettings("demo", (str(files),), "home"))
    zone = estate.zones["rpc.cluster.local"]

    def look(now: float) -> set[InterfaceId]:
        for _ in range(2):  # a removal is believed when it was seen twice
            estate.fold(source.poll(), now)
        estate.work(now)
        return {i for i in (USER, ADDRESS) if isinstance(zone.outcomes.get(i), Binding)}

    assert look(1_000.0) == {USER, ADDRESS}
    dubbo = files / "dubbo-providers.yaml"
    kept = [line for line in dubbo.read_text().splitlines() if "AddressService" not in line]
    dubbo.write_text("\n".join(kept))
    assert look(1_001.0) == {USER}
    dubbo.unlink()
    assert look(1_002.0) == set()
