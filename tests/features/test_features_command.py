"""`recoup features` on portfolios of any size: one result however it is split, stopped at any time and gone on with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from experiments.benchmarks.reading import portfolio_tables, write_csv
from features.commands import features
from features.errors import MomentError, PortfolioError, RecoupError
from features.writing import work_folder
from tests.features import plain

AS_OF = "2025-12-01"
#: The portfolio of these tests does not fit in it.
LITTLE = "500MB"


def run(portfolio: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(features, [str(portfolio), "--as-of", AS_OF, "--out", str(out), *options])


def started(portfolio: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    recoup = Path(__file__).parents[2] / "recoup.py"
    arguments = ["features", str(portfolio), "--as-of", AS_OF, "--out", str(out), "--memory", LITTLE, *options]
    return subprocess.Popen(
        [sys.executable, recoup, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stopped(process: subprocess.Popen[str], at: Path, by: signal.Signals) -> tuple[int, str, str]:
    """Stop a process as soon as something is there; its exit code, and what it said."""
    end = time.monotonic() + 60
    while not at.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(by)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def portfolio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 accounts with 50,000 contacts, one of them bad."""
    folder = tmp_path_factory.mktemp("portfolios") / "east"
    contacts = write_csv(portfolio_tables(20_000, 50_000, seed=1), folder)
    with contacts.open("a", encoding="utf-8") as file:
        file.write("too,few\n")
    return folder


@pytest.fixture(scope="module")
def whole(portfolio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its feature table, made in memory."""
    out = tmp_path_factory.mktemp("whole") / "features.parquet"
    assert run(portfolio, out).exit_code == 0
    return out


def assert_same_table(got: Path, wanted: Path) -> None:
    pd.testing.assert_frame_equal(pd.read_parquet(got), pd.read_parquet(wanted), check_exact=True)


def test_a_portfolio_larger_than_memory_gives_the_same_file(portfolio: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "features.parquet"
    result = run(portfolio, out, "--memory", LITTLE)
    assert result.exit_code == 0, result.output
    assert "20,000 live accounts" in result.stdout
    assert result.stderr == ""
    assert_same_table(out, whole)
    assert pq.read_schema(out).equals(pq.read_schema(whole), check_metadata=True)
    assert pq.ParquetFile(out).num_row_groups >= 3
    assert [path.name for path in out.parent.iterdir()] == ["features.parquet"]


def test_a_folder_has_a_part_for_each_partition(portfolio: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "features"
    for memory, n_least in (("4GB", 1), (LITTLE, 3)):  # the second takes the place of the first
        assert run(portfolio, out, "--memory", memory).exit_code == 0
        assert_same_table(out, whole)
        names = sorted(path.name for path in out.iterdir())
        assert names == [f"part-{place:05d}.parquet" for place in range(len(names))]
        assert len(names) >= n_least
        assert len({pq.read_schema(out / name) for name in names}) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_killed_at_any_time_it_goes_on_from_there(portfolio: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    work = work_folder(out)
    noted: dict[str, int] = {}
    for step in ("contacts", "packed-00001", "table-00001"):
        code, _, err = stopped(started(portfolio, out), work / step, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert ("Going on from" in err) == bool(noted)
        assert [path.name for path in tmp_path.iterdir()] == [work.name]
        now = {path.name: path.stat().st_mtime_ns for path in work.glob("*.json")}
        assert noted.items() <= now.items()  # what was finished was not done again
        assert f"{step}.json" not in noted
        noted = now
    result = run(portfolio, out, "--memory", LITTLE)
    assert result.exit_code == 0
    assert result.stderr == f"Going on from the work in {work}\n"
    assert_same_table(out, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["features.parquet"]


@pytest.mark.parametrize("memory", [LITTLE, "4GB"])
def test_a_folder_that_cannot_be_replaced_stays(
    portfolio: Path, tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "features"
    out.mkdir()
    (out / "part-00000.parquet").write_text("old", encoding="utf-8")
    replace = os.replace

    def fails(source: Path, target: Path) -> None:
        if target == out and source.name.startswith("new-"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("features.writing.os.replace", fails)
    result = run(portfolio, out, "--memory", memory)
    assert isinstance(result.exception, RecoupError)
    assert "cannot be written (No space left on device)" in str(result.exception)
    assert (out / "part-00000.parquet").read_text("utf-8") == "old"
    monkeypatch.undo()
    assert run(portfolio, out, "--memory", memory).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


@pytest.mark.parametrize("step", ["contacts", "packed-00000"])
def test_interrupted_it_says_how_to_go_on(portfolio: Path, tmp_path: Path, step: str) -> None:
    out = tmp_path / "features.parquet"
    work = work_folder(out)
    code, said, err = stopped(started(portfolio, out), work / step, signal.SIGINT)
    assert (code, said) == (130, ""), err
    assert err == f"recoup: interrupted; the same command goes on from the work in {work}\n"
    assert [path.name for path in tmp_path.iterdir()] == [work.name]


def interrupted(portfolio: Path, out: Path) -> None:
    """A run that is interrupted when its first partition is packed."""
    with pytest.MonkeyPatch.context() as patch:

        def feature_table(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("features.writing.feature_table", feature_table)
        result = run(portfolio, out, "--memory", LITTLE)
    assert result.exit_code == 130
    assert work_folder(out).exists()


@pytest.fixture(scope="module")
def left(portfolio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work that an interrupted run leaves."""
    out = tmp_path_factory.mktemp("left") / "features.parquet"
    interrupted(portfolio, out)
    return work_folder(out)


def test_what_has_changed_is_not_gone_on_with(portfolio: Path, whole: Path, tmp_path: Path) -> None:
    folder, out = tmp_path / "east", tmp_path / "out" / "features.parquet"
    shutil.copytree(portfolio, folder)
    interrupted(folder, out)
    header, *rows = (folder / "contacts.csv").read_text("utf-8").splitlines(keepends=True)
    (folder / "contacts.csv").write_text(header + "".join(rows[::2]), encoding="utf-8")
    result = run(folder, out, "--memory", LITTLE)
    assert result.stderr == f"Something has changed: starting anew, without the work in {work_folder(out)}\n"
    assert run(folder, tmp_path / "half.parquet").exit_code == 0
    assert_same_table(out, tmp_path / "half.parquet")
    with pytest.raises(AssertionError):
        assert_same_table(out, whole)


@pytest.mark.parametrize("change", [("--as-of", "2025-11-01"), ("--memory", "510MB"), ("--settings",)])
def test_another_option_is_another_piece_of_work(
    portfolio: Path, left: Path, tmp_path: Path, change: tuple[str, ...]
) -> None:
    out = tmp_path / "features.parquet"
    shutil.copytree(left, work_folder(out))
    if change == ("--settings",):
        (tmp_path / "other.toml").write_text("commission_rate = 0.5", encoding="utf-8")
        change = ("--settings", str(tmp_path / "other.toml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.commands.raw_tables", interrupt)  # before anything is read
        result = run(portfolio, out, "--memory", LITTLE, *change)
    assert result.stderr.startswith("Something has changed: starting anew")


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_work_that_is_not_needed_any_more_goes(portfolio: Path, left: Path, tmp_path: Path) -> None:
    out = tmp_path / "features.parquet"
    shutil.copytree(left, work_folder(out))
    assert run(portfolio, out, "--memory", "8GB").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["features.parquet"]


def test_without_a_live_account_there_is_no_table(portfolio: Path, tmp_path: Path) -> None:
    for memory in (LITTLE, "4GB"):
        result = run(portfolio, tmp_path / "features.parquet", "--memory", memory, "--as-of", "2001-01-01")
        assert isinstance(result.exception, MomentError)
        assert "no account is live as of 2001-01-01T00:00:00Z" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_used_is_refused_alike(portfolio: Path, tmp_path: Path) -> None:
    folder = tmp_path / "east"
    shutil.copytree(portfolio, folder)
    (folder / "payments.csv").write_text("account_id,at,amount\nB,2025-01-01,5\nB,2025-01-01,x\n", encoding="utf-8")
    said = set()
    for memory in (LITTLE, "4GB"):
        result = run(folder, tmp_path / "features.parquet", "--memory", memory)
        assert isinstance(result.exception, PortfolioError)
        said.add(str(result.exception))
    assert len(said) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["east"]


def test_a_moment_that_has_not_come_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    folder = plain.write(tmp_path / "east")
    (folder / "contacts.csv").write_bytes(b"")
    result = run(folder, tmp_path / "features.parquet", "--as-of", "2150-01-01")
    assert isinstance(result.exception, MomentError)


@pytest.mark.parametrize("name", ["features", "features.parquet"])
def test_what_is_there_and_no_table_is_left_alone(tmp_path: Path, name: str) -> None:
    folder, out = plain.write(tmp_path / "east"), tmp_path / name
    out.mkdir()
    (out / "mine.txt").touch()
    result = run(folder, out)
    assert isinstance(result.exception, RecoupError)
    assert "choose another name" in str(result.exception)
    assert (out / "mine.txt").exists()
    if name == "features":
        shutil.rmtree(out)
        out.touch()
        assert "choose another name" in str(run(folder, out).exception)


def test_latest_is_after_the_last_row_of_all(portfolio: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    assert run(portfolio, one, "--as-of", "latest").exit_code == 0
    assert run(portfolio, other, "--as-of", "latest", "--memory", LITTLE).exit_code == 0
    assert_same_table(one, other)


@pytest.mark.parametrize(
    ("size", "message"), [("4", "a number with its unit, like 4GB"), ("x GB", "like 4GB"), ("100MB", "at least 500MB")]
)
def test_memory_is_a_size(tmp_path: Path, size: str, message: str) -> None:
    result = run(tmp_path, tmp_path / "features.parquet", "--memory", size)
    assert result.exit_code == 2
    assert message in result.stderr


#: Prints the most memory that the process ever took: unlike what `resource` tells, without what its parent took.
PEAK = (
    "import sys, recoup; code = recoup.main(sys.argv[1:]); "
    "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]); sys.exit(code)"
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux tells it")
def test_memory_stays_within_what_is_given(tmp_path: Path) -> None:
    # In memory it takes about twice as much, and three times as much with as many contacts again.
    folder = tmp_path / "east"
    folder.mkdir()
    for name, table in portfolio_tables(60_000, 1_500_000, seed=2).items():
        pq.write_table(table, folder / f"{name}.parquet")
    arguments = ["features", str(folder), "--as-of", AS_OF, "--out", str(tmp_path / "f.parquet")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments, "--memory", "600MB"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout.split()[-1]) * 1_024 < 600_000_000 * 1.1
