"""What of a cell's outputs is sent to its page."""

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from jupyter_client.manager import run_kernel

from mynn_server.kernel import FIRST, LATEST, MOST, Limiter
from mynn_server.kernel_manager import OURS
from mynn_server.outputs import Outputs

TEXT = st.text("ab\r\n", min_size=1, max_size=6)


def message(kind: str, **content: Any) -> dict[str, Any]:
    return {"msg_type": kind, "content": content, "parent_header": {"msg_id": "1"}}


def shown(kind: str, data: str, place: str | None = None) -> dict[str, Any]:
    transient = {"display_id": place} if place else {}
    return message(kind, data={"text/plain": data}, metadata={}, transient=transient)


MESSAGES = st.one_of(
    st.builds(lambda name, text: message("stream", name=name, text=text), st.sampled_from(["stdout", "stderr"]), TEXT),
    st.builds(shown, st.sampled_from(["display_data", "update_display_data"]), TEXT, st.sampled_from([None, "x", "y"])),
    st.builds(lambda wait: message("clear_output", wait=wait), st.booleans()),
)


class Kernel:
    """Stands in for a kernel's session, and for its page."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.later: list[Callable[[], None]] = []
        self.limiter = Limiter(self, lambda _, do: self.later.append(do))

    def msg(self, kind: str, content: dict[str, Any], parent: Any) -> dict[str, Any]:
        return {"msg_type": kind, "content": content, "parent_header": parent}

    def send(self, _: Any, sent: dict[str, Any], **options: Any) -> None:
        self.sent.append(copy.deepcopy(sent))

    def page(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        outputs = Outputs()
        for one in messages:
            outputs.add(copy.deepcopy(one))
        return outputs.shown


@given(st.lists(st.one_of(MESSAGES, st.none()), max_size=30))
@example([message("stream", name="stdout", text=text) for text in ("a", "a\ra", "a")])
@example([*[shown("display_data", text, "x") for text in ("a", "b", "c")], shown("update_display_data", "d", "x")])
def test_a_page_shows_the_same_in_the_end(messages: list[dict[str, Any] | None]) -> None:
    """None: a fifth of a second has passed."""
    kernel = Kernel()
    for one in messages:
        if one:
            kernel.limiter.add(None, copy.deepcopy(one))
        elif kernel.later:
            kernel.later.pop()()
    kernel.limiter.flush()
    assert kernel.page(kernel.sent) == kernel.page([one for one in messages if one])


def test_a_flood_leaves_its_beginning_its_end_and_a_sentence() -> None:
    kernel = Kernel()
    for number in range(3000):
        kernel.limiter.add(None, message("stream", name="stdout", text=f"{number} {99 * 'x'}\n"))
        kernel.limiter.add(None, shown("display_data", f"picture {number}"))
        if not number % 100:
            kernel.later.pop()()
    kernel.limiter.flush()
    texts = [output.get("text", "") or output["data"]["text/plain"] for output in kernel.page(kernel.sent)]
    text = "".join(texts)
    assert texts[0].startswith("0 xxx") and "\n2999 xxx" in text and f"[{3000 - MOST:,} more outputs are left" in text
    assert "characters are left out here" in text and len(text) < 2 * (FIRST + LATEST)
    assert sum(len(str(one)) for one in kernel.sent) < 1_000_000 and len(kernel.sent) < 500


def test_what_replaces_itself_may_go_on_for_hours() -> None:
    kernel, large = Kernel(), 1000 * "x"
    messages = [shown("display_data", "", "plot")]
    for number in range(2000):
        messages += [
            message("stream", name="stdout", text=f"\r{number} {large}"),
            shown("update_display_data", f"plot {number}", "plot"),
        ]
        if not number % 200:
            messages += [message("clear_output", wait=True), shown("display_data", large, "plot")]
    for number, one in enumerate(messages):
        kernel.limiter.add(None, copy.deepcopy(one))
        if not number % 10:
            kernel.limiter.flush()
    kernel.limiter.flush()
    assert kernel.page(kernel.sent) == kernel.page(messages)


def test_a_cell_that_is_stopped_before_its_first_line_says_so_and_the_next_one_runs() -> None:
    """In ipykernel itself it never ends: its page goes on to wait for it."""
    stop = "lambda lines: 'early' in lines[0] and __import__('os').kill(__import__('os').getpid(), 2) or lines"
    with run_kernel(extra_arguments=list(OURS)) as running:
        client: Any = running  # a blocking one, whatever run_kernel's types say
        client.execute_interactive(f"get_ipython().input_transformers_post.append({stop})", timeout=600)
        said: list[Any] = []
        reply = client.execute_interactive("early = 1", timeout=600, output_hook=said.append)
        assert reply["content"]["ename"] == "KeyboardInterrupt" and "You stopped this cell." in str(said)
        assert client.execute_interactive("1", timeout=600)["content"]["status"] == "ok"
