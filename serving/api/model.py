"""`/v1/model`: which model answers, and what it knows."""

from __future__ import annotations

import msgspec

from serving.api.calls import Answer, Call


def answer(call: Call) -> Answer:
    """Say which model answers, and what it knows."""
    bundle, manifest, settings = call.engine.scorer.bundle, call.engine.scorer.bundle.manifest, call.engine.settings
    channels = [
        {
            "name": channel.name,
            "cost": channel.cost,
            "enabled": channel.enabled,
            "daily_capacity": channel.daily_capacity,
        }
        for channel in settings.channels
    ]
    return Answer(
        {
            "model": bundle.label,
            "sha256": bundle.digest,
            "portfolio": settings.name,
            "target": manifest.target,
            "horizon_days": manifest.horizon_days,
            "channels": channels,
            "channel_support": [msgspec.to_builtins(arm) for arm in manifest.support],
            "usual_channel": manifest.usual_channel,
            "band_thresholds": manifest.band_thresholds,
            "features": manifest.features,
            "trained_until": manifest.trained_until,
            "data_until": manifest.data_until,
            "holdout": manifest.holdout,
            "versions": manifest.versions,
            "commit": manifest.commit,
        }
    )
