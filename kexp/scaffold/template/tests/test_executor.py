"""The executor in kexp's suite for executors, and the program that it begins processes with."""

from pathlib import Path

from kexp.contracts import Ended, ExecutorContext, Task
from kexp.testing import ExecutorContract
from kexp.testing.executor_work import work

from my_package.executor import MyExecutor


class TestMyExecutor(ExecutorContract):
    examples = (MyExecutor(),)


def test_begins_processes_with_the_program(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    prefix = ("sh", "-c", f'echo "$@" > {begun}; exec "$@"', "sh")
    executor = MyExecutor(prefix=prefix).build(ExecutorContext(work, 1, "cpu"))
    executor.submit(Task(1, {"do": "echo"}))
    (message,) = executor.wait(60)
    executor.close()
    assert isinstance(message, Ended)
    assert begun.read_text().rstrip().endswith("-m my_package.executor")
