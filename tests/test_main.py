from __future__ import annotations

import sys

import pytest

from semicl_monai import __main__ as program


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
