"""Ctrl-C at the command line."""

import importlib

import pytest

from clhyper.cli.main import VERBS

GOES_ON = ("run", "sweep", "tune", "study", "demo")


@pytest.mark.parametrize("verb", VERBS)
def test_ctrl_c_promises_to_go_on_only_where_the_same_command_does(verb, call, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module(f"clhyper.cli.{verb}"), "main", interrupted)
    code, out, error = call(verb)
    assert (code, out) == (130, "")
    note = "; the same command goes on from the last finished experiences" if verb in GOES_ON else ""
    assert error == f"\nclhyper: stopped{'; nothing was written' if verb == 'pretrain' else note}\n"
