from __future__ import annotations

import sys

import pytest

from semicl_monai import __main__ as program


@pytest.mark.parametrize("words", [["--help"], ["study", "--help"], ["report", "study", "-h"], ["benchmark", "--help"]])
def test_help_is_no_error_and_runs_nothing(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["semicl_monai", *words])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    assert "SYNOPSIS" in "".join(capsys.readouterr())


def test_ctrl_c_ends_a_command_in_one_line(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setitem(program.COMMANDS, "methods", stop)
    monkeypatch.setattr(sys, "argv", ["semicl_monai", "methods"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped.\n"
