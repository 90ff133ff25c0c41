"""The benchmark itself, in the namespaces that ``__main__`` made for it."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from tests.bench import report
from tests.bench.change import say
from tests.bench.sidecar import ground, istio, limits, parts, plain, told
from tests.bench.sidecar.estate import Estate
from tests.bench.sidecar.probes import Figures, costs
from tests.scenarios.stage.zookeeper import ZooKeeper


def main(folder: Path, words: list[str]) -> int:
    """Run it; returns the exit status."""
    options = parts.arguments().parse_args(words)
    estates = [Estate(services, options.interfaces) for services in options.services]
    began = time.monotonic()
    ground.lay()
    found: Figures = {"machine": report.machine()}
    merging = options.merge and options.output.exists()
    before: Figures = json.loads(options.output.read_text(encoding="utf-8")) if merging else {}

    def keep() -> Figures:
        """Write what there is: what was measured stays, whatever becomes of the rest."""
        found["seconds"] = round(time.monotonic() - began)
        whole = _merged(before, found, estates) if before else found
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
        return whole

    zookeeper = ZooKeeper(folder / "zookeeper")
    zookeeper.start()
    with ground.provided(folder):
        if "direct" in options.only:
            found["direct"] = costs("10.244.0.1", 0, calls=options.calls)
        for estate in estates:
            if {*plain.WAYS, "istio"} & set(options.only):
                say(f"{estate}: writing {estate.services * estate.interfaces:,} interfaces")
                estate.fill(zookeeper)
                say(f"{estate}: written, {time.monotonic() - began:.0f} s")
            part = found[str(estate)] = {}
            if set(plain.WAYS) & set(options.only):
                part |= plain.measured(zookeeper, folder / f"plain-{estate}", estate, options)
                keep()
            if "istio" in options.only:
                part["istio"] = istio.measured(zookeeper, folder / f"istio-{estate}", estate, options)
                keep()
            if "limits" in options.only:
                part["limits"] = limits.measured(folder / f"limits-{estate}", estate, options)
                keep()
        if "entries" in options.only:
            found["entries"] = istio.entries(folder / "entries", estates[0], options)
    whole = keep()
    estates = sorted(map(_estate, filter(_ESTATE.fullmatch, whole)), key=lambda each: each.services)
    whole = {**told.headlines(whole, estates), **whole}
    options.output.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print("\n".join(told.tables(whole, estates)), "", *told.verdicts(whole, estates), sep="\n")
    if options.publish:
        told.publish(whole, estates)
    print(f"\nwritten to {options.output}, in {whole['seconds']} s")
    return 0


_ESTATE = re.compile(r"(\d+)x(\d+)")


def _estate(text: str) -> Estate:
    services, _, interfaces = text.partition("x")
    return Estate(int(services), int(interfaces))


def _merged(before: Figures, found: Figures, estates: list[Estate]) -> Figures:
    """What was found now beside what other runs have found of the other parts; headlines are made anew."""
    kept = {key: value for key, value in before.items() if isinstance(value, dict)}
    whole = {**kept, **found, "seconds": before.get("seconds", 0) + found["seconds"]}
    for estate in map(str, estates):
        whole[estate] = {**before.get(estate, {}), **found.get(estate, {})}
    return whole


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
