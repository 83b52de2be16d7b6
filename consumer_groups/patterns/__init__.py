r"""Patterns of topic names: a small regular language, matched in linear time.

A pattern comes from a client and is evaluated by the coordinator against every topic name, so it
must not be able to stall it. Python's `re` backtracks: `(a+)+b` takes exponential time on a name
of 40 letters. Here a pattern becomes an automaton without backtracking (Thompson 1968; the idea of
RE2): a name of n characters costs at most n steps, each over at most PATTERN_STATES_MAX states,
and mostly one dictionary look-up. Text, nesting and automaton are bounded.

| form | matches |
|---|---|
| a, 7, -, _ | itself |
| \., \-, \_ | the character, taken literally |
| . | any character of a topic name |
| \d \w | a digit; a letter, digit or _ |
| [a-z_], [^0-9] | one of these; one that is none of these |
| xy, x\|y, (x), (?:x) | one after the other; either; a group |
| x*, x+, x? | any number; at least one; at most one |
| x{3}, x{2,}, x{2,5} | so many |

A pattern matches a whole name. `^` at its begin and `$` at its end are allowed and mean nothing
more. Everything else (look-around, back references, lazy or possessive repetition, flags) is
refused, and so is a character that no topic name can have.
"""

from consumer_groups.patterns.matcher import Pattern, compile_pattern

__all__ = ["Pattern", "compile_pattern"]
