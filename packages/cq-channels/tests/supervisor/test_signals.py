"""Signals, read as bytes."""

from __future__ import annotations

import signal

from cq_channels.supervisor.signals import RELOAD, Signals


def test_signals_are_read_in_their_order_and_the_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        signals.send(RELOAD)
        signal.raise_signal(signal.SIGHUP)
        assert signals.read() == [signal.SIGTERM, RELOAD, signal.SIGHUP]
        assert signals.read() == []
    assert signal.getsignal(signal.SIGTERM) is before
    signals.send(RELOAD)  # from a thread that comes late
