"""What strangers wrote does not move a cursor, color a terminal, or break out of a cell."""

import logging

import pytest
from attar.cli import tables
from attar.cli.telling import log_lines, tell
from attar.plain import cell, plain
from attar.progress import progress
from attar.settings import Settings, parse, unknown

NASTY = "\x1b]0;pwned\x07\x1b[31mRED\u202e\x9b2J"


def harmless(text):
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand a tab", "é ± → 漢字", ""])
def test_texts_stay_as_they_are(text):
    assert plain(text) == text


def test_what_is_no_letter_is_one_mark():
    assert plain(NASTY).count("\N{REPLACEMENT CHARACTER}") == 5
    assert harmless(plain(NASTY))
    assert plain("1\u202f000") == "1 000"


def test_every_line_passes(capsys):
    tell(f"a sentence {NASTY}")
    log_lines(logging.WARNING)
    logging.getLogger("another.library").warning("it failed (%s)", NASTY)
    logging.getLogger().handlers.clear()
    tables.print_pairs({NASTY: NASTY}, NASTY)
    tables.console().print(NASTY)
    with progress(1, NASTY) as advance:
        advance(1, NASTY)
    shown = capsys.readouterr()
    assert shown.out
    assert len(shown.err.splitlines()) == 2
    assert harmless(shown.out + shown.err)


def test_a_very_long_sentence_is_cut_in_its_middle(capsys):
    tell("begin " + "x" * 100_000 + " end")
    line = capsys.readouterr().err
    assert len(line) < 4000
    assert line.startswith("attar: begin")
    assert line.endswith("end\n")


def test_a_cell_of_markdown_is_nothing_but_its_text():
    assert cell("a|b\n`c` <script> [x](y) \x1b[31m") == (
        r"a\|b \`c\` \<script\> \[x\](y) " + "\N{REPLACEMENT CHARACTER}\\[31m"
    )


class Some(Settings):
    """Settings for this test."""

    number: int = 0


@pytest.mark.parametrize(
    "values", [{NASTY: 1}, {"number": NASTY}, {"x" * 10_000: 1}, {"number": "x" * 10_000}]
)
def test_sentences_about_settings_are_short_and_harmless(values):
    with pytest.raises(ValueError, match="some") as caught:
        parse(Some, values, "some")
    assert harmless(str(caught.value))
    assert len(str(caught.value)) < 1000


def test_a_list_of_many_choices_is_cut():
    said = unknown("column", "x", map(str, range(100_000)))
    assert "(100,000 in all)" in said
    assert len(said) < 1000
