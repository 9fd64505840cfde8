"""Metrics at the HTTP door."""

from tests.pipeline.server.conftest import Serve


def test_the_door_serves_the_metrics_of_its_runner(serve: Serve) -> None:
    served = serve()
    assert served.stylize().status_code == 200
    found = served.client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'nst_pairs_total{outcome="done"} 1.0' in found.text
