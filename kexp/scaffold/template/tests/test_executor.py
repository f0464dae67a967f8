"""The executor in kexp's suite for executors, and the program that it begins processes with."""

from kexp.contracts import Ended, ExecutorContext, Task
from kexp.testing import ExecutorContract
from kexp.testing.work import work

from my_package.executor import MyExecutor


class TestMyExecutor(ExecutorContract):
    examples = (MyExecutor(),)


def test_begins_processes_with_the_program() -> None:
    executor = MyExecutor(prefix=("env", "GREETING=안녕")).build(ExecutorContext(work, 1, "cpu"))
    executor.submit(Task(1, {"do": "echo"}))
    (message,) = executor.wait(60)
    executor.close()
    assert isinstance(message, Ended)
