"""The password of a URL is in nothing that is shown or written."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

import relgraph
from relgraph.errors import RelGraphError
from tests.adapters.servers import ServerDatabase

pytestmark = pytest.mark.servers

HIDDEN = "s3crXYtpw"


@pytest.fixture(scope="module", params=["postgresql", "mysql"])
def url(request: pytest.FixtureRequest) -> str:
    """A database behind a URL with a password."""
    server: ServerDatabase = request.getfixturevalue("postgresql" if request.param == "postgresql" else "mariadb")
    server.run(
        "CREATE TABLE visit (id INT PRIMARY KEY, at TIMESTAMP, what VARCHAR(9))",
        "INSERT INTO visit VALUES (1, '2020-01-01', 'a'), (2, '2020-02-01', 'b'), (3, '2020-03-01', 'a')",
    )
    user = server.user(HIDDEN)
    server.run(f"GRANT SELECT ON visit TO {user}" + ("" if server.kind == "postgresql" else "@'%'"))
    return server.url_of(user, HIDDEN)


def test_nothing_made_of_a_database_holds_it(url: str, tmp_path: Path) -> None:
    assert HIDDEN in url
    with relgraph.connect(url, times={"visit": "at"}, snapshot=tmp_path / "x.duckdb", progress=False) as db:
        report = db.check(progress=False)
        graph = relgraph.build_graph(db, save_to=tmp_path / "graph", progress=False)
        relgraph.adapters.write_relbench(db, tmp_path / "rel", val_time="2020-02-01", test_time="2020-03-01")
        with db.refresh() as again:
            shown = [repr(again), *again.changes]
        shown += [db.name, repr(db), db._repr_html_(), *db.notes, str(report), report.to_html(), repr(graph)]
        shown += [json.dumps(report.to_dict()), json.dumps(dict(graph.report)), graph._repr_html_()]
    assert any("***" in text for text in shown)
    for text in shown:
        assert HIDDEN not in text
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"x.duckdb", "graph.json", "manifest.yaml"} <= {path.name for path in files}
    for path in files:
        assert HIDDEN.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("fault", ["nowhere", "?nonsense=1"])
def test_no_error_holds_it(url: str, fault: str) -> None:
    wrong = url.rpartition("/")[0] + "/relgraph_nowhere" if fault == "nowhere" else url + fault
    with pytest.raises(RelGraphError, match=r":\*\*\*@") as caught:
        relgraph.connect(wrong, progress=False)
    error: BaseException | None = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert HIDDEN not in "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_the_end_of_a_password_with_an_at_sign_is_not_taken_for_the_host(scheme: str) -> None:
    with pytest.raises(RelGraphError, match="has to be written as %40") as caught:
        relgraph.connect(f"{scheme}://me:one@{HIDDEN}@127.0.0.1:1/shop", progress=False)
    assert HIDDEN not in str(caught.value)


@pytest.mark.slow
def test_the_shell_shows_it_nowhere(url: str, tmp_path: Path) -> None:
    for words in (["inspect", url, "--json"], ["convert", url, "-o", str(tmp_path)], ["inspect", url + "nowhere"]):
        done = subprocess.run([sys.executable, "-m", "relgraph", *words], capture_output=True, text=True, timeout=100)
        assert done.returncode == (1 if words[1] != url else 0), done.stderr
        assert "***" in done.stdout + done.stderr or words[0] == "convert"
        assert HIDDEN not in done.stdout + done.stderr
