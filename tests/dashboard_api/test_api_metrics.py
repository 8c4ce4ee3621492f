from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.dashboard_api.running_api import running_api


async def test_metrics_are_scraped_with_and_without_a_database(short_dir: Path) -> None:
    async with running_api(short_dir, pairs=2) as api, httpx.AsyncClient(base_url=api.url) as client:
        answer = await client.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = {each.name: each for each in text_string_to_metric_families(answer.text)}
        services = {sample.labels["service"] for sample in families["gridwhistle_report_age_seconds"].samples}
        assert {"alerts", "api"} <= services
        aside = api.site.database_file.with_suffix(".aside")
        await asyncio.to_thread(api.site.database_file.rename, aside)
        alone = (await client.get("/metrics")).text
        ages = {each.name: each for each in text_string_to_metric_families(alone)}[
            "gridwhistle_report_age_seconds"
        ]
        assert [sample.labels["service"] for sample in ages.samples] == ["api"]
