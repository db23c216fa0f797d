from __future__ import annotations

from pathlib import Path

from semicl_monai.utils import processor_name


def test_the_name_is_read_from_the_system(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self: "processor : 0\nmodel name : Xeon 2.1 GHz\nmodel name : Xeon\n")
    assert processor_name() == "Xeon 2.1 GHz"


def test_without_a_name_the_architecture_is_told(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda self: "processor : 0\n")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert processor_name() == "aarch64"


def test_off_linux_the_platform_is_asked(monkeypatch):
    def missing(self):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    monkeypatch.setattr("platform.processor", lambda: "Intel64 Family 6")
    assert processor_name() == "Intel64 Family 6"
