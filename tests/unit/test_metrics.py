"""The exposition of ``/metrics``, read as Prometheus reads it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from soadns.figures import LATENCIES, Durations, SkydnsFigures, WorkerFigures, WorkerState
from soadns.model import Rejected
from soadns.web.metrics import Exporter
from tests.unit.demo_process import NOW, DemoProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ODD = 'no "such"\nreason\\'


class BusyProcess(DemoProcess):
    """One in which everything that is counted has happened."""

    def __init__(self) -> None:
        super().__init__()
        key = ("com.x.Bad", "providers", "x")
        self.estate.fold([Rejected("static/demo", key, "static/demo com.x.Bad", ODD, "")], NOW)
        self.figures.transitions["choice"] = 10
        self.figures.events["static/demo"] = 37
        for seconds in (0.0004, 0.003, 0.003, 99.0):
            self.figures.latencies.note(seconds)
        self.figures.source_failures["static/demo"] = 1
        self.figures.faults["moves"] = 1
        self.figures.listening["ads"] = True
        self.figures.reloads["done"] = 1
        self.figures.transfer.transfers["rpc.cluster.local", "axfr"] = 1
        self.figures.transfer.notices["10.0.5.7:53", "heard"] = 1
        self.figures.transfer.serials["rpc.cluster.local"] = 1_767_225_600
        self.figures.credentials.refused["skydns.tls"] = True
        self.figures.credentials.reads["skydns.tls", "refused"] = 2
        self.figures.skydns = SkydnsFigures(leads=True, trouble=True, failures=3)
        self.figures.skydns.writes["rpc.cluster.local", "put"] = 7
        self.figures.skydns.keys["rpc.cluster.local"] = 7
        self.figures.skydns.foreign["rpc.cluster.local"] = 1
        self.figures.skydns.held["rpc.cluster.local"] = 2
        self.figures.skydns.left_out["rpc.cluster.local"] = 4
        self.figures.skydns.behind_since["rpc.cluster.local"] = NOW - 5
        self.figures.ads.pushes["routes"] = self.figures.ads.refusals["routes"] = self.figures.ads.cut[
            "stuck"
        ] = 1
        self._workers = [
            WorkerState(
                1, 7, False, 1, 2,
                WorkerFigures(
                    queries=Counter(udp=5, tcp=4),
                    replies=Counter(
                        {
                            ("rpc.cluster.local", "udp", 1, 1, 0): 3,
                            ("rpc.cluster.local", "tcp", 2, 1, 0): 2,
                            ("rpc.cluster.local", "udp", 1, 28, 0): 2,
                            ("rpc.cluster.local", "udp", 1, 28, 3): 4,
                            ("", "udp", 1, 0, 5): 1,
                            ("", "udp", 2, 1, 23): 1,
                        }
                    ),
                    dropped=1, malformed=2, unsent=3, refused=4, handshakes=Counter(alert=2), processor_s=1.5,
                ),
                memory=30 << 20, overflowed=6, processes=2, certificate_refused=False,
            ),
            WorkerState(2, 7, True, certificate_refused=True),
        ]  # fmt: skip
        for seconds in (0.0001, 0.00025, 0.0004, 20.0):
            self._workers[0].figures.durations.setdefault("rpc.cluster.local", Durations()).note(seconds)

    def workers(self) -> list[WorkerState]:
        return self._workers

    def mesh_figures(self) -> dict[str, Any]:
        moves = {"shared": 3, "forgotten": 1, "untold": 0, "omitted": 0, "trouble": None}
        objects = {"applied": 7, "outdated": 0, "missing": 1, "unwanted": 0, "refused": 1}
        istio = {"objects": objects, "held": 0, "written": 9, "rejects": 2.0, "trouble": None}
        lacking = {"outdated": ["a.json", "b.json"], "leftOut": ["c.json"]}
        istio["files"] = [{"namespace": "web", "ports": 16, "most": 16, "wanting": 3, **lacking}]
        istio["room"] = {"ports": 500, "most": 500, "wanting": 2}
        events = {"written": 3, "omitted": 1, "trouble": None}
        return {
            "share": {"lease": {"held": True, "trouble": "no answer"}, "moves": moves, "events": events},
            "istio": istio,
        }


@pytest.fixture
async def families() -> dict[str, Metric]:
    exporter = Exporter(BusyProcess())
    await exporter.states.refresh()
    text = exporter.text().decode()
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found), "a family is told once"
    return {family.name: family for family in found}


def test_every_metric_says_what_it_is_in_a_sentence(families: dict[str, Metric]) -> None:
    for family in families.values():
        assert re.fullmatch(r"soadns(_[a-z]+)+", family.name)
        assert re.fullmatch(r"\S.*[.0-9]", family.documentation), family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.samples, f"{family.name} never has a value"


def test_counters_and_nothing_else_are_totals(families: dict[str, Metric]) -> None:
    for family in families.values():
        for sample in family.samples:
            assert sample.name.endswith("_total") == (family.type == "counter"), sample.name


def test_labels_are_those_of_the_page_and_name_no_interface(families: dict[str, Metric]) -> None:
    rows = re.findall(r"^\| (`soadns_.*?) \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.M)
    documented = {
        name.removesuffix("_total"): set(re.findall(r"`(\w+)`", labels))
        for names, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    for family in families.values():
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == documented[family.name], family.name
        for sample in family.samples:
            assert not any("alipay" in value for value in sample.labels.values())


def test_texts_of_strangers_are_escaped(families: dict[str, Metric]) -> None:
    [sample] = families["soadns_rejected"].samples
    assert (sample.labels, sample.value) == ({"source": "static/demo", "reason": ODD}, 1.0)


def test_types_and_codes_without_a_name_are_counted_as_other(families: dict[str, Metric]) -> None:
    told = {
        tuple(s.labels[name] for name in ("zone", "type", "rcode")): s.value
        for s in families["soadns_dns_responses"].samples
    }
    assert told == {
        ("rpc.cluster.local", "A", "NOERROR"): 5.0,
        ("rpc.cluster.local", "AAAA", "NOERROR"): 2.0,
        ("rpc.cluster.local", "AAAA", "NXDOMAIN"): 4.0,
        ("dropped", "other", "REFUSED"): 1.0,
        ("dropped", "A", "other"): 1.0,
    }


def test_requests_are_counted_as_coredns_counts_them(families: dict[str, Metric]) -> None:
    told = {
        tuple(s.labels[name] for name in ("zone", "proto", "family", "type")): s.value
        for s in families["soadns_dns_requests"].samples
    }
    assert told == {
        ("rpc.cluster.local", "udp", "1", "A"): 3,
        ("rpc.cluster.local", "tcp", "2", "A"): 2,
        ("rpc.cluster.local", "udp", "1", "AAAA"): 6,
        ("dropped", "udp", "1", "other"): 1,
        ("dropped", "udp", "2", "A"): 1,
    }


def test_latencies_are_cumulative_and_kept_from_one_look_to_the_next() -> None:
    process = BusyProcess()
    exporter = Exporter(process)
    for looked in (1, 2):
        [histogram] = [
            family
            for family in text_string_to_metric_families(exporter.text().decode())
            if family.name == "soadns_change_to_answer_seconds"
        ]
        counts = [s.value for s in histogram.samples if s.name.endswith("_bucket")]
        assert counts == sorted(counts)
        assert len(counts) == len(LATENCIES) + 1
        ends = {s.name.rpartition("_")[2]: s.value for s in histogram.samples if "le" not in s.labels}
        assert ends["count"] == counts[-1] == 3 + looked
        assert ends["sum"] == pytest.approx(99.0064 + (looked - 1))
        process.figures.latencies.note(1.0)


def test_skew_between_workers_is_to_be_seen(families: dict[str, Metric]) -> None:
    told = {
        (name, s.labels["worker"], s.labels.get("proto", "")): s.value
        for name in ("requests", "cpu_seconds", "overflowed", "processes", "memory_bytes", "behind")
        for s in families[f"soadns_worker_{name}"].samples
    }
    assert told == {
        ("requests", "0", "udp"): 5, ("requests", "0", "tcp"): 4,
        ("cpu_seconds", "0", ""): 1.5, ("cpu_seconds", "1", ""): 0,
        ("overflowed", "0", ""): 6, ("overflowed", "1", ""): 0,
        ("processes", "0", ""): 2, ("processes", "1", ""): 0,
        ("memory_bytes", "0", ""): 30 << 20, ("memory_bytes", "1", ""): 0,
        ("behind", "0", ""): 0, ("behind", "1", ""): 1,
    }  # fmt: skip


def test_of_a_certificate_it_is_enough_that_one_worker_can_not_use_what_is_new(
    families: dict[str, Metric],
) -> None:
    told = {s.labels["setting"]: s.value for s in families["soadns_credentials_refused"].samples}
    assert told == {"skydns.tls": 1, "nameserver.tls": 1}


def test_answering_times_are_in_the_buckets_of_coredns(families: dict[str, Metric]) -> None:
    samples = families["soadns_dns_request_duration_seconds"].samples
    buckets = {s.labels["le"]: s.value for s in samples if "le" in s.labels}
    assert {s.labels["zone"] for s in samples} == {"rpc.cluster.local"}
    assert [*buckets][:3] == ["0.00025", "0.0005", "0.001"]
    assert len(buckets) == 17
    assert [buckets[bound] for bound in ("0.00025", "0.0005", "8.192", "+Inf")] == [2, 3, 3, 4]
