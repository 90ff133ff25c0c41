"""Direct URLs as text: what providers say, and what becomes of it.

Each case is a title, the providers' URLs (``com.x.A`` at a Service with their ports, unless ``ports`` says otherwise),
what else is known, and after ``=>`` the URL without ``CALLS_ON``, the reasons why it is not safe (``!``) and the
notes (``-``). ``with tri`` says that tri is taken as it is, ``MOCK`` is a long text.
"""

from __future__ import annotations

from soadns.model import Binding, InterfaceId, ObjectRef, Outcome, ServedPort, Unbound
from soadns.publishers.directurls import CALLS_ON, direct_url
from soadns.publishers.verdicts import Subject
from soadns.sources.dialects import DIALECTS

HOST = "com.x.A.rpc.test"
SHOP = ObjectRef("home", "shop", "shop")


def cases(table: str) -> list[tuple[str, list[str], list[str]]]:
    found = []
    for block in table.strip().split("\n\n"):
        title, *lines = (line.strip() for line in block.splitlines())
        at = next(i for i, line in enumerate(lines) if line.startswith("=>"))
        found.append((title, lines[:at], lines[at:]))
    return found


def subject(family: str, given: list[str]) -> Subject:
    dialect = DIALECTS[family]
    urls = [
        line.replace("MOCK", "x" * 300) for line in given if "://" in line and not line.startswith("rule ")
    ]
    said = dict(line.partition(" ")[::2] for line in given if line not in urls)
    providers = [
        p for url in urls for p in dialect.parse(f"zookeeper/main/{family}", "com.x.A", "providers", url)
    ]
    ports = tuple(dict.fromkeys(ServedPort(p.protocol, p.port) for p in providers))
    if "ports" in said:
        pairs = (text.partition(":") for text in said["ports"].split())
        ports = tuple(ServedPort(protocol, int(number)) for protocol, _, number in pairs)
    kind = said.get("kind", "service")
    service = None if kind == "providers" else SHOP
    answer: Outcome = Binding(InterfaceId("com.x.A"), kind, ("10.96.0.1",), ports, service)
    if "unbound" in said:
        answer = Unbound(InterfaceId("com.x.A"), "no-provider", "nobody there")
    return Subject(
        key="com.x.A",
        host=HOST,
        answer=answer,
        providers=providers,
        split=said.get("split", "").split(),
        rules=[said["rule"]] if "rule" in said else [],
        tokens=frozenset(said["tokens"].replace("BELL", "\a").split()) if "tokens" in said else None,
        tri="with" in said,
    )


def without_calls_on(url: str, family: str) -> str:
    """A URL without what each of the family says; where there is a URL, it is there."""
    address, _, query = url.partition("?")
    parameters = [word for word in query.split("&") if word]
    for key, value in CALLS_ON[family].items() if url else ():
        parameters.remove(f"{key}={value}")
    return f"{address}?{'&'.join(parameters)}" if parameters else address


def told(family: str, given: list[str]) -> list[str]:
    found = direct_url(subject(family, given), family)
    if found is None:
        return ["=> not of this framework"]
    return [
        f"=> {without_calls_on(found.url, family) or 'none'}",
        *(f"! {why}" for why in found.why),
        *(f"- {note}" for note in found.notes),
    ]
