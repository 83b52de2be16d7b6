"""A file that is no history is refused with the line and the reason."""

from __future__ import annotations

import pytest

from jepsen_like.checkers.history_file import HistoryUnreadable, from_json_lines

SEND = '{"process":"p","kind":"invoke","what":"send","op":1,"partition":0,"value":"a"}'
STORED = '{"process":"p","kind":"ok","what":"send","op":1,"partition":0,"offset":3}'
POLL = '{"process":"c","kind":"ok","what":"poll","op":2,"partition":0,"records":[[3,"a"]]}'


def test_fields_that_are_left_out_have_defaults() -> None:
    """Blank lines count as lines; `index` is the place, whatever the file says."""
    history = from_json_lines(f'{SEND}\n\n{STORED}\n{POLL[:-1]},"index":70}}\n')
    assert [o.index for o in history] == [0, 2, 3]
    assert history[0].value == "a"
    assert history[1].offset == 3
    assert history[2].records == ((3, "a"),)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", 1, "the history is empty"),
        ("\n\n", 1, "the history is empty"),
        (f"{SEND}\nnonsense\n", 2, "not JSON"),
        (f"{SEND}\n[1]\n", 2, "not a JSON object"),
        (SEND.replace('"op":1,', ""), 1, "`op` is missing"),
        (SEND.replace(',"partition":0', ""), 1, "`partition` is missing"),
        (SEND.replace('"partition":0', '"partition":-1'), 1, "partition is -1"),
        (SEND.replace("send", "transact"), 1, "`what` is 'transact', not one of send, assign"),
        (SEND.replace("invoke", "begin"), 1, "`kind` is 'begin'"),
        (SEND.replace('"op":1', '"op":true'), 1, "`op` is True, not a whole number"),
        (SEND.replace('"value":"a"', '"value":7'), 1, "`value` is 7, not text"),
        (SEND.replace('"value":"a"', '"idempotent":1'), 1, "not true or false"),
        (SEND.replace('"value":"a"', '"time_ms":"x"'), 1, "not a number"),
        (SEND.replace('"value":"a"', '"topic":"t"'), 1, "`topic` is no field of a history"),
        (SEND.replace(',"value":"a"', ""), 1, "has no `value`"),
        (POLL.replace('[[3,"a"]]', "[[3]]"), 1, "`records` is not a list of [offset, text]"),
        (POLL.replace('[[3,"a"]]', '[[-3,"a"]]'), 1, "`records` is not"),
        (f"{SEND}\n{SEND}", 2, "op 1 was invoked before, in line 1"),
        (f"{SEND}\n{STORED}\n{STORED}", 3, "op 1 was ended before, in line 2"),
        (STORED, 1, "send 1 was never invoked"),
        (f"{POLL}\n{POLL.replace('ok', 'invoke')}", 2, "op 2 ended before, in line 1"),
        (f"{SEND}\n{STORED.replace('0', '1', 1)}", 2, "partition 1, but was invoked with 0"),
        (f"{SEND}\n{SEND.replace('1', '2')}", 2, "'a' was sent before, in line 1"),
    ],
)
def test_a_bad_line_is_named(text: str, line: int, reason: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(HistoryUnreadable) as caught:
        from_json_lines(text)
    assert caught.value.line == line
    assert reason in caught.value.reason
