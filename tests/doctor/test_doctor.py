"""The whole look at a machine: on this one, with a broken library, and as a command."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from flatline import cli
from flatline.doctor import Finding, Status, as_data, examine, findings_table, in_trouble
from flatline.doctor.findings import size
from flatline.doctor.probing import Probe, probe, understand

SRC = str(Path(__file__).parents[2] / "src")
HEALTHY = Probe(
    versions={"torch": "2.13.0", "numpy": "2.4.6"},
    torch={"devices": [], "built_for_cuda": None, "intra_threads": 1, "flags": {}},
    process={"start_method": "spawn", "threads": 1, "openmp": []},
)


def of(findings, part, name):
    """The one finding of that part and name."""
    (found,) = [f for f in findings if (f.part, f.name) == (part, name)]
    return found


def test_every_part_is_looked_at(tmp_path):
    """Versions, devices, threads, memory, disk and environment, each once and in one piece."""
    stages = []
    findings = examine(probed=HEALTHY, environ={}, run=tmp_path, on_stage=stages.append)
    parts = list(dict.fromkeys(finding.part for finding in findings))
    assert parts == ["versions", "devices", "threads", "memory", "disk", "environment"]
    assert stages == ["measuring the machine"]
    names = [(finding.part, finding.name) for finding in findings]
    assert len(names) == len(set(names))


def test_trouble_has_a_remedy(tmp_path):
    """Whatever is wrong, what to do about it is said."""
    ill = Probe(
        errors={"torch": "ImportError: libc10.so"},
        process={"start_method": "fork", "threads": 9, "openmp": ["/libomp.so", "/libiomp5.so"]},
    )
    environ = {"FLATLINE_TRAINING__LERNING_RATE": "1", "OMP_NUM_THREADS": "many"}
    given = {"data": ["nowhere.parquet"], "run": tmp_path, "processes": 10_000}
    findings = examine(probed=ill, environ=environ, **given)
    wrong = [finding for finding in findings if finding.status is Status.TROUBLE]
    assert {finding.part for finding in wrong} == {"versions", "threads", "data", "environment"}
    assert all(finding.remedy for finding in wrong)
    assert all(finding.measured for finding in findings)


def test_only_trouble_counts():
    """A note is shown but asks for nothing."""
    fine, note, bad = (Finding("part", "name", status, "m", "r") for status in Status)
    assert not in_trouble([fine, note])
    assert in_trouble([fine, bad])
    data = as_data([fine, note, bad])
    assert data["trouble"] is True
    assert [row["status"] for row in data["findings"]] == ["ok", "note", "trouble"]
    assert json.loads(json.dumps(data)) == data


def test_the_table_shows_brackets_as_they_are():
    """A path is never taken for markup."""
    console = Console(record=True, width=100, file=io.StringIO())
    console.print(findings_table([Finding("disk", "runs", Status.OK, "free in /a[red]/b")]))
    assert "/a[red]/b" in console.export_text()


def test_sizes_are_rounded_where_they_are_large():
    """Whole mebibytes below a gibibyte, tenths above."""
    assert [size(0), size(2**20), size(2**30), size(1.25 * 2**30)] == [
        "0 MiB", "1 MiB", "1.0 GiB", "1.2 GiB",
    ]  # fmt: skip


def test_the_libraries_of_this_installation_tell():
    """Import, version, threads: asked in a process of its own."""
    found = probe(("numpy", "torch"))
    assert set(found.versions) == {"numpy", "torch"}
    assert not found.errors
    assert not found.torch_error
    assert found.torch["intra_threads"] >= 1
    assert found.process["start_method"] in {"fork", "spawn", "forkserver"}


@pytest.mark.parametrize(
    ("code", "says"),
    [
        pytest.param("raise ImportError('libc10.so is missing')", "libc10.so", id="raises"),
        pytest.param("import os; os.abort()", "SIGABRT", id="aborts"),
        pytest.param("import os; os._exit(7)", "exit code 7", id="exits"),
        pytest.param("import sys; sys.exit('no licence')", "no licence", id="gives-up"),
        pytest.param("import time; time.sleep(60)", "was not done after 1 s", id="hangs"),
    ],
)
def test_a_library_that_breaks_is_named(tmp_path, monkeypatch, code, says):
    """However it breaks, the doctor lives, and what came before it is known."""
    for name, text in (("good", "__version__ = '1.2'"), ("broken", code)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = probe(("good", "broken"), seconds=1 if "sleep" in code else 60)
    assert found.versions == {"good": "1.2"}
    assert says in found.errors["broken"]


def test_noise_of_a_library_is_passed_over():
    """Only lines of JSON that are facts count."""
    said = 'hello\n{"a": 1}\n[]\n{"fact": "library", "name": "numpy", "version": "2"}\n{"fact": "li'
    assert understand(said) == Probe(versions={"numpy": "2"})


def test_a_torch_that_falls_silent_is_trouble():
    """It could be imported, but touching the device ended the process."""
    said = '{"fact": "library", "name": "torch", "version": "2"}'
    found = understand(said, ended="ended the process by SIGSEGV")
    assert found.torch_error == "its first work ended the process by SIGSEGV"
    findings = examine(probed=found, environ={})
    assert of(findings, "devices", "torch").status is Status.TROUBLE


def run(*arguments, cwd, environ=None):
    """The command in a process of its own."""
    code = "from flatline.cli import main; main()"
    given = os.environ | {"PYTHONPATH": SRC} | (environ or {})
    command = [sys.executable, "-c", code, "doctor", *arguments]
    return subprocess.run(  # noqa: S603 - our own interpreter and code
        command, cwd=cwd, env=given, capture_output=True, text=True, check=False
    )


def test_the_command_works_where_torch_is_broken(tmp_path):
    """A table, a JSON file, exit code 1, no traceback: what a doctor is for."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise OSError('libcudart.so.12: no such file')"
    )
    done = run("--json", "out.json", cwd=tmp_path, environ={"PYTHONPATH": f"{tmp_path}:{SRC}"})
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    (torch,) = [
        row for row in data["findings"] if row["name"] == "torch" and row["part"] == "versions"
    ]
    assert torch["status"] == "trouble"
    assert "libcudart.so.12" in torch["measured"]
    assert "--force-reinstall" in torch["remedy"]


def test_exit_code_and_file_follow_the_findings(monkeypatch, capsys, tmp_path):
    """0 for notes, 1 for trouble; the options reach the examination."""
    monkeypatch.chdir(tmp_path)
    seen = {}

    def found(status):
        def examination(**given):
            seen.update(given)
            return [Finding("disk", "runs", status, "measured", "remedy")]

        return examination

    for status, code in ((Status.OK, 0), (Status.NOTE, 0), (Status.TROUBLE, 1)):
        monkeypatch.setattr("flatline.doctor.examine", found(status))
        arguments = ["--data", "a", "--data", "b", "--processes", "3", "--json", "out.json"]
        monkeypatch.setattr(sys, "argv", ["flatline", "doctor", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert (ended.value.code or 0) == code
        assert json.loads(Path("out.json").read_text())["trouble"] is bool(code)
        assert "measured" in capsys.readouterr().out
    assert seen["data"] == ["a", "b"]
    assert seen["processes"] == 3
