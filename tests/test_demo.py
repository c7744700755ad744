"""The demo's stages: finished ones are not repeated, other ones are not mixed, a failing one is shown."""

import argparse
import json
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from llava_corr import demo, stage_process, stages
from llava_corr.config import load_config
from llava_corr.errors import LlavaCorrError


def arguments(tmp_path, *words):
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(["--out", str(tmp_path / "out"), *words])


def stage(tmp_path, name, code, done="made.txt"):
    return stages.Stage(name, [sys.executable, "-c", code], tmp_path / "out" / done)


def writes(tmp_path, done="made.txt"):
    path = tmp_path / "out" / done
    return f"import pathlib; p = pathlib.Path({str(path)!r}); p.write_text(p.read_text() + 'x' if p.exists() else 'x')"


@pytest.fixture
def planned(monkeypatch):
    """Replaces the long stages by short ones: what is tested is the running, not the work."""

    def use(*stages):
        monkeypatch.setattr(demo, "plan", lambda args: list(stages))

    return use


def test_every_stage_is_a_public_command_and_marks_its_end_in_the_folder(tmp_path):
    args = arguments(tmp_path, "--seed", "3", "--minutes", "6", "--set", "training.bf16=false")
    stages = demo.plan(args)
    assert [s.name for s in stages][:3] == ["world", "data: train", "data: test"]
    assert len({s.name for s in stages}) == len(stages) == len({s.done for s in stages})
    assert all(str(s.done).startswith(str(tmp_path / "out")) for s in stages)
    trains = {s.name: " ".join(s.command) for s in stages if s.name.startswith(("features", "train"))}
    assert list(trains) == ["features: calico", "train: calico", "features: blind", "train: blind"]
    assert all("seed=3" in c and "training.bf16=false" in c for c in trains.values())
    assert "tiny/blind.yaml" in trains["features: blind"]
    assert "training.max_minutes=6" in trains["train: calico"]
    assert all(f"data.features={tmp_path / 'out'}" in c for c in trains.values())


def test_a_finished_stage_is_not_repeated(tmp_path, planned):
    planned(stage(tmp_path, "one", writes(tmp_path)))
    assert demo.run(arguments(tmp_path)) == 0
    assert demo.run(arguments(tmp_path)) == 0
    assert (tmp_path / "out" / "made.txt").read_text() == "x"
    facts = json.loads((tmp_path / "out" / "stages.json").read_text())
    assert set(facts) == {"minutes", "stage_seconds", "peak_memory_gb"}
    assert list(facts["stage_seconds"]) == list(facts["peak_memory_gb"]) == ["one"]


def test_stages_of_another_demo_are_refused(tmp_path, planned):
    planned(stage(tmp_path, "one", writes(tmp_path)))
    demo.run(arguments(tmp_path))
    planned(stage(tmp_path, "one", writes(tmp_path) + "  # other"))
    with pytest.raises(stages.StageError, match="another command"):
        demo.run(arguments(tmp_path))
    assert (tmp_path / "out" / "made.txt").read_text() == "x"


def test_a_failing_stage_is_shown_and_the_next_call_goes_on_there(tmp_path, planned):
    first = stage(tmp_path, "one", writes(tmp_path))
    planned(first, stage(tmp_path, "two", "raise SystemExit('no such luck')", "two.txt"))
    with pytest.raises(stages.StageError, match=r"\[2/2\] two ended with exit status 1(.|\n)*no such luck"):
        demo.run(arguments(tmp_path))
    planned(first, stage(tmp_path, "two", writes(tmp_path, "two.txt"), "two.txt"))
    assert demo.run(arguments(tmp_path)) == 0
    assert (tmp_path / "out" / "made.txt").read_text() == "x"


def test_what_every_try_took_is_added(tmp_path, planned):
    planned(stage(tmp_path, "one", "import time; time.sleep(0.5); raise SystemExit('again')"))
    with pytest.raises(stages.StageError, match="again"):
        demo.run(arguments(tmp_path))
    first = json.loads((tmp_path / "out" / "stages.json").read_text())["stage_seconds"]["one"]
    planned(stage(tmp_path, "one", "import time; time.sleep(0.5); " + writes(tmp_path)))
    demo.run(arguments(tmp_path))
    both = json.loads((tmp_path / "out" / "stages.json").read_text())["stage_seconds"]["one"]
    assert 0.5 <= first <= both - 0.5


def test_a_stage_that_is_made_anew_is_counted_from_nothing(tmp_path, planned):
    """Its first try ended; one that is cut off meanwhile is a try of the second."""
    out = tmp_path / "out"

    def spent():
        return json.loads((out / "stages.json").read_text())

    planned(stage(tmp_path, "one", writes(tmp_path)))
    demo.run(arguments(tmp_path))
    (out / "stages.json").write_text(
        json.dumps(spent() | {"stage_seconds": {"one": 1e4}, "peak_memory_gb": {"one": 1e4}})
    )
    (out / "made.txt").unlink()
    planned(stage(tmp_path, "one", "import time; time.sleep(0.3); raise SystemExit('cut off')"))
    with pytest.raises(stages.StageError, match="cut off"):
        demo.run(arguments(tmp_path))
    first = spent()["stage_seconds"]["one"]
    planned(stage(tmp_path, "one", "import time; time.sleep(0.3); " + writes(tmp_path)))
    demo.run(arguments(tmp_path))
    assert first < spent()["stage_seconds"]["one"] < 1e4
    assert spent()["peak_memory_gb"]["one"] < 1e4


def test_a_stage_that_ended_while_nobody_noted_it_runs_again(tmp_path, planned):
    """By hand, or beside a call that was killed: its command knows what it has."""
    planned(stage(tmp_path, "one", writes(tmp_path)))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "made.txt").write_text("half")
    demo.run(arguments(tmp_path))
    assert (tmp_path / "out" / "made.txt").read_text() == "halfx"


def test_what_rests_on_a_stage_that_is_made_anew_is_made_anew(tmp_path, planned):
    """A user removes what one stage made, to have it again; what does not rest on it stays."""
    out = tmp_path / "out"

    def link(name, *reads, after=()):
        code = "import sys, pathlib; [pathlib.Path(sys.argv[-1] + e).open('a').write('x') for e in ('', '.runs')]"
        words = [word for read in reads for word in ("--set", f"data.train={out / read}")]
        return stages.Stage(name, [sys.executable, "-c", code, *words, "--out", str(out / name)], out / name, after)

    chain = [link("a"), link("b", "a"), link("c", "b"), link("other"), link("last", after=("b",))]
    planned(*chain)

    def runs():
        assert demo.run(arguments(tmp_path)) == 0
        assert all((out / stage.name).read_text() == "x" for stage in chain), "what was made before is gone"
        return [len((out / f"{stage.name}.runs").read_text()) for stage in chain]

    assert runs() == runs() == [1, 1, 1, 1, 1]
    (out / "a").unlink()
    assert runs() == runs() == [2, 2, 2, 1, 2]
    (out / "ends.json").unlink()  # as in a folder of an earlier version
    assert runs() == [2, 2, 2, 1, 2]


def test_a_plan_s_stages_rest_on_what_their_commands_read(tmp_path):
    plan = demo.plan(arguments(tmp_path))
    below = {s.name: [o.name for o in plan[:k] if s.rests_on(o)] for k, s in enumerate(plan)}
    assert below["world"] == []
    assert below["data: test"] == ["world"]
    assert {"data: train", "features: calico"} <= set(below["train: calico"])
    assert {"data: test", "train: calico"} <= set(below["predict: calico"])
    assert "train: calico" not in below["predict: blind"]
    assert {"predict: calico", "baseline: prior-only"} <= set(below["score: Calico (tiny)"])
    assert "score: Calico (tiny)" in below["report"]


def test_every_try_stands_in_the_log(tmp_path, planned):
    planned(stage(tmp_path, "one", "raise SystemExit('no such luck')"))
    for _ in range(2):
        with pytest.raises(stages.StageError):
            demo.run(arguments(tmp_path))
    assert (tmp_path / "out" / "logs" / "one.log").read_text().count("no such luck\n") == 2


def test_a_folder_serves_one_call_at_a_time(tmp_path, planned):
    code = (
        "import fcntl, sys, time; h = open(sys.argv[1], 'w'); fcntl.flock(h, fcntl.LOCK_EX); print(flush=True); "
        "time.sleep(60)"
    )
    (tmp_path / "out").mkdir()
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "out" / "lock")], stdout=subprocess.PIPE)
    other.stdout.readline()
    planned(stage(tmp_path, "one", writes(tmp_path)))
    with pytest.raises(stages.StageError, match="another call, or a stage that one left, works in this folder"):
        demo.run(arguments(tmp_path))
    other.kill()
    other.communicate()
    assert demo.run(arguments(tmp_path)) == 0


def test_a_folder_that_cannot_be_locked_is_named(tmp_path, planned):
    (tmp_path / "out" / "lock").mkdir(parents=True)
    planned(stage(tmp_path, "one", writes(tmp_path)))
    with pytest.raises(LlavaCorrError, match="could not write lock"):
        demo.run(arguments(tmp_path))


INTERRUPTED = """
import sys
from pathlib import Path
from llava_corr import stages
out = Path(sys.argv[1])
code = f"import os, pathlib, time; pathlib.Path({str(out / 'pid')!r}).write_text(str(os.getpid())); time.sleep(300)"
stages.run_stages(lambda: [stages.Stage("long", [sys.executable, "-c", code], out / "never")], out)
"""


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_no_stage_runs_on_after_an_interrupt(tmp_path, ended_by):
    caller = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path)],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background ignores it
    )
    pid = tmp_path / "pid"
    patience = time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < patience:
        time.sleep(0.05)
    stage = psutil.Process(int(pid.read_text()))
    caller.send_signal(ended_by)  # to the caller alone, where a terminal would send it to both
    _, errors = caller.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert not stage.is_running()
    assert "long" in json.loads((tmp_path / "stages.json").read_text())["stage_seconds"]  # counts with the next try


def test_a_stage_that_a_killed_call_left_keeps_the_next_one_out(tmp_path, planned):
    (tmp_path / "out").mkdir()
    code = INTERRUPTED.replace("out = Path(sys.argv[1])", "out = Path(sys.argv[1]) / 'out'")
    caller = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.DEVNULL)
    pid, patience = tmp_path / "out" / "pid", time.monotonic() + 60
    while not (pid.exists() and pid.read_text()) and time.monotonic() < patience:
        time.sleep(0.05)
    caller.kill()
    caller.wait()
    left = psutil.Process(int(pid.read_text()))
    planned(stage(tmp_path, "one", writes(tmp_path)))
    with pytest.raises(stages.StageError, match="a stage that one left"):
        demo.run(arguments(tmp_path))
    left.kill()
    psutil.wait_procs([left], timeout=30)
    assert demo.run(arguments(tmp_path)) == 0


def test_a_stage_that_makes_something_else_is_named(tmp_path, planned):
    planned(stage(tmp_path, "one", "print('well')"), stage(tmp_path, "two", writes(tmp_path, "two.txt"), "two.txt"))
    with pytest.raises(stages.StageError, match=r"(?s)\[1/2\] one ended well, but did not make .*made\.txt.*one\.log"):
        demo.run(arguments(tmp_path))
    assert not (tmp_path / "out" / "two.txt").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ends.json", '{"one": {}}'),
        ("ends.json", "[]"),
        ("stages.json", '{"stage_seconds": null}'),
        ("stages.json", '{"peak_memory_gb": {"one": "x"}}'),
        ("commands.json", '{"one": 1}'),
    ],
)
def test_broken_notes_are_named(tmp_path, planned, name, text):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text(text)
    planned(stage(tmp_path, "one", writes(tmp_path)))
    with pytest.raises(stages.StageError, match=f"(?s)where: .*{name}"):
        demo.run(arguments(tmp_path))


@pytest.mark.parametrize("name", ["a b", "a #b", "a: b", "lr=0.1", "model:x", 'x: "y"', "a\\b"])
def test_folders_of_any_name_are_values(tmp_path, name):
    for path in (tmp_path / name, name):
        assert load_config("tiny/calico.yaml", [f"output_dir={stages.as_value(path)}"]).output_dir == str(path)
    args = arguments(tmp_path)
    args.out = tmp_path / name
    plan = {s.name: s for s in demo.plan(args)}
    assert plan["train: calico"].rests_on(plan["features: calico"])
    assert plan["features: calico"].rests_on(plan["data: train"])
    assert not plan["train: calico"].rests_on(plan["features: blind"])


@pytest.mark.parametrize("name", ["1e3", "1.5e3", "5", "null", "true", "[a]", "{a: b}", '"', "${x}", "a${oc.env:HOME}"])
def test_values_that_yaml_reads_otherwise_are_quoted(name):
    assert load_config("tiny/calico.yaml", [f"output_dir={stages.as_value(name)}"]).output_dir == name


def test_plain_paths_are_not_quoted():
    assert stages.as_value("/plain/path") == "/plain/path", "commands are read by people"


@pytest.mark.parametrize("value", ["name=x", "output_dir=/x", "data.train=x", "data={train: x}", "data.features=x"])
def test_what_the_demo_gives_its_stages_is_not_overridden(tmp_path, value):
    with pytest.raises(stages.StageError, match="is given to every stage"):
        demo.run(arguments(tmp_path, "--set", value))
    assert not (tmp_path / "out").exists()


def test_every_training_has_a_port_of_its_own():
    command = (*stage_process.TRAIN, "--config", "x.yaml")
    ports = set()
    for _ in range(2):
        launcher, flag, port, *rest = stage_process._with_a_port(command)
        assert (launcher, flag, tuple(rest)) == (command[0], "--master_port", command[1:])
        with socket.socket() as free:
            free.bind(("", int(port)))
            ports.add(int(port))
    assert 29500 not in ports  # the launcher's default
    assert stage_process._with_a_port((stage_process.TOOL, "world")) == (stage_process.TOOL, "world")


def test_peak_memory_counts_children(tmp_path):
    inner = "x = bytearray(200_000_000); import time; time.sleep(2)"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
    process = subprocess.Popen([sys.executable, "-c", outer])
    peak = stage_process.PeakMemory()
    peak.watch(process.pid)
    process.wait()
    assert 0.2 <= peak.stop() < 0.6
