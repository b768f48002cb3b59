# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Stands in for the commonest of the commands that scripts call: their words (resp/called.py), what they cost (counters/scripts.py),
and what they do (counters/effects.py). The rules are those of scripts.pyx."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_SetItem
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.object cimport PyObject_Hash
from cpython.ref cimport PyObject

cdef extern from "Python.h":
    PyObject *PyDict_GetItemWithError(object, object) except? NULL
    int PyLong_CheckExact(object)

cdef enum:
    PARTS = 64  # of counters/table.py
    SHIFT = 40
    PRICE = 8  # of counters/scripts.py
    PRICE_OF_CHANGE = 24

cdef object LARGEST = (1 << 63) - 1


cdef int _work(budget, long long steps) except -1:
    cdef long long left = budget.steps
    left -= steps
    budget.steps = left
    if left < 0:
        budget.out_of_steps()
    return 0


cdef object _integer(bytes word):
    """As `integer` of resp/arguments.py, of up to 18 digits; None: it is for the twin."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(word), at = 0
    cdef const char *of = PyBytes_AS_STRING(word)
    cdef long long value = 0
    cdef bint negative = size > 1 and of[0] == c'-'
    if negative:
        at = 1
    if size - at > 18 or size == at or (of[at] == c'0' and (size - at > 1 or negative)):
        return None
    while at < size:
        if not c'0' <= of[at] <= c'9':
            return None
        value = value * 10 + (of[at] - c'0')
        at += 1
    return -value if negative else value


cdef dict _shapes = {}  # word → number of the command
cdef object _standard = None, _call_of = None, _plain_effects = None, _ok = None, _script_ok = None
cdef object GET, SET, TTL, TIME, EXPIRE, INCRBY, EX_IN, EX_NONE, ALWAYS
cdef long long DEADLINE_LATEST = 1 << 40
cdef Py_ssize_t most_key_bytes
cdef long long commands_of_a_run


cdef enum:
    INCR_ = 1
    INCRBY_ = 2
    GET_ = 3
    TTL_ = 4
    PTTL_ = 5
    TIME_ = 6
    SET_ = 7
    EXPIRE_ = 8
    PEXPIRE_ = 9


cdef int _learn() except -1:
    global _standard, _call_of, _plain_effects, _ok, _script_ok, most_key_bytes, commands_of_a_run
    global GET, SET, TTL, TIME, EXPIRE, INCRBY, EX_IN, EX_NONE, ALWAYS
    from counter_node.counters import effects, ops, replies, scripts
    from counter_node.resp import arguments, called
    from counter_node.script import replies as of_script
    GET, SET, TTL, TIME, EXPIRE, INCRBY = ops.GET, ops.SET, ops.TTL, ops.TIME, ops.EXPIRE, ops.INCRBY
    EX_IN, EX_NONE, ALWAYS = ops.EX_IN, ops.EX_NONE, ops.ALWAYS
    _standard, _call_of, _plain_effects = called.operation, scripts.Call, effects.EXECUTE
    _ok, _script_ok = replies.OK, of_script.Status(b"OK")
    most_key_bytes, commands_of_a_run = arguments.MAX_KEY_BYTES, scripts.LIMITS.script_commands
    for number, name in ((INCR_, b"incr"), (INCRBY_, b"incrby"), (GET_, b"get"), (TTL_, b"ttl"), (PTTL_, b"pttl"), (TIME_, b"time"),
                         (SET_, b"set"), (EXPIRE_, b"expire"), (PEXPIRE_, b"pexpire")):
        _shapes[name] = _shapes[name.upper()] = number
    return 0


cdef object _found(table, key):
    """A value of a table of counters (counters/table.py); None: there is none."""
    cdef list parts = table.parts
    cdef PyObject *found = PyDict_GetItemWithError(
        <dict>PyList_GET_ITEM(parts, (PyObject_Hash(key) >> SHIFT) & (PARTS - 1)), key
    )
    return None if found is NULL else <object>found


cdef int _put(table, key, value) except -1:
    cdef list parts = table.parts
    PyDict_SetItem(<dict>PyList_GET_ITEM(parts, (PyObject_Hash(key) >> SHIFT) & (PARTS - 1)), key, value)
    return 0


cdef class Commands:
    """Of one run: what `Scripts._commands` gives (counters/scripts.py)."""
    cdef object _scripts, _state, _budget, _rights, _operation, _undo
    cdef dict _before
    cdef bint _read_only, _plain
    cdef long long _number

    def __init__(self, scripts, budget, rights, bint read_only):
        if _standard is None:
            _learn()
        self._scripts, self._state, self._budget = scripts, scripts.state, budget
        self._rights, self._read_only = rights, read_only
        self._operation = scripts.operation
        self._undo = self._state.undo
        self._before = self._undo.before
        self._plain = rights is None and not read_only and self._operation is _standard

    def execute(self, list words not None, protocol):
        cdef object op = None, reply
        cdef Py_ssize_t changed
        self._number += 1
        if self._plain:
            op = self._quick(words)
        if op is None:
            call = _call_of(self._rights, self._read_only, self._state.time_ms * commands_of_a_run + self._number)
            op = self._operation(words, call)
            if not PyBytes_CheckExact(op) and not PyList_CheckExact(op):
                return self._scripts.to_script(op)
            _work(self._budget, self._scripts.price(op))
            changed = len(self._before)
            reply = self._scripts.execute(op)
        else:
            _work(self._budget, PRICE if PyBytes_CheckExact(op) else 2 * PRICE)
            changed = len(self._before)
            reply = self._done(op)
        if len(self._before) != changed:
            _work(self._budget, PRICE_OF_CHANGE * (len(self._before) - changed))
        if PyLong_CheckExact(reply) or PyBytes_CheckExact(reply) or reply is None:
            return reply
        if reply is _ok:
            return _script_ok
        return self._scripts.to_script(reply)

    cdef object _quick(self, list words):
        """The operation of a plain command, as resp/called.py makes it; None: it is for the twin."""
        cdef PyObject *found = PyDict_GetItemWithError(_shapes, <object>PyList_GET_ITEM(words, 0))
        cdef Py_ssize_t count = PyList_GET_SIZE(words)
        cdef int shape
        cdef long long ms
        cdef bytes key
        if found is NULL:
            return None
        shape = <object>found
        if shape == TIME_:
            return [TIME] if count == 1 else None
        if count < 2:
            return None
        key = <bytes>PyList_GET_ITEM(words, 1)
        if PyBytes_GET_SIZE(key) > most_key_bytes:
            return None
        if count == 2:
            if shape == INCR_:
                return key
            if shape == GET_:
                return [GET, key]
            if shape == TTL_ or shape == PTTL_:
                return [TTL, key, 1 if shape == PTTL_ else 1000, False]
            return None
        if shape == SET_:
            if count != 3 and count != 5:
                return None
        elif count != 3 or shape not in (INCRBY_, EXPIRE_, PEXPIRE_):
            return None
        value = _integer(<bytes>PyList_GET_ITEM(words, 2))
        if value is None:
            return None
        if shape == INCRBY_:
            return [INCRBY, key, value]
        if shape == SET_ and count == 3:
            return [SET, key, value, ALWAYS, None, EX_NONE, 0, False]
        unit, given = 1, value
        if shape == SET_:
            option = <object>PyList_GET_ITEM(words, 3)
            if option == b"EX" or option == b"ex":
                unit = 1000
            elif option != b"PX" and option != b"px":
                return None
            given = _integer(<bytes>PyList_GET_ITEM(words, 4))
            if given is None:
                return None
        elif shape == EXPIRE_:
            unit = 1000
        if not 0 < <long long>given < DEADLINE_LATEST:
            return None
        ms = <long long>given * <long long>unit
        if shape == SET_:
            return [SET, key, value, ALWAYS, None, EX_IN, ms, False]
        return [EXPIRE, key, EX_IN, ms, ALWAYS]

    cdef int _changing(self, state, key, value) except -1:
        """Of a counter that is there."""
        if state.notes is not None or state.watches.by_key:
            state.changing(key)
        elif self._undo.aside is None and PyDict_GetItemWithError(self._before, key) is NULL:
            if state.since_gap is not None or _found(state.accounts.owners, key) is not None:
                state.changing(key)
            else:
                PyDict_SetItem(self._before, key, (value, _found(state.deadlines, key), False, None))
        return 0

    cdef object _done(self, op):
        """What the operation answers, as effects.py executes it."""
        cdef object state = self._state, old, code
        cdef list given
        if PyBytes_CheckExact(op):
            old = None if state.backlog else _found(state.values, op)
            if old is None or old >= LARGEST:
                return self._scripts.execute(op)
            self._changing(state, op, old)
            new = old + 1
            _put(state.values, op, new)
            if state.dirty is not None:
                state.dirty.add(op)
            return new
        given = <list>op
        code = <object>PyList_GET_ITEM(given, 0)
        if code is SET and not state.backlog and state.actor is None and state.since_gap is None:
            return self._set(state, given)
        return _plain_effects[code](state, op)

    cdef object _set(self, state, list op):
        cdef bytes key = <bytes>PyList_GET_ITEM(op, 1)
        cdef object old = _found(state.values, key), due_ms = _found(state.deadlines, key), new_ms
        cdef bint expires = PyList_GET_ITEM(op, 5) == <PyObject *>EX_IN
        if old is None or (expires and due_ms is None):
            return _plain_effects[SET](state, op)
        self._changing(state, key, old)
        _put(state.values, key, <object>PyList_GET_ITEM(op, 2))
        if state.dirty is not None:
            state.dirty.add(key)
        if expires:
            new_ms = state.time_ms + <object>PyList_GET_ITEM(op, 6)
            if new_ms != due_ms:
                schedule = state.schedule
                schedule.remove(due_ms, key)
                schedule.add(new_ms, key)
                _put(state.deadlines, key, new_ms)
        elif due_ms is not None:
            state.persist(key)
        return _ok


def plain(reply):
    """Whether the reply of a script is one of commands as it is."""
    if PyLong_CheckExact(reply) or PyBytes_CheckExact(reply) or reply is None:
        return True
    if not PyList_CheckExact(reply):
        return False
    for each in <list>reply:
        if not (PyLong_CheckExact(each) or PyBytes_CheckExact(each) or each is None):
            return False
    return True
