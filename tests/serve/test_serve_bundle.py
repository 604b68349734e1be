"""The bundle's folder changes while it is served: nothing has to be restarted, and no request fails."""

import shutil
import threading
from pathlib import Path

import pytest

from .conftest import Server, Start

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def served(start: Start) -> Server:
    return start()


def run(server: Server, task: str, picture: bytes) -> tuple[int, bytes]:
    answer = server.client.post(f"/v1/tasks/{task}", content=picture, headers=PNG)
    return answer.status_code, answer.content


def names(server: Server) -> list[str]:
    return [task["name"] for task in server.client.get("/v1/tasks").json()["tasks"]]


def test_tasks_come_and_go(served: Server, golden: Path, picture: bytes) -> None:
    expected, folder = run(served, "colour", picture), served.bundle / "tasks"
    assert expected[0] == 200
    assert run(served, "copy", picture)[0] == 404
    ended, statuses = threading.Event(), []

    def keep_asking() -> None:
        while not ended.is_set():
            statuses.append(run(served, "colour", picture))

    asking = threading.Thread(target=keep_asking)
    asking.start()
    for _ in range(3):
        shutil.copytree(golden / "tasks" / "colour", folder / "copy")
        assert run(served, "copy", picture) == expected
        assert names(served) == ["shapes", "colour", "copy", "clean"]
        shutil.rmtree(folder / "copy")
        assert run(served, "copy", picture)[0] == 404
        assert names(served) == ["shapes", "colour", "clean"]
    ended.set()
    asking.join()
    assert statuses
    assert set(statuses) == {expected}


def test_a_replaced_task_gives_its_new_answers(served: Server, golden: Path, picture: bytes) -> None:
    before, other = run(served, "colour", picture), run(served, "clean", picture)
    folder = served.bundle / "tasks"
    shutil.rmtree(folder / "colour")
    shutil.copytree(golden / "tasks" / "clean", folder / "colour")
    assert run(served, "colour", picture) == other != before


def test_a_damaged_task_does_not_touch_the_others(served: Server, picture: bytes) -> None:
    (delta,) = (served.bundle / "tasks" / "clean").glob("delta-*")
    whole = delta.read_bytes()
    delta.write_bytes(whole[:-1])
    status, body = run(served, "clean", picture)
    assert status == 500
    assert b"changed since it was written" in body
    assert run(served, "colour", picture)[0] == 200
    delta.write_bytes(whole)
    assert run(served, "clean", picture)[0] == 200
    record = served.bundle / "tasks" / "shapes" / "task.json"
    record.write_text("{")
    assert run(served, "shapes", picture)[0] == 500
    assert run(served, "nothing", picture)[0] == 404
    assert run(served, "colour", picture)[0] == 200
    listed = served.client.get("/v1/tasks").json()
    assert [task["name"] for task in listed["tasks"]] == ["colour", "clean"]
    assert [task["name"] for task in listed["damaged"]] == ["shapes"]
    assert "not valid JSON" in listed["damaged"][0]["message"]


def test_a_bundle_that_cannot_be_opened_any_more_is_served_as_it_was(served: Server, picture: bytes) -> None:
    expected = run(served, "colour", picture)
    stray = served.bundle / "tasks" / "Not A Name"
    stray.mkdir()
    (stray / "task.json").write_text("{}")
    assert run(served, "colour", picture) == expected
    assert "not a task name" in served.client.get("/healthz").json()["problem"]
    listed = served.client.get("/v1/tasks").json()
    assert [task["name"] for task in listed["tasks"]] == ["shapes", "colour", "clean"]
    assert [task["name"] for task in listed["damaged"]] == ["Not A Name"]
    shutil.rmtree(stray)
    assert run(served, "colour", picture) == expected
    assert served.client.get("/healthz").json() == {"status": "ok", "problem": ""}
    config = served.bundle / "config.json"
    whole = config.read_bytes()
    config.unlink()
    assert run(served, "colour", picture) == expected
    assert served.client.get("/v1/tasks").status_code == 500
    config.write_bytes(whole)
    assert names(served) == ["shapes", "colour", "clean"]
