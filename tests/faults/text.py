"""What docs/fault-matrix.md says around its tables."""

INTRODUCTION = """
# Fault matrix

Every fault of the emulator, and of the network before it, at every request of an export: once, three times, for
ever; in the worker and in the triggerer; for one export and in a batch. Each field is a whole run, from the request to
the object at its destination, and ends in one of two ways:

- **mended**: the object is, byte for byte, what is made from the data that Apple serves;
- **refused clearly**: an error of the provider's family, in bounded time; the object of before is untouched, and
  nothing is left beside it.

Anything else is **lost**. Besides, all that was logged, at DEBUG, and all that a traceback with local variables would
show, is searched for the token and for signed URLs, and the emulator tells whether the token came where it must not.
"""

NOTES = """
What is refused at once is what no second try can mend, or what asks for so long a wait (more than five minutes) that
it is left to Airflow's own retries; but whoever waits for an export anyway waits for that, too. All other faults are
mended when they happen once or three times. `bad-number` is a row that is whole but has a word for a count: a download
byte for byte passes it on, as it was served; `ApnsToObjectStorageOperator`, which reads the rows, refuses it.

Waits are scaled down: the rules that decide how long to wait are those of the package, but what they decide is added
up, and two milliseconds are waited in its place. A read timeout is half a second (one in a batch) instead of thirty,
and a task's timeout seconds instead of a day. By the real rules, the longest that a field with one export would have
waited is {longest} minutes ({cell}), where nobody asks for more.
"""
